"""The adapter: rank, scale, where it sits, and the variants that are left off."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from presets.sweep import load_sweep
from recommender.config.schema import FinetuneConfig, Goal
from recommender.model.spec import ModelSpec
from recommender.plan import Evidence, Reason
from recommender.rules.base import Context, Rule, by_how_much, slower
from recommender.rules.families import sweep_family
from recommender.units import count, gib, small

ALPHA = 32
"""lora_alpha of the runs that the learning-rate rule was measured with."""
RANKS: Mapping[Goal, tuple[int, int]] = {
    "balanced": (16, 64),
    "fastest": (16, 64),
    "longest-context": (16, 64),
    "best-quality": (64, 256),
    "smallest-memory": (8, 8),
}
"""Least and greatest rank by goal.

16 is where the guides start; beyond 64 the sweep gains at most half a percent of loss.
"""


def rank_parameters(config: FinetuneConfig, model: ModelSpec) -> int:
    """Parameters that one unit of rank adds over the chosen target modules."""
    targets = config.lora.target_modules
    return sum(
        linear.adapter_parameters(1) for linear in model.linears if targets == "all-linear" or linear.name in targets
    )


def recommended_rank(context: Context) -> int:
    """The power of two at which the adapter has a parameter for each trained token, within the goal's range."""
    low, high = RANKS[context.goal]
    each, tokens = rank_parameters(context.config, context.model), context.trained_tokens
    if not each or tokens is None:
        return low
    rank = low
    while rank < high and rank * each < tokens:
        rank *= 2
    return rank


def rank(context: Context) -> Mapping[str, Reason]:
    """Capacity against trained tokens."""
    wanted = recommended_rank(context)
    value = int(context.searched.get("lora.r", wanted))
    each, tokens = rank_parameters(context.config, context.model), context.trained_tokens
    adapter = value * each
    low, high = RANKS[context.goal]
    if value < wanted:
        why = f"Memory allows r {value}, not the {wanted} wanted here; {count(adapter)} trained parameters."
    elif tokens is None:
        why = f"Without data, the usual start; {count(adapter)} trained parameters."
    elif adapter >= tokens:
        why = (
            f"{count(adapter)} adapter parameters for {count(tokens)} trained tokens: enough capacity to learn "
            f"them, and "
            f"{'less than the usual start gains nothing' if value == low else 'half of it would fall short'}."
        )
    else:
        why = (
            f"{count(adapter)} adapter parameters for {count(tokens)} trained tokens. More would be wanted by capacity "
            f"alone; {high} is the most for the goal {context.goal}."
        )
    return {
        "lora.r": Reason(
            value,
            why,
            "Thinking Machines, LoRA Without Regret (2025): LoRA falls behind once the data exceeds its capacity",
            "medium",
            evidence=_rank_evidence(context),
            others="LLaMA-Factory's default is 8; the r/alpha note says 1 to 8 for general tasks and 8 to 32 for "
            "complex "
            "ones; Unsloth 16 or 32; Raschka's best was 256.",
            costs=_rank_costs(context, value),
        )
    }


def _rank_evidence(context: Context) -> tuple[Evidence, ...]:
    sweep = load_sweep()
    row = sweep.nearest(sweep_family(context.model), context.model.hidden_size, context.config.lora.r)
    if row is None:
        return ()
    note = f"{sweep.data}, {sweep.steps} steps of batch {sweep.batch}, test loss at the best swept rate"
    return tuple(
        Evidence(f"{each.model}, r {each.r}", f"{each.test_nll[each.best_rate]:.3f}", f"{note} {small(each.best_rate)}")
        for each in sweep.same_model(row)
    )


def _rank_costs(context: Context, value: int) -> str:
    if context.estimate is None:
        return ""
    here = context.priced({"lora.r": value})
    double = context.priced({"lora.r": value * 2})
    more = double.peak.process_bytes - here.peak.process_bytes
    time = by_how_much(slower(here, double))
    return f"r {value * 2} would take {gib(more)} more" + (f" and be {time}." if time else ".")


