"""The adapter: rank, scale, target modules, and the variants that are left off."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from presets.sweep import load_sweep
from recommender.config.edit import with_values
from recommender.config.schema import Goal, Task
from recommender.memory.workload import find_targets
from recommender.model.facts import facts
from recommender.model.spec import ModelSpec
from recommender.rules import variants
from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values, by_how_much, slower
from recommender.rules.fitting import DROPOUT
from recommender.rules.reason import Evidence, Reason
from recommender.units import count, counted, gib, percent, small

TASK, TARGETS, RANK = "data.task", "lora.target_modules", "lora.r"
LORA_ALPHA, LORA_DROPOUT = "lora.lora_alpha", "lora.lora_dropout"
ALPHA = 32
"""lora_alpha of the runs that the learning-rate rule was measured with."""
RANKS: Mapping[Goal, tuple[int, int]] = {
    "balanced": (16, 64),
    "fastest": (16, 64),
    "longest-context": (16, 64),
    "best-quality": (64, 256),
    "smallest-memory": (8, 8),
}
"""Least and greatest rank by goal, for a task.

16 is where the guides start; beyond 64 the sweep gains at most half a percent of loss.
"""
DISTANCE: Mapping[Task, float] = {"style": 0.5, "task": 1.0, "domain": 2.0}
"""Factor on the range of ranks by the distance of the data from what the model does already."""
"""The linear layers of attention, also where three of them are one."""
WANTED: Mapping[Goal, str] = {
    "balanced": "a balanced plan",
    "fastest": "the fastest plan",
    "longest-context": "the longest context",
    "best-quality": "the best quality",
    "smallest-memory": "the smallest memory",
}
DISTANT: Mapping[Task, str] = {
    "style": "a style or a format, which needs little",
    "task": "a task",
    "domain": "a new domain or language, which needs more",
}
CAPACITY = 4
"""Adapter parameters for each trained token. Theory asks for one or more (LoRA Without Regret); in the sweep, whose
runs saw some 10^7.5 trained tokens, the loss still falls by 0.4 % on 8B models from r 16, about one parameter a
token, to r 64, and by 0.15 % at most beyond."""


def rank_unit(model: ModelSpec, targets: str | list[str] = "all-linear") -> int:
    """Parameters that one unit of rank adds over the target modules."""
    return sum(
        linear.adapter_parameters(1) for linear in model.linears if targets == "all-linear" or linear.name in targets
    )


def capacity_rank(each: int, tokens: int, low: int, high: int) -> int:
    """The power of two times `low` at which the adapter has `CAPACITY` parameters for each token.

    Args:
        each: Parameters of one unit of rank.
        tokens: Trained tokens.
        low: Least rank.
        high: Greatest rank.
    """
    rank = low
    while each and rank < high and rank * each < CAPACITY * tokens:
        rank *= 2
    return rank


def rank_range(context: Context) -> tuple[int, int]:
    """Least and greatest rank for the goal and the task's distance."""
    low, high = RANKS[context.goal]
    factor = DISTANCE[context.config.data.task]
    return round(low * factor), round(high * factor)


def recommended_rank(context: Context) -> int:
    """The power of two with capacity enough for the trained tokens, within the range of the goal and the task."""
    low, high = rank_range(context)
    tokens = context.trained_tokens
    if tokens is None:
        return low
    return capacity_rank(rank_unit(context.model, context.config.lora.target_modules), tokens, low, high)


def task(_: Context) -> Values:
    """Distance of the data from what the model does already; only the person knows it."""
    return {TASK: "task"}


