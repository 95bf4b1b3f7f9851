"""Length, packing, and which tokens are trained."""

from __future__ import annotations

from math import ceil

from recommender.config.schema import Goal, RopeScaling
from recommender.data.profile.profile import DataProfile
from recommender.estimate.types import Estimate
from recommender.model.spec import ModelSpec
from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values
from recommender.rules.reason import Reason
from recommender.units import count, counted, gib, percent

LENGTH = "data.max_length"
MULTIPLE = 64
"""Lengths go in steps of 64: matrix kernels run in tiles, and finer steps change nothing that can be seen."""
KEEP = 0.995
"""Share of trained tokens that the limit keeps."""
MARGIN = 1.3
"""Factor on estimated lengths for the limit: without a tokenizer they are a third off now and then."""
ASSUMED = 1024
"""Length where no data is known: that of the walk-through guide."""
STRETCH = 4.0
"""Largest factor by which a model's context is stretched unasked: YaRN's in the model cards of Qwen 2.5."""
STRETCHED_ALREADY = 100_000
"""Contexts from which a model was most likely stretched by its makers: it is not stretched again."""

WORTH_PACKING = 0.95
"""Ratio of a packed run's time to an unpacked one's, above which packing counts as hardly quicker."""
LONG_ROWS = 0.005
"""Share of rows beyond a model's context from which it is stretched: for fewer, all others would be read less well."""


def reach(model: ModelSpec) -> int:
    """Tokens that the model's positions can be brought to reach: its own context, up to four times that by YaRN."""
    own = model.max_position_embeddings
    return own if own >= STRETCHED_ALREADY else int(STRETCH * own)


def worth_stretching(data: DataProfile, model: ModelSpec) -> bool:
    """Whether enough rows are longer than the model's own context."""
    own = model.max_position_embeddings
    return reach(model) > own and data.rows_cut(own) >= LONG_ROWS * data.rows


