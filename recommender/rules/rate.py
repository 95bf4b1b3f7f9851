"""The learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from presets.family_rules import FamilyRule, needed_for, rules_for
from presets.rate_law import REFERENCE_RANK, RateLaw, load_rate_law
from presets.sweep import SweepRow, load_sweep
from recommender.config.schema import FinetuneConfig, Lora
from recommender.model.facts import facts
from recommender.model.spec import ModelSpec
from recommender.rules.adapter import ALPHA
from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values
from recommender.rules.batch import rows_in_a_sequence
from recommender.rules.fitting import LORA_FACTOR
from recommender.rules.reason import Confidence, Evidence, Reason
from recommender.units import count, counted, small

RATE = "training.learning_rate"
TINKER_BASE, TINKER_WIDTH = 5e-5, 2000
TINKER_EXPONENTS: Mapping[str, float] = {"llama": 0.781, "qwen": 0.0775}
"""tinker-cookbook, hyperparam_utils.get_lr."""
SWEPT_STEPS = 780
SHORT_EXPONENT = 0.2
"""Exponent of the rate's rise in runs shorter than the sweep's: in runs of about 100 steps LoRA's best rate is 15 and
not 10 times the full rate (LoRA Without Regret), and 1.5 = (780 / 100)^0.2. That longer horizons want less is also what
Bjorck et al. 2024 measured in pre-training."""
SHORT_STEPS = 100
SHORTER_EXPONENT = 0.41
"""Exponent of its rise in runs shorter than those, of least regret over this project's own runs of 12 to 48 steps, of
one small model on five data sets. Their loss is 0.9 % above the best rates' on average with it and 6.2 % without any;
which rate is best differs between the sets by a factor of 2.7 at 12 steps (`python -m benchmarks.short_runs --table`).
"""
FEWEST_STEPS = 10
LONGEST_SURE = 10 * SWEPT_STEPS
"""Steps beyond which the sweep says little. Longer horizons want lower rates in pre-training (Bjorck et al. 2024),
by how much with LoRA nobody measured."""
SWEPT_BATCH = 128
BATCH_EXPONENT = 0.25
"""Exponent by which the rate follows a batch below the swept one in a run as long as the sweep's. Noise alone would
make it the square root (Malladi et al. 2022, on Adam); Marek et al. 2025 keep the rate down to batches of one. Halfway,
in the logarithm, between the two. Noise adds up over steps as a random walk does, and the square root is a rule for
runs that it dominates: shorter ones take the exponent times sqrt(steps / 780). Unmeasured for LoRA."""


def base_rate(model: ModelSpec, r: int) -> float:
    """The LoRA rate at lora_alpha 32 for this model and rank: the law of the sweep, or the rate without a law."""
    return load_rate_law().rate(facts(model).sweep, model.total_parameters, r)


def scale_factor(lora: Lora) -> float:
    """Factor on the rate for a scale other than the measured one: the square root of 32 over alpha.

    The update is alpha/r · B·A. Early on only B moves, and the rate should fall as 1/alpha; later both move, and as
    1/sqrt(alpha). The milder is taken. Rank-stabilised scaling multiplies alpha by sqrt(r).
    """
    effective = lora.lora_alpha * (sqrt(lora.r) if lora.use_rslora else 1)
    return sqrt(ALPHA / effective)


def length_factor(steps: int | None) -> float:
    """Factor on the rate for runs shorter than the sweep's: 1.5 at 100 steps, and more below."""
    if steps is None or steps >= SWEPT_STEPS:
        return 1.0
    return short_factor(steps) * shorter_factor(steps, SHORTER_EXPONENT)


def short_factor(steps: int) -> float:
    """Factor for short runs as published, down to 100 steps."""
    return float((SWEPT_STEPS / max(SHORT_STEPS, steps)) ** SHORT_EXPONENT)


def shorter_factor(steps: int, exponent: float) -> float:
    """Factor for runs below 100 steps, which is this project's own."""
    return float((SHORT_STEPS / min(SHORT_STEPS, max(FEWEST_STEPS, steps))) ** exponent)


