"""Whether every adapter learns: each that should has a gradient after the first step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from peft.tuners.tuners_utils import BaseTunerLayer

from presets.errors import InputError
from trainer.run.folder import RunFolder
from trainer.worker.output.disk_space import record

STEPS: Final = 8
"""Steps in which an adapter's gradient may be exactly zero before it is taken for one that cannot learn: one row of one
token gives queries and keys none, for their softmax is over a single score."""


class CannotLearn(InputError):
    """The error of a run whose adapter cannot learn.

    Attributes:
        kinds: The leaf names of its layers, each with how many of them cannot.
        count: Adapted modules in all.
        learning: Those of them that learn.
    """

    def __init__(self, base: str, names: Sequence[str], adapters: Sequence[str], why: str) -> None:
        self.kinds = dict(sorted(Counter(_leaf(name) for name in names).items()))
        self.count, self.learning = len(adapters), len(adapters) - len(names)
        others = sorted({_leaf(name) for name in adapters} - self.kinds.keys())
        said = ", ".join(f"{kind} ({count})" for kind, count in self.kinds.items())
        super().__init__(
            f"{len(names)} of the {len(adapters)} adapters of {base} cannot learn: {why}. They stand on {said}.",
            remedy=f"Train without them: --set 'lora.target_modules=[{', '.join(others)}]'."
            if others
            else "No adapter of this model learns this way: train other layers, or another model.",
        )


@dataclass(frozen=True)
class Learning:
    """The adapters of a model after a step.

    Attributes:
        adapters: Names of the adapted modules.
        unreached: Those that no gradient reaches: a weight of theirs has none at all.
        zero: Those whose gradient is exactly zero.
    """

    adapters: Sequence[str]
    unreached: Sequence[str]
    zero: Sequence[str]


def learning_of(model: Any) -> Learning:
    """Return which adapters have a gradient now.

    Args:
        model: PEFT's, after a backward pass.
    """
    adapters, unreached, zero = [], [], []
    for name, layer in model.named_modules():
        weights = list(_trained(layer)) if isinstance(layer, BaseTunerLayer) else []
        if not weights:
            continue
        adapters.append(name)
        if any(weight.grad is None for weight in weights):
            unreached.append(name)
        elif not any(bool(weight.grad.any()) for weight in weights):
            zero.append(name)
    return Learning(adapters, unreached, zero)


def _trained(layer: Any) -> Iterator[Any]:
    """Yield the trained weights of one adapted module, of its own and not of a module inside it."""
    for kind in layer.adapter_layer_names:
        holder = getattr(layer, kind, None)
        if holder is not None and hasattr(holder, "parameters"):
            yield from (weight for weight in holder.parameters() if weight.requires_grad)


class LearningCheck:
    """Looks at the adapters' gradients from the first step on, until each has had one that is not zero.

    Attributes:
        done: Nothing is left to look at.
    """

    def __init__(self) -> None:
        self.done = False
        self._waiting: set[str] | None = None
        self._steps = 0

    def look(self, model: Any) -> Learning | None:
        """Look at a step's gradients, unscaled and finite.

        Returns:
            What was found, where all adapters learn; None while some are still awaited, or when there is nothing to do.

        Raises:
            CannotLearn: An adapter that no gradient reaches, or one that stayed at zero: see `STEPS`.
        """
        if self.done:
            return None
        found = learning_of(model)
        if found.unreached:
            raise CannotLearn(_name(model), found.unreached, found.adapters, "no gradient reaches them")
        self._steps += 1
        waiting = set(found.zero) if self._waiting is None else self._waiting & set(found.zero)
        self._waiting = waiting
        if waiting and self._steps >= STEPS:
            why = f"their gradient was exactly zero in each of the first {STEPS} steps"
            raise CannotLearn(_name(model), sorted(waiting), found.adapters, why)
        self.done = not waiting
        return found if self.done else None

    def record(self, folder: RunFolder, model: Any, step: int) -> None:
        """Look at a step's gradients, and record that every adapter learns or the kinds that cannot.

        Raises:
            CannotLearn: See `look`.
        """
        try:
            found = self.look(model)
        except CannotLearn as problem:
            count, learning = problem.count, problem.learning
            record(folder, "adapters", step=step, count=count, learning=learning, without=problem.kinds)
            raise
        if found is not None:
            record(folder, "adapters", step=step, count=len(found.adapters), learning=len(found.adapters))


def require_reached(model: Any) -> None:
    """Check after one backward pass that a gradient reaches every adapter, however small it is.

    Args:
        model: PEFT's, or one that is trained whole, of which nothing is asked.

    Raises:
        CannotLearn: None reaches one of them.
    """
    found = learning_of(model)
    if found.unreached:
        raise CannotLearn(_name(model), found.unreached, found.adapters, "no gradient reaches them")


def _name(model: Any) -> str:
    return type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__


def _leaf(name: str) -> str:
    parts = [part for part in name.split(".") if part != "base_layer"]
    return parts[-1]
