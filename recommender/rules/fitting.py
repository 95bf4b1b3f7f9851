"""Advice for a run that overfits, underfits or learns nothing, for its diagnosis and for the page of rules.

An order, not a list: the first advice is what the sources agree on and what costs least, and each has its figure from
the configuration that it is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from presets.rate_law import load_rate_law
from recommender.config.schema import FinetuneConfig
from recommender.units import count, small

SMALLEST_RANK = 4
LARGEST_RANK = 256
DROPOUT = 0.1
DECAY = 0.1
LORA_FACTOR = 10
"""LoRA's best rate over full fine-tuning's (LoRA Without Regret: 9.8 on average)."""
NOTHING_MOVES = 5
"""Times the rate to try when the loss has not moved: doubling is for a rate that is nearly right (this project)."""
PATIENCE = 2
"""Evaluations without a better loss after which early stopping ends a run."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One change, in its place among others."""

    change: str
    """Phrase for the change, with its figures."""
    changes: Mapping[str, Any]
    """The same as dotted key to value; empty where it is about data."""
    why: str
    source: str


NEARER = Advice(
    "rows nearer to the task",
    {},
    "What is not in the rows cannot be learnt from them.",
    "LoRA hyperparameter guide",
)


def against_overfitting(config: FinetuneConfig, *, best_epoch: float | None = None) -> tuple[Advice, ...]:
    """Return the changes against a held-out loss that rises while the training loss falls, first one first.

    Args:
        config: The run's configuration.
        best_epoch: How many passes over the rows had been made at the least held-out loss, where it is known.
    """
    return tuple(_less(config, best_epoch))


def against_underfitting(config: FinetuneConfig, *, falling: bool = False) -> tuple[Advice, ...]:
    """Return the changes against losses that both stay high, first one first.

    Args:
        config: The run's configuration.
        falling: Whether held-out loss still fell when the run ended: then more steps come first, since they are known
            to help, and what the rows hold is not the limit yet.
    """
    faster, longer = list(_faster(config, 2)), list(_longer(config))
    return tuple([*longer, *faster, *_wider(config)] if falling else [*faster, *longer, *_wider(config), NEARER])


def against_no_learning(config: FinetuneConfig) -> tuple[Advice, ...]:
    """Return the changes against a training loss that has not moved since the run began, first one first.

    Args:
        config: The run's configuration.
    """
    return (*_faster(config, NOTHING_MOVES), *_wider(config))


def _less(config: FinetuneConfig, best_epoch: float | None) -> Iterator[Advice]:
    training = config.training
    fewer = _fewer_epochs(training.num_train_epochs, best_epoch)
    if training.max_steps is None and fewer < training.num_train_epochs:
        yield Advice(
            f"num_train_epochs {small(training.num_train_epochs)} → {small(fewer)}",
            {"training.num_train_epochs": fewer},
            "Repeated rows are what is learnt by heart; a shorter schedule also settles earlier.",
            "Raschka 2023, point 5; LoRA hyperparameter guide",
        )
    if config.run.early_stopping is None:
        yield Advice(
            f"early_stopping {PATIENCE}",
            {"run.early_stopping": PATIENCE},
            "The best checkpoint is kept and the rest not trained.",
            "Transformers, EarlyStoppingCallback",
        )
    yield Advice(
        "more rows, or a general data set mixed in",
        {},
        "More to learn leaves less to learn by heart.",
        "Raschka 2023, question 5; LoRA hyperparameter guide",
    )
    yield from _held_back(config)


def _held_back(config: FinetuneConfig) -> Iterator[Advice]:
    """Yield changes by which the same rows are fitted less closely."""
    training, lora, adapter = config.training, config.lora, config.method != "full"
    if adapter and config.start_from is None and lora.r > SMALLEST_RANK:
        lower = max(SMALLEST_RANK, lora.r // 2)
        yield Advice(
            f"r {lora.r} → {lower}",
            {"lora.r": lower},
            "A smaller adapter holds less.",
            "Raschka 2023, question 5",
        )
    half = float(f"{training.learning_rate / 2:.1e}")
    yield Advice(
        f"learning_rate {small(training.learning_rate)} → {small(half)}",
        {"training.learning_rate": half},
        "It moves less far from the base model in the same steps.",
        "LoRA hyperparameter guide, for short runs; it says the contrary for long ones",
    )
    if adapter and lora.lora_dropout < DROPOUT:
        yield Advice(
            f"lora_dropout {small(lora.lora_dropout)} → {DROPOUT:g}",
            {"lora.lora_dropout": DROPOUT},
            "A different part of the input is left out at every step.",
            "Dettmers et al. 2023 (QLoRA), appendices A and B.2, up to 13B; LoRA hyperparameter guide",
        )
    if training.weight_decay < DECAY:
        yield Advice(
            f"weight_decay {small(training.weight_decay)} → {DECAY:g}",
            {"training.weight_decay": DECAY},
            "It pulls towards the base model; last, because low rank does so already.",
            "LoRA hyperparameter guide, which goes to 0.3 and 1.0",
        )


def _fewer_epochs(epochs: float, best_epoch: float | None) -> float:
    """Return the epochs at the least held-out loss, in halves; one epoch less where that is not known."""
    if best_epoch is not None:
        return max(0.5, min(epochs, round(2 * best_epoch) / 2))
    return max(1.0, epochs - 1) if epochs > 1 else epochs


def _faster(config: FinetuneConfig, times: int) -> Iterator[Advice]:
    """Yield a higher rate, up to the highest best rate of any swept model; a tenth of that where all weights train."""
    now = config.training.learning_rate
    highest = load_rate_law().highest / (LORA_FACTOR if config.method == "full" else 1)
    higher = min(highest, float(f"{times * now:.1e}"))
    if higher > now:
        yield Advice(
            f"learning_rate {small(now)} → {small(higher)}",
            {"training.learning_rate": higher},
            "A rate that is too low is the usual cause; `lora-wizard try` compares.",
            "LoRA Without Regret (2025); LoRA hyperparameter guide, for short runs",
        )


def _longer(config: FinetuneConfig) -> Iterator[Advice]:
    training = config.training
    if training.max_steps is not None:
        more_steps = 2 * training.max_steps
        yield Advice(
            f"max_steps {count(training.max_steps)} → {count(more_steps)}",
            {"training.max_steps": more_steps},
            "More steps, while held-out loss still falls.",
            "LoRA hyperparameter guide",
        )
    else:
        more = training.num_train_epochs + 1
        yield Advice(
            f"num_train_epochs {small(training.num_train_epochs)} → {small(more)}",
            {"training.num_train_epochs": more},
            "More steps over the same rows, while held-out loss still falls.",
            "LoRA hyperparameter guide",
        )


def _wider(config: FinetuneConfig) -> Iterator[Advice]:
    """Yield changes that train more of the model; the size of an adapter that training starts from is fixed."""
    lora, adapter = config.lora, config.method != "full" and config.start_from is None
    if adapter and lora.target_modules != "all-linear":
        yield Advice(
            "target_modules → all-linear",
            {"lora.target_modules": "all-linear"},
            "Adapters on attention alone learn less at equal parameter count.",
            "LoRA Without Regret (2025); Raschka 2023, point 6",
        )
    if adapter and lora.r < LARGEST_RANK:
        higher = min(LARGEST_RANK, 2 * lora.r)
        yield Advice(
            f"r {lora.r} → {higher}",
            {"lora.r": higher},
            "More room for what the rows hold; lora_alpha stays, so that the rate does.",
            "LoRA Without Regret (2025); LoRA hyperparameter guide, which raises alpha too",
        )