def batch_exponent(steps: int | None) -> float:
    """Exponent by which the rate follows the batch, less in short runs."""
    return BATCH_EXPONENT * sqrt(min(1.0, (SWEPT_STEPS if steps is None else steps) / SWEPT_STEPS))


def batch_factor(effective: int, steps: int | None) -> float:
    """Factor on the rate for the batch: batch over 128 to that exponent below 128, 1 from there on."""
    return float(min(1.0, effective / SWEPT_BATCH) ** batch_exponent(steps))


def two_digits(rate: float) -> float:
    """Round a rate to two significant digits, as people write it."""
    return float(f"{rate:.1e}")


def rate(context: Context) -> Values:
    """Rate by family, size and rank, adjusted to the method, the adapter's scale, the run's length and its batch."""
    value = base_rate(context.model, context.config.lora.r)
    for factor in _factors(context):
        value *= factor
    return {RATE: two_digits(min(1.0, value, _most(context)))}


def _most(context: Context) -> float:
    """Return the highest rate of an adapter that the model's family bears."""
    family = _family(context.model)
    if family is None or family.rate_at_most is None or context.config.method == "full":
        return 1.0
    return family.rate_at_most


def _family(model: ModelSpec) -> FamilyRule | None:
    return needed_for(model.model_type, mixture=model.num_experts > 0)


