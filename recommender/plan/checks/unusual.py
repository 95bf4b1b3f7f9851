"""Warnings of values set far from the recommended ones: expected effect, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.rules.base import Context
from recommender.rules.registry import recommended_value
from recommender.rules.schedule import recommended_epochs
from recommender.units import small
from recommender.warning import CodedWarning, warning

FAR = 10.0
"""Ratio to the recommended value, or its inverse, from which a warning is given. In the public sweep
(`benchmarks/reference/lr_rank_sweep.csv`) ten times the best rate of a model and rank ended 4.9 % of test loss higher
(2 to 9 %, 5 settings), and a tenth of it 2.5 % higher (1 to 7 %, 55 settings)."""


def far_values(
    config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None
) -> Iterator[CodedWarning]:
    """Yield a warning for each value of ten times, or a tenth of, the recommended one beside the others.

    Args:
        config: The whole configuration.
        model: What is tuned.
        device: Where.
        data: Its rows; without them the run's length may be unknown.
    """
    context = Context(model, device, data, "balanced", config)
    ours, key = config.training.learning_rate, "training.learning_rate"
    advised = float(recommended_value(context, key))
    if ours >= FAR * advised:
        yield warning(
            "rate_far_above",
            f"learning_rate {small(ours)} is {ours / advised:.0f} times what is recommended: expect the loss to "
            f"diverge, or to end higher.",
            _back(key, advised),
        )
    elif ours * FAR <= advised:
        yield warning(
            "rate_far_below",
            f"learning_rate {small(ours)} is 1/{advised / ours:.0f} of what is recommended: expect the run to end "
            f"before much is learnt.",
            _back(key, advised),
        )
    passes, usual = config.training.num_train_epochs, recommended_epochs(context.training_rows)
    if config.training.max_steps is None and passes >= FAR * usual:
        yield warning(
            "epochs_far_above",
            f"num_train_epochs {small(passes)} is {passes / usual:.0f} times what is recommended: expect the rows to "
            f"be learnt by heart.",
            _back("training.num_train_epochs", usual),
        )


def _back(key: str, value: float) -> str:
    return f"Back to {small(value)}: backspace in the plan, or --set {key}={value:g}."