def alpha(context: Context) -> Mapping[str, Reason]:
    """The update's scale stays as in the runs behind the learning-rate rule."""
    lora = context.config.lora
    value = ALPHA / sqrt(lora.r) if lora.use_rslora else float(ALPHA)
    value = float(f"{value:.3g}")
    scale = value / (sqrt(lora.r) if lora.use_rslora else lora.r)
    how = "lora_alpha / sqrt(r)" if lora.use_rslora else "lora_alpha / r"
    why = (
        f"The update is scaled by {how} = {small(scale)}. The learning rate was measured at lora_alpha {ALPHA} over r, "
        "for every rank: keeping it keeps the rate valid when r changes."
    )
    return {
        "lora.lora_alpha": Reason(
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


def targets(context: Context) -> Mapping[str, Reason]:
    """Every linear layer."""
    names = ", ".join(dict.fromkeys(linear.name for linear in context.model.linears)) or "every linear layer"
    costs = ""
    attention = [
        linear.name for linear in context.model.linears if linear.name in ("q_proj", "k_proj", "v_proj", "o_proj")
    ]
    if context.estimate is not None and attention:
        less = context.priced({"lora.target_modules": attention})
        saved = context.estimate.peak.process_bytes - less.peak.process_bytes
        costs = f"Attention layers alone would save {gib(saved)}." if saved > 0 else "none"
    return {
        "lora.target_modules": Reason(
            "all-linear",
            f"All of {names}: adapters on every layer learn as full fine-tuning does, on attention alone they do not, "
            "even at equal parameter count.",
            "Dettmers et al. 2023 (QLoRA), figure 2; Thinking Machines, LoRA Without Regret (2025)",
            "high",
            others="LLaMA-Factory's form suggests q_proj and v_proj, or all; Raschka gained by adding all layers; "
            "Unsloth "
            "advises against dropping any.",
            costs=costs,
        )
    }


def dropout(context: Context) -> Mapping[str, Reason]:
    """None."""
    rows, epochs = context.training_rows, context.config.training.num_train_epochs
    seen = f" {count(rows)} rows are seen {'once' if epochs == 1 else f'{small(epochs)} times'};" if rows else ""
    return {
        "lora.lora_dropout": Reason(
            0.0,
            f"Off:{seen} dropout slows the adapter's product and keeps one more activation a layer, and the runs "
            f"behind "
            "the learning-rate rule had none. Raise it if the evaluation loss turns up.",
            "Thinking Machines, LoRA Without Regret (2025); Unsloth: 0 is the optimised path",
            "medium",
            others="The QLoRA paper used 0.1 up to 13B and 0.05 above; the LoRA hyperparameter guide says 0.1 to 0.2; "
            "Raschka 0.05.",
            costs="none at 0",
        )
    }


def variants(context: Context) -> Mapping[str, Reason]:
    """What is left off, and what it would cost to turn on."""
    dora = ""
    if context.estimate is not None and context.config.method != "full":
        more = context.priced({"lora.use_dora": True})
        extra = more.peak.process_bytes - context.estimate.peak.process_bytes
        dora = f"On, it would take {gib(max(0, extra))} more."
    return {
        "lora.use_rslora": Reason(
            False,
            "With lora_alpha / r the best learning rate hardly moves with the rank; rank-stabilised scaling would "
            "move it.",
            "Thinking Machines, LoRA Without Regret (2025); Kalajdzievski 2023 (rsLoRA)",
            "medium",
            others="Unsloth advises it for continued pre-training at high rank.",
            costs="none",
        ),
        "lora.use_dora": Reason(
            False,
            "It recomputes a weight norm in every layer and step; its published gain over LoRA is greatest at ranks "
            "4 and 8.",
            "Liu et al. 2024 (DoRA); PEFT's documentation on its overhead",
            "medium",
            others="The DoRA paper finds it better than LoRA at every rank that it tried.",
            costs=dora,
        ),
        "lora.init_lora_weights": Reason(
            True,
            "B starts at zero, so the first step starts from the base model exactly.",
            "Hu et al. 2021 (LoRA), section 4.1",
            "high",
            others="PiSSA and LoftQ start from the weights' singular vectors: better in their papers, minutes of "
            "preparation, and memory for it.",
            costs="none",
        ),
        "lora.bias": Reason(
            "none",
            "Biases are few and most of these models have none; training them changes the model even with the "
            "adapter off.",
            "PEFT, LoraConfig; Unsloth: none is the optimised path",
            "high",
            costs="none",
        ),
        "lora.modules_to_save": Reason(
            [],
            "No layer is trained in full: the embedding and the head only need it for new tokens.",
            "PEFT, LoraConfig",
            "high",
            others="Unsloth trains embedding and head in continued pre-training.",
            costs=f"Embedding and head would be {count(_embeddings(context.model))} more trained parameters.",
        ),
        "lora.rank_pattern": Reason(
            {},
            "One rank for all layers.",
            "Raschka 2023, question 10: ranks by layer add choices without a proven gain",
            "medium",
            costs="none",
        ),
        "lora.alpha_pattern": Reason(
            {},
            "One scale for all layers, as one rank.",
            "PEFT, LoraConfig",
            "medium",
            costs="none",
        ),
    }


def _embeddings(model: ModelSpec) -> int:
    return model.embedding_parameters + model.head_parameters


RULES = (
    Rule("target modules", ("lora.target_modules",), targets),
    Rule("rank", ("lora.r",), rank),
    Rule(
        "variants",
        (
            "lora.use_rslora",
            "lora.use_dora",
            "lora.init_lora_weights",
            "lora.bias",
            "lora.modules_to_save",
            "lora.rank_pattern",
            "lora.alpha_pattern",
        ),
        variants,
    ),
    Rule("alpha", ("lora.lora_alpha",), alpha),
    Rule("dropout", ("lora.lora_dropout",), dropout),
)