def explain_task(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the assumed task, with the range of ranks that follows from it."""
    low, high = rank_range(context)
    return {
        TASK: Reason(
            values[TASK],
            f"Nothing in the rows says whether they teach a style or format, a task, or a new domain or language: "
            f"a task is assumed, with ranks from {RANKS[context.goal][0]} to {RANKS[context.goal][1]}."
            + ("" if context.config.data.task == "task" else f" With '{context.config.data.task}': {low} to {high}."),
            "this project; the direction is the r/alpha note's: small r for general tasks, larger where the domain "
            "is far",
            "low",
            others="The r/alpha note: r 1 to 8 for general tasks, 8 to 32 for complex ones or far domains.",
            costs="none by itself: it moves the rank.",
        )
    }


def rank(context: Context) -> Values:
    """Rank whose capacity matches the trained tokens."""
    searched = context.searched.get(RANK)
    return {RANK: int(recommended_rank(context) if searched is None else searched)}


def explain_rank(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the rank: the adapter's parameters against the trained tokens."""
    value, wanted = values[RANK], recommended_rank(context)
    return {
        RANK: Reason(
            value,
            _why_rank(context, value, wanted),
            "Thinking Machines, LoRA Without Regret (2025): LoRA falls behind once the data exceeds its capacity; "
            "the factor is read from their chat_sl sweep",
            "medium" if context.trained_tokens is not None else "low",
            evidence=_rank_evidence(context),
            others="LLaMA-Factory's default is 8; the r/alpha note says 1 to 8 for general tasks and 8 to 32 for "
            "complex ones; Unsloth 16 or 32, the LoRA hyperparameter guide 4 to 128; Raschka's best was 256.",
            costs=_rank_costs(context, context.config.lora.r),
        )
    }


def _why_rank(context: PricedContext, value: int, wanted: int) -> str:
    tokens = context.trained_tokens
    targeted = find_targets(with_values(context.config, {RANK: value}), context.model)
    adapter = sum(target.parameters for target in targeted)
    low, high = rank_range(context)
    distance = DISTANT[context.config.data.task]
    if value < wanted and context.estimate.fits == "no":
        return f"Nothing fits here; r {value}, the least that a plan takes, comes nearest; r {wanted} was wanted."
    if value < wanted:
        return f"Memory allows r {value}, not the {wanted} wanted here; {count(adapter)} trained parameters."
    if tokens is None:
        return f"Without data, where the guides start for {distance}; {count(adapter)} trained parameters."
    per_token = (
        f"{count(adapter)} adapter parameters for {count(tokens)} trained tokens, {small_share(adapter, tokens)}"
    )
    if context.config.lora.rank_pattern:
        return f"{per_token}, with the ranks of rank_pattern; {CAPACITY} are wanted."
    if adapter < CAPACITY * tokens:
        return (
            f"{per_token}: fewer than the {CAPACITY} that are wanted; r {high} is the most for "
            f"{WANTED[context.goal]} and {distance}."
        )
    if value == low:
        return (
            f"{per_token}: {CAPACITY} are enough, and r {low} is the least for {WANTED[context.goal]} and {distance}."
        )
    return f"{per_token}: at half the rank there would be fewer than {CAPACITY}."


def small_share(adapter: int, tokens: int) -> str:
    """Adapter parameters for each trained token: '4.2 a token'."""
    return f"{float(f'{adapter / max(1, tokens):.2g}'):g} a token"


def _rank_evidence(context: PricedContext) -> tuple[Evidence, ...]:
    sweep = load_sweep()
    row = sweep.nearest(facts(context.model).sweep, context.model.total_parameters, context.config.lora.r)
    if row is None:
        return ()
    note = f"{sweep.data}, {sweep.steps} steps of batch {sweep.batch}, test loss at the best swept rate"
    return tuple(
        Evidence(f"{each.model}, r {each.r}", f"{each.test_nll[each.best_rate]:.3f}", f"{note} {small(each.best_rate)}")
        for each in sweep.same_model(row)
    )


def _rank_costs(context: PricedContext, value: int) -> str:
    here = context.priced({RANK: value})
    double = context.priced({RANK: value * 2})
    more = double.peak.process_bytes - here.peak.process_bytes
    time = by_how_much(slower(here, double))
    return f"r {value * 2} would take {gib(more)} more" + (f" and be {time}." if time else ".")


def alpha(context: Context) -> Values:
    """lora_alpha that scales the update as in the runs behind the learning-rate rule."""
    lora = context.config.lora
    value = ALPHA / sqrt(min(lora.r, variants.RS_FROM)) if lora.use_rslora else float(ALPHA)
    return {LORA_ALPHA: float(f"{value:.3g}")}


def explain_alpha(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for lora_alpha: the scale of the update that it gives."""
    lora, value = context.config.lora, values[LORA_ALPHA]
    scale = value / (sqrt(lora.r) if lora.use_rslora else lora.r)
    how = "lora_alpha / sqrt(r)" if lora.use_rslora else "lora_alpha / r"
    why = (
        f"The update is scaled by {how} = {small(scale)}. The learning rate was measured at lora_alpha {ALPHA} over r, "
    )
    if lora.use_rslora:
        why += (
            f"which is {small(ALPHA / lora.r)} here; from rank {variants.RS_FROM} on it falls with the root of r alone."
        )
    else:
        why += "for ranks from 1 to 128: keeping it keeps that rate valid."
    return {
        LORA_ALPHA: Reason(
            value,
            why,
            "Thinking Machines, LoRA Without Regret (2025), and the cookbook's sweep: alpha 32, scale alpha / r",
            "medium",
            others=f"The walk-through guide and Raschka take twice the rank ({2 * lora.r} here"
            f"{', the same' if 2 * lora.r == value else ''}); Unsloth the rank itself ({lora.r}); the QLoRA paper "
            f"16 at "
            "r 64; the r/alpha note 16 or 32, for complex tasks 32 or 64.",
            costs="none",
        )
    }


def _left_out(model: ModelSpec) -> str:
    """A sentence for each reason why linear layers of the class get no adapter; empty where all do."""
    kept: dict[str, list[str]] = {}
    for linear in model.anatomy.kept_linears if model.anatomy else ():
        names = kept.setdefault(linear.reason, [])
        if linear.name not in names:
            names.append(linear.name)
    return "".join(f" Not on {', '.join(names)}: {reason}." for reason, names in kept.items())


def targets(_: Context) -> Values:
    """Adapters on every linear layer."""
    return {TARGETS: "all-linear"}


def explain_targets(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for adapting every linear layer, with the saving of attention alone."""
    names = ", ".join(dict.fromkeys(linear.name for linear in context.model.linears)) or "every linear layer"
    costs = ""
    attention = list(context.model.mixer_linears)
    if attention:
        less = context.compared({TARGETS: attention})
        saved = context.estimate.peak.process_bytes - less.peak.process_bytes if less else 0
        costs = f"Attention layers alone would save {gib(saved)}." if saved > 0 else "none"
    return {
        TARGETS: Reason(
            values[TARGETS],
            (
                _why_experts(context.model, names)
                if context.model.num_experts
                else f"All of {names}: adapters on every layer learn as full fine-tuning does, on attention alone they "
                "do not, even at equal parameter count."
            )
            + _left_out(context.model),
            "Dettmers et al. 2023 (QLoRA), figure 2; Thinking Machines, LoRA Without Regret (2025)",
            "medium" if context.model.num_experts else "high",
            others="LLaMA-Factory's form suggests q_proj and v_proj, or all; Raschka gained by adding all layers; "
            "Unsloth "
            "advises against dropping any.",
            costs=costs,
        )
    }


def _why_experts(model: ModelSpec, names: str) -> str:
    """Return the reason for the target modules of a mixture of experts: its experts are out of the adapter's reach."""
    fused = sum(one.parameters for one in model.anatomy.experts) if model.anatomy else model.other_parameters
    share = percent(fused / model.total_parameters)
    return (
        f"All of {names}. {share} of this model's parameters are experts and routers in fused tensors, which adapters "
        "on linear layers do not reach: they stay frozen, unless lora.experts is true. With fewer layers reached, "
        "expect less than of a dense model."
    )


def dropout(_: Context) -> Values:
    """No dropout."""
    return {LORA_DROPOUT: 0.0}


def explain_dropout(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for no dropout, with published measurements and its price here."""
    rows, epochs = context.training_rows, context.config.training.num_train_epochs
    seen = f" {_seen(rows, epochs)};" if rows else ""
    return {
        LORA_DROPOUT: Reason(
            values[LORA_DROPOUT],
            f"Off:{seen} dropout slows the adapter's product and keeps one more activation a layer, and the runs "
            "behind the learning-rate rule had none. Raise it if the evaluation loss turns up.",
            "Thinking Machines, LoRA Without Regret (2025); Unsloth: 0 is the optimised path",
            "medium",
            others="The QLoRA paper used 0.1 up to 13B and 0.05 above; the LoRA hyperparameter guide says 0.1 to 0.2; "
            "Raschka 0.05.",
            costs=_dropout_costs(context),
            evidence=variants.measured_of(LORA_DROPOUT),
        )
    }


def _seen(rows: int, epochs: float) -> str:
    if epochs < 1:
        return f"{percent(epochs)} of {counted(rows, 'row')} are seen once"
    often = "once" if epochs == 1 else f"{small(epochs)} times"
    return f"{counted(rows, 'row')} {'is' if rows == 1 else 'are'} seen {often}"


def _dropout_costs(context: PricedContext) -> str:
    """Return the memory cost of a dropout of 0.1: a mask and the masked input of every adapted layer."""
    if context.config.method == "full" or context.config.lora.lora_dropout:
        return "none at 0"
    dropped = context.compared({LORA_DROPOUT: DROPOUT})
    if dropped is None:
        return "none at 0"
    more = dropped.peak.process_bytes - context.estimate.peak.process_bytes
    return f"none at 0; {DROPOUT:g} would take {gib(max(0, more))} more, and time that the estimate leaves out."


RULES = (
    Rule("task", (TASK,), task, explain_task),
    Rule("target modules", (TARGETS,), targets, explain_targets),
    Rule("rank", (RANK,), rank, explain_rank),
    *variants.RULES,
    Rule("alpha", (LORA_ALPHA,), alpha, explain_alpha),
    Rule("dropout", (LORA_DROPOUT,), dropout, explain_dropout),
)