def recommended_length(data: DataProfile | None, model: ModelSpec, goal: Goal) -> int:
    """The smallest multiple of 64 that keeps the wanted share of trained tokens, as far as positions reach.

    Args:
        data: Token lengths, or None.
        model: For its context, which is stretched where that share needs it.
        goal: 'best-quality' and 'longest-context' keep every token.
    """
    limit = max(MULTIPLE, model.max_position_embeddings // MULTIPLE * MULTIPLE)
    if data is None or not data.rows:
        return min(limit, ASSUMED)
    if worth_stretching(data, model):
        limit = max(limit, reach(model) // MULTIPLE * MULTIPLE)
    if goal in ("best-quality", "longest-context") or not data.trained_tokens:
        return min(limit, _up(_with_margin(data, data.longest)))
    low, high = 1, max(1, _up(data.longest) // MULTIPLE)
    wanted = KEEP * data.trained_tokens
    while low < high:
        middle = (low + high) // 2
        if data.trained_at(middle * MULTIPLE) >= wanted:
            high = middle
        else:
            low = middle + 1
    return min(limit, _up(_with_margin(data, min(low * MULTIPLE, data.longest))))


def _with_margin(data: DataProfile, tokens: int) -> int:
    """Return a length, with a margin where lengths are estimated."""
    return ceil(MARGIN * tokens) if data.tokenizer == "bytes" else tokens


def _up(tokens: int) -> int:
    return max(1, -(-tokens // MULTIPLE)) * MULTIPLE


def lost_share(data: DataProfile | None, max_length: int) -> float:
    """Share of trained tokens that a limit cuts, 0 to 1."""
    if data is None or not data.trained_tokens:
        return 0.0
    return 1 - data.trained_at(max_length) / data.trained_tokens


def length(context: Context) -> Values:
    """Length limit found by the search, else the recommended one."""
    searched = context.searched.get(LENGTH)
    wanted = recommended_length(context.data, context.model, context.goal) if searched is None else searched
    return {LENGTH: int(wanted)}


def explain_length(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the length, from the rows' lengths and the tokens cut by the limit."""
    data, model, value = context.data, context.model, values[LENGTH]
    wanted = recommended_length(data, model, context.goal)
    if data is None:
        why, sure = f"No data is known: {count(value)} tokens are assumed.", "low"
    else:
        lost = lost_share(data, value)
        cut = _cut(data, value, "of them")
        sure = {"exact": "high", "bytes": "low"}.get(data.tokenizer, "medium")
        if value < wanted:
            why = (
                f"Memory allows {count(value)} tokens, not the {count(wanted)} that would keep "
                f"{percent(1 - lost_share(data, wanted))} of trained tokens: {cut}."
            )
        elif lost > 1 - KEEP:
            own = model.max_position_embeddings
            stretched = f", and can be stretched to {count(reach(model))}" if value > own else ""
            lossy = _cut(data, value, "of the trained tokens")
            why = f"The model's own context ends at {count(own)} tokens{stretched}: {lossy}."
        else:
            kept = "all" if context.goal in ("best-quality", "longest-context") else f"at least {percent(KEEP)}"
            why = (
                f"The smallest multiple of {MULTIPLE} that keeps {kept} of the trained tokens{_beyond(data)}; {cut}. "
                f"Rows have {count(data.quantile(0.5))} tokens in the middle, "
                f"{count(data.quantile(0.99))} at the 99th percentile, at most {count(data.longest)}."
            )
    return {
        LENGTH: Reason(
            value,
            why,
            _source(data),
            "high" if sure == "high" else "medium" if sure == "medium" else "low",
            others="The walk-through guide takes 1024, or 2048 where memory allows; Unsloth's notebooks take 2048.",
            costs="Activations and the loss grow in proportion; shorter rows cost nothing extra but padding.",
        )
    }


def _cut(data: DataProfile, value: int, of_tokens: str) -> str:
    """Return a phrase on the trained tokens and the rows cut by a limit."""
    rows = data.rows_cut(value)
    if data.tokenizer == "bytes":
        return (
            "lengths are estimated from the text (4 letters a token, and what the template adds), so what is cut is "
            "known before the start, when they are counted"
        )
    if not rows:
        return "no row is cut"
    return f"{percent(lost_share(data, value))} {of_tokens} and {count(rows)} of {counted(data.rows, 'row')} are cut"


def _beyond(data: DataProfile) -> str:
    """Return a phrase on the margin; empty where lengths are counted."""
    return f" and {percent(MARGIN - 1)} more" if data.tokenizer == "bytes" else ""


def _source(data: DataProfile | None) -> str:
    """Return the source of the lengths: counted, estimated from the text, synthetic or assumed."""
    if data is None:
        return "assumed"
    if data.shape == "synthetic":
        return f"this data's token lengths ({data.shape_reason})"
    counted = "counted" if data.tokenizer == "exact" else "estimated from the text, without the model's tokenizer"
    return f"this data's token lengths ({counted})"


def packing(context: Context) -> Values:
    """Packing at 'auto': on only where attention can tell packed rows apart without a length² mask.

    Off for a model whose layers carry a state from token to token: it would go on from one document into the next.
    """
    return {"data.packing": False if context.model.carries_state else "auto"}


def explain_packing(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for packing or not under this attention, with the cost of the other choice."""
    if context.model.carries_state:
        return {"data.packing": _not_over_a_state(values)}
    implementation = context.config.training.attn_implementation
    on = implementation.startswith("flash_attention")
    why = (
        "On here: flash attention keeps packed rows apart, and no time goes into padding."
        if on
        else f"Off here: under {implementation} packed rows need a length × length mask and a slower kernel."
    )
    return {
        "data.packing": Reason(
            values["data.packing"],
            why,
            "TRL, SFTTrainer: packing and padding-free batches need a flash attention",
            "high",
            others="LLaMA-Factory and Unsloth leave packing off by default.",
            costs="The batch is one row of batch × max_length tokens." if on else _packed_costs(context),
        )
    }


def _not_over_a_state(values: Values) -> Reason:
    """Return the reason for leaving packing off in a model with recurrent layers."""
    return Reason(
        values["data.packing"],
        "Off here: some of its layers carry a state or a convolution from token to token, which would go on from one "
        "packed document into the next.",
        "Transformers 5.23, integrations/hub_kernels.py: without their kernels' packages such layers refuse boundaries "
        "of documents, and several classes hand none on",
        "high",
        costs="Padding, where rows of different length share a micro-batch.",
    )


def _packed_costs(context: PricedContext) -> str:
    """Return the cost in time of leaving rows unpacked, by the estimate."""
    padding = "Padding, where rows of different length share a micro-batch"
    if context.data is None:
        return f"{padding}."
    packed = context.compared({"data.packing": True})
    if packed is None:
        return f"{padding}."
    before, after = _run_seconds(context.estimate), _run_seconds(packed)
    if not before or not after or after > WORTH_PACKING * before:
        return f"{padding}; packed, the run would hardly be quicker."
    more = packed.peak.process_bytes - context.estimate.peak.process_bytes
    return (
        f"{padding}. Packed, the run would take about {percent(1 - after / before)} less time by the estimate, which "
        f"knows the mask and not how slow its kernel is on your card, and {gib(abs(more))} "
        f"{'more' if more > 0 else 'less'} memory; a step would hold more rows."
    )


def _run_seconds(price: Estimate) -> float | None:
    return price.time.total_seconds if price.time else None


def train_on(context: Context) -> Values:
    """Tokens counted by the loss: as the data was read."""
    return {"data.train_on": context.config.data.train_on}


def explain_train_on(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the tokens counted by the loss, in rows of this shape."""
    value, data = values["data.train_on"], context.data
    if data is not None and data.shape == "synthetic":
        why = "Nothing is known of the rows but their lengths: every token is taken to be trained."
    elif data is not None and data.shape == "text":
        why = "Plain text has no answers: every token is trained."
    elif value == "assistant":
        share = f" ({percent(data.trained_share)} of tokens)" if data is not None else ""
        why = f"The loss sees the answers{share}; the questions are only read."
    else:
        why = "Every token is trained, the questions too."
    return {
        "data.train_on": Reason(
            value,
            why,
            "Dettmers et al. 2023 (QLoRA), table 10: training on the answers alone scored higher on MMLU",
            "medium",
            others="Unsloth's first notebooks train on all tokens; LLaMA-Factory masks the questions.",
            costs="none",
        )
    }


def context_extension(context: Context) -> Values:
    """Context extension: none within the model's own context, YaRN beyond it."""
    length, own = context.config.data.max_length, context.model.max_position_embeddings
    stretched = own < length <= reach(context.model)
    return {"rope_scaling": RopeScaling(rope_type="yarn", factor=stretch_to(length, own)) if stretched else None}


def explain_context_extension(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for stretching the positions or not: the length limit against the model's own context."""
    length, own = context.config.data.max_length, context.model.max_position_embeddings
    value: RopeScaling | None = values["rope_scaling"]
    if length <= own:
        why = f"max_length {count(length)} is within the model's own context of {count(own)} tokens."
    elif value is None:
        why = (
            f"max_length {count(length)} is beyond the model's own context of {count(own)} tokens, and "
            f"{'it was most likely stretched before' if own >= STRETCHED_ALREADY else 'too far to stretch it'}: "
            "shorten the rows."
        )
    else:
        why = (
            f"max_length {count(length)} is beyond the model's own context of {count(own)} tokens: YaRN stretches its "
            f"positions {value.factor:g} times. Of the three kinds it loses least and needs least training at the new "
            "length; short rows are read a little less exactly."
        )
    return {
        "rope_scaling": Reason(
            value,
            why,
            "Peng et al. 2023 (YaRN), tables 1 and 2; Transformers, rope utilities",
            "high" if value is None else "medium",
            others="The walk-through guide: leave it off unless rows are longer than the model's context. Qwen's model "
            "cards: add YaRN only where long texts are needed, since its factor holds for short ones too.",
            costs="none" if value is None else "No memory by itself: the length does.",
        )
    }


def stretch_to(length: int, own: int) -> float:
    """The factor that covers a length, in halves: 1.5, 2, 2.5 and so on."""
    return -(-2 * length // own) / 2


RULES = (
    Rule("length", (LENGTH,), length, explain_length),
    Rule("context extension", ("rope_scaling",), context_extension, explain_context_extension),
)
ABOUT_ANSWERS = (
    Rule("packing", ("data.packing",), packing, explain_packing),
    Rule("trained tokens", ("data.train_on",), train_on, explain_train_on),
)
"""For stages whose rows are one sequence with an answer in it."""
