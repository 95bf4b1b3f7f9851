"""The learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from presets.sweep import SweepRow, load_sweep
from recommender.config.schema import Lora
from recommender.model.spec import ModelSpec
from recommender.plan import Confidence, Evidence, Reason
from recommender.rules.adapter import ALPHA
from recommender.rules.base import Context, Rule
from recommender.rules.families import rate_law, sweep_family
from recommender.units import count, small

FULL_RATE = 5e-5
"""Rate of full fine-tuning at width 2000 in the published law."""
LORA_FACTOR = 10
"""LoRA's best rate over full fine-tuning's (LoRA Without Regret: 9.8 on average)."""
WIDTH = 2000
SWEPT_WIDTHS = (2048, 8192)
"""Hidden sizes between which the law was measured."""
FALLBACK = 3e-4
"""The one rate that loses least over the sweep's families without a law: those below 100B whose best
rate was bracketed have it within a factor of 1.7 of this one at rank 16."""
FALLBACK_LARGE = 2.5e-4
"""The same from 100B parameters on: a parabola through the sweep puts its largest models (235B and more, ranks 1 to 4)
between 1.6e-4 and 2.6e-4. The QLoRA paper's halving from 13B to 33B is not seen there."""
LARGE = 100_000_000_000


def law_rate(model: ModelSpec) -> float | None:
    """5e-5 × 10 × (2000 / hidden_size)^p, with p by family; None for a family without a published exponent."""
    law = rate_law(model)
    return None if law is None else FULL_RATE * LORA_FACTOR * (WIDTH / model.hidden_size) ** law.exponent


def base_rate(model: ModelSpec) -> float:
    """The LoRA rate at lora_alpha 32: the family's law, capped at the highest swept rate that was best; or a fallback.

    The cap is needed for models narrower than any that was swept.
    """
    rate = law_rate(model)
    if rate is None:
        return FALLBACK_LARGE if model.total_parameters >= LARGE else FALLBACK
    return min(rate, highest_best_rate())


def highest_best_rate() -> float:
    """The highest rate that was best for any model and rank in the sweep: beyond it everything is a guess."""
    return max(row.best_rate for row in load_sweep().rows)


def scale_factor(lora: Lora) -> float:
    """How the rate follows a scale other than the measured one: the square root of 32 over alpha.

    The update is alpha/r · B·A. Early on only B moves, and the rate should fall as 1/alpha; later both move, and as
    1/sqrt(alpha). The milder is taken. Rank-stabilised scaling multiplies alpha by sqrt(r).
    """
    effective = lora.lora_alpha * (sqrt(lora.r) if lora.use_rslora else 1)
    return sqrt(ALPHA / effective)


def two_digits(rate: float) -> float:
    """A rate as people write it: two significant digits."""
    return float(f"{rate:.1e}")


def rate(context: Context) -> Mapping[str, Reason]:
    """By family and width, adjusted to the method and the adapter's scale."""
    model, config = context.model, context.config
    full = config.method == "full"
    factor = 1 / LORA_FACTOR if full else scale_factor(config.lora)
    value = two_digits(base_rate(model) * factor)
    sentences = [_origin(model)]
    if full:
        sentences.append(f"Full fine-tuning takes a tenth: {small(value)}.")
    elif two_digits(factor) != 1:
        sentences.append(
            f"Measured at lora_alpha {ALPHA}; yours is {small(config.lora.lora_alpha)}"
            f"{' with rank-stabilised scaling' if config.lora.use_rslora else ''}, so the rate is multiplied by "
            f"sqrt({ALPHA} / scale) = {factor:.2f}, to {small(value)}: an extrapolation."
        )
    row = load_sweep().nearest(sweep_family(model), model.hidden_size, config.lora.r)
    if row is not None:
        sentences.append(_measured(row, context))
    return {
        "training.learning_rate": Reason(
            value,
            " ".join(sentences),
            "Thinking Machines, tinker-cookbook hyperparam_utils and chat_sl sweep (2025); LoRA Without Regret",
            _confidence(context, row),
            evidence=_evidence(row),
            others="The Unsloth guide starts at 2e-4; LLaMA-Factory's default is 5e-5 and its newcomer recipe 1e-4; "
            "TRL's default is 2e-5; the QLoRA paper 2e-4 up to 13B and 1e-4 from 33B; the LoRA hyperparameter guide "
            "1e-4 to 5e-5.",
            costs="none",
        )
    }


def _origin(model: ModelSpec) -> str:
    law, uncapped = rate_law(model), law_rate(model)
    if law is None or uncapped is None:
        size = f"{count(LARGE)} parameters or more" if model.total_parameters >= LARGE else "any width"
        return (
            f"No law is calibrated for this family ({model.model_type}): {small(base_rate(model))} is the rate that "
            f"loses least over the families that were swept, for {size}."
        )
    text = (
        f"LoRA wants about {LORA_FACTOR} times the full fine-tuning rate, less for wide models: {small(FULL_RATE)} × "
        f"{LORA_FACTOR} × ({WIDTH} / {model.hidden_size})^{law.exponent:.2g} = {small(two_digits(uncapped))}."
    )
    low, high = SWEPT_WIDTHS
    if not low <= model.hidden_size <= high:
        text += f" Width {model.hidden_size} lies outside the {low} to {high} that were measured: an extrapolation."
    if base_rate(model) < uncapped:
        text += f" Capped at {small(base_rate(model))}, the highest rate that was best for any swept model."
    return text


def _measured(row: SweepRow, context: Context) -> str:
    sweep = load_sweep()
    ordered = sorted(row.test_nll, key=lambda swept: row.test_nll[swept])[:3]
    losses = ", ".join(f"{row.test_nll[swept]:.3f} at {small(swept)}" for swept in ordered)
    yours = context.config.training.effective_batch_size
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
    """Medium at most: no plan repeats the sweep's conditions."""
    model, config = context.model, context.config
    inside = SWEPT_WIDTHS[0] <= model.hidden_size <= SWEPT_WIDTHS[1]
    usual = config.method == "full" or two_digits(scale_factor(config.lora)) == 1
    return "medium" if row is not None and inside and usual else "low"


RULES = (Rule("learning rate", ("training.learning_rate",), rate),)