def explain_rate(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the rate: the sweep's law, its factors, and the nearest measured rates."""
    model, config, value = context.model, context.config, values[RATE]
    told = zip(_factors(context), _told_factors(context), strict=True)
    sentences = [_origin(model, config.lora.r), *(sentence for factor, sentence in told if factor != 1)]
    if len(sentences) > 1:
        sentences.append(f"Together {small(value)}." if value < _most(context) else "")
    family = _family(model)
    if family is not None and value == _most(context):
        sentences.append(f"Held to {small(value)}: {family.why} ({family.source}.)")
    if context.steps is not None and context.steps > LONGEST_SURE:
        sentences.append(
            f"{count(context.steps)} steps are {context.steps / SWEPT_STEPS:.0f} times the sweep's: longer runs want "
            "less in pre-training (Bjorck et al. 2024), by how much with LoRA nobody measured."
        )
    if value > load_rate_law().highest:
        sentences.append(
            f"No rate above {small(load_rate_law().highest)} was best for any swept model, in {SWEPT_STEPS} steps."
        )
    if different := unlike_the_sweep(config):
        sentences.append(
            f"Measured with plain LoRA on every linear layer, and yours differs in {' and '.join(different)}: how the "
            "rate should follow is not known."
        )
    if config.start_from is not None:
        sentences.append(
            "It is the rate for a new adapter: by how much one that has learnt already wants less, nobody measured."
        )
    row = load_sweep().nearest(facts(model).sweep, model.total_parameters, config.lora.r)
    if row is not None:
        sentences.append(_measured(row, context))
    return {
        RATE: Reason(
            value,
            " ".join(sentence for sentence in sentences if sentence),
            "fitted to Thinking Machines' chat_sl sweep of 18 models (tinker-cookbook); LoRA Without Regret (2025) on "
            f"short runs, and below {SHORT_STEPS} steps this project's own (benchmarks/short_runs.py); Malladi et al. "
            "2022 and Marek et al. 2025 on batches",
            _confidence(context, row),
            evidence=_evidence(row),
            others="The Unsloth guide starts at 2e-4; LLaMA-Factory's default is 5e-5 and its newcomer recipe 1e-4; "
            "TRL's default is 2e-5; the QLoRA paper 2e-4 up to 13B and 1e-4 from 33B; the LoRA hyperparameter guide "
            f"1e-4 to 5e-5; {_tinker(model)}.{_by_others(model)}",
            costs=f"none. Settle it on your own rows: lora-wizard try CONFIG --set training.learning_rate="
            f"{','.join(small(each) for each in to_try(value))} --steps 50",
        )
    }


def unlike_the_sweep(config: FinetuneConfig) -> list[str]:
    """The adapter's keys that differ from the sweep's runs, and that no rule translates into a rate."""
    if config.method == "full":
        return []
    lora = config.lora
    differs = {
        "use_dora": lora.use_dora,
        "init_lora_weights": lora.init_lora_weights not in (True, "gaussian"),
        "target_modules": lora.target_modules != "all-linear",
        "rank_pattern": bool(lora.rank_pattern or lora.alpha_pattern),
        "modules_to_save": bool(lora.modules_to_save),
        "loraplus_lr_ratio": config.training.loraplus_lr_ratio is not None,
    }
    return [key for key, is_so in differs.items() if is_so]


def _by_others(model: ModelSpec) -> str:
    """Return sentences on the rates that others take for this family."""
    lines = rules_for(model.model_type, mixture=model.num_experts > 0)
    return "".join(f" {line.others} ({line.source})." for line in lines if line.others)


def _tinker(model: ModelSpec) -> str:
    """Return the rate by the formula of the sweep's own authors, which knows neither rank nor batch."""
    exponent = TINKER_EXPONENTS.get(facts(model).sweep)
    formula = f"the Tinker formula {small(TINKER_BASE)} × {LORA_FACTOR} × ({TINKER_WIDTH} / "
    if exponent is None:
        return f"{formula}width)^p has no published exponent for this family"
    value = TINKER_BASE * LORA_FACTOR * (TINKER_WIDTH / model.hidden_size) ** exponent
    return f"{formula}{model.hidden_size})^{exponent:g} gives {small(two_digits(value))}, without rank and batch"


def to_try(rate: float) -> tuple[float, float, float]:
    """Rates worth comparing with this one: half a decade around it, as a quarter to each side."""
    return two_digits(rate / 10**0.25), rate, two_digits(min(1.0, rate * 10**0.25))


def _factors(context: Context) -> tuple[float, ...]:
    """Return the factors on the law's rate: scale or method, length of the run, and batch."""
    steps = context.steps
    scale = scale_factor(context.config.lora)
    first = 1 / LORA_FACTOR if context.config.method == "full" else scale if abs(scale - 1) >= 0.01 else 1.0
    return first, length_factor(steps), batch_factor(_rows_a_step(context), steps)


def _told_factors(context: Context) -> tuple[str, ...]:
    """Return a sentence for each of the factors."""
    lora, steps, batch = context.config.lora, context.steps, _rows_a_step(context)
    scale, length, noise = _factors(context)
    told = (
        f"Measured at lora_alpha {ALPHA}; yours is {small(lora.lora_alpha)}"
        f"{' with rank-stabilised scaling' if lora.use_rslora else ''}: × sqrt({ALPHA} / "
        f"{'(lora_alpha × sqrt(r))' if lora.use_rslora else 'lora_alpha'}) = {scale:.2f}, an extrapolation."
    )
    few = steps or SWEPT_STEPS
    less = "" if length == 1 else ", and matters less in a short run"
    return (
        "Full fine-tuning takes a tenth." if context.config.method == "full" else told,
        f"{counted(few, 'step')} {'is' if few == 1 else 'are'} fewer than the sweep's {SWEPT_STEPS}, which wants more: "
        f"× {_length_told(few)} = {length:.2f}{_how_known(few)}.",
        f"A batch of {batch} is noisier than the {SWEPT_BATCH} of the sweep{less}: × ({batch} / {SWEPT_BATCH})^"
        f"{batch_exponent(steps):.2g} = {noise:.2f}, between no effect and Adam's square-root rule.",
    )


def _length_told(steps: int) -> str:
    published = f"({SWEPT_STEPS} / {max(SHORT_STEPS, steps)})^{SHORT_EXPONENT:g}"
    if steps >= SHORT_STEPS:
        return published
    return f"{published} × ({SHORT_STEPS} / {max(FEWEST_STEPS, steps)})^{SHORTER_EXPONENT:g}"


def _how_known(steps: int) -> str:
    return "" if steps >= SHORT_STEPS else ", the latter from this project's own runs"


def _rows_a_step(context: Context) -> int:
    """Rows of an optimizer step over all cards: a packed sequence holds several."""
    return max(1, round(context.all_cards.training.effective_batch_size * rows_in_a_sequence(context)))


def _origin(model: ModelSpec, r: int) -> str:
    law, family, size = load_rate_law(), facts(model).sweep, model.total_parameters
    raw = law.raw(family, size, r)
    if raw is None:
        known = "one model of it was swept" if family else "none of it was swept"
        return (
            f"Not calibrated for this family ({model.model_type}; {known}): {small(law.uncalibrated)} is the one rate "
            "that loses least over all models that were."
        )
    factor = law.families[family]
    low, high = law.ranks
    rank = min(max(r, low), high)
    text = (
        f"Larger models want less and higher ranks a little more: {small(law.base)} × ({count(size)} / 8B)"
        f"^{law.size:g} × ({rank} / {REFERENCE_RANK})^{law.rank:g} × {factor:g} for {family} "
        f"= {small(two_digits(raw))}."
    )
    return text + _beyond(law, model, r, raw)


def _beyond(law: RateLaw, model: ModelSpec, r: int, raw: float) -> str:
    """Return sentences on the parts of the rate that are extrapolated beyond the sweep."""
    text, size = "", model.total_parameters
    if taken := facts(model).taken_as:
        text += f" {taken}"
    least, most = law.parameters
    if not _was_measured(size, law):
        text += f" {count(size)} parameters lie outside the {count(least)} to {count(most)} that were measured."
    if r > law.ranks[1]:
        text += f" Ranks beyond {law.ranks[1]} were not measured."
    if raw > law.highest:
        text += f" Capped at {small(law.highest)}, the highest rate that was best for any swept model."
    return text


def _was_measured(parameters: int, law: RateLaw) -> bool:
    """Whether the size lies within the swept ones, which the law's file gives in three digits."""
    least, most = law.parameters
    return least <= float(f"{parameters:.3g}") <= most


def _measured(row: SweepRow, context: Context) -> str:
    sweep = load_sweep()
    ordered = sorted(row.test_nll, key=lambda swept: row.test_nll[swept])[:3]
    losses = ", ".join(f"{row.test_nll[swept]:.3f} at {small(swept)}" for swept in ordered)
    yours = _rows_a_step(context)
    batch = "" if yours == sweep.batch else f" Your batch is {yours}."
    return f"Measured ({row.model}, r {row.r}, batch {sweep.batch}): test loss {losses}.{batch}"


def _evidence(row: SweepRow | None) -> tuple[Evidence, ...]:
    if row is None:
        return ()
    sweep = load_sweep()
    note = f"{sweep.data}, {sweep.steps} steps of batch {sweep.batch}, 16-bit LoRA, lora_alpha {sweep.lora_alpha}"
    return tuple(
        Evidence(f"{row.model}, r {row.r}, rate {small(swept)}", f"{loss:.4f}", note)
        for swept, loss in sorted(row.test_nll.items())
    )


def _confidence(context: Context, row: SweepRow | None) -> Confidence:
    """Return the confidence, medium at most: no plan repeats the sweep's conditions."""
    model, config, law = context.model, context.config, load_rate_law()
    calibrated = facts(model).sweep in law.families and _was_measured(model.total_parameters, law)
    usual = config.method == "full" or (two_digits(scale_factor(config.lora)) == 1 and not unlike_the_sweep(config))
    near = context.steps is None or SHORT_STEPS <= context.steps <= LONGEST_SURE
    return "medium" if row is not None and calibrated and usual and near and config.lora.r <= law.ranks[1] else "low"


RULES = (Rule("learning rate", (RATE,), rate, explain_rate),)
