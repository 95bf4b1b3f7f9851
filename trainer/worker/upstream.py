"""Private names of Transformers, TRL and PyTorch that a run depends on, all of them in this file.

`require_known` looks at each before a run starts. A renamed method would else be overridden in vain, and steps without
a finite gradient, say, be learned from without a word.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType
from typing import Any, Final

import torch
from torch.optim.lr_scheduler import LRScheduler
from transformers import Trainer

from presets.errors import InputError
from trainer.worker.setup.sharding import norm_of

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "_maybe_log_save_evaluate": (),
    "_save_checkpoint": ("model", "trial"),
    "_get_output_dir": ("trial",),
    "_get_grad_norm": ("model", "grad_norm"),
    "_load_from_checkpoint": ("resume_from_checkpoint", "model"),
    "_prepare_inputs": ("inputs",),
    "_save_rng_state": ("output_dir",),
    "_save": ("output_dir", "state_dict"),
}
"""Methods of a trainer that are overridden or called, with the parameters that they are given by name or place."""
ATTRIBUTES: Final = (
    "_tr_loss",
    "_globalstep_last_logged",
    "_total_train_tokens",
    "_metrics",
    "maybe_activation_offload_context",
)
"""Attributes of a trainer: the loss since the last log line (a tensor) and the step of that line; TRL's count of
tokens, its figures since that line, and its context that moves activations to the host."""
SCHEDULER_ATTRIBUTE: Final = "_last_lr"
"""The rates that a scheduler's `get_last_lr` returns."""
LIBRARIES: Final = ("torch", "transformers", "trl")


class OpenTrainer(Trainer):  # type: ignore[misc]  # Transformers is published without type information
    """A mixin over Transformers' Trainer: hooks and figures under public names, for a class that also is TRL's.

    Attributes:
        checkpoint_parent: The folder that checkpoints are written into; None for the trainer's own.
        gathered: The weights that are saved, whole; None where the model has them itself.
    """

    optimizer: Any
    checkpoint_parent: Path | None = None
    gathered: Mapping[str, torch.Tensor] | None = None
    _alone: bool = False

    # Hooks, to be overridden

    def on_step_reported(self) -> None:
        """Called after each step, once it is logged, evaluated and saved as far as that is due."""

    def write_checkpoint(self, write: Callable[[], None]) -> None:
        """Write a checkpoint by calling `write`, which makes the folder checkpoint-STEP."""
        write()

    def on_gradient(self, model: Any, norm: float) -> None:
        """Called with the norm of each step's gradient before the optimizer steps."""

    def load_weights(self, checkpoint: Path, model: Any) -> None:
        """Load a checkpoint's weights into a model."""
        super()._load_from_checkpoint(str(checkpoint), model)

    # What the trainer calls

    def _maybe_log_save_evaluate(self, *arguments: Any, **options: Any) -> None:
        super()._maybe_log_save_evaluate(*arguments, **options)
        self.on_step_reported()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.write_checkpoint(lambda: super(OpenTrainer, self)._save_checkpoint(model, trial))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.checkpoint_parent or super()._get_output_dir(trial))

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = norm_of(super()._get_grad_norm(model, grad_norm=grad_norm))
        self.on_gradient(model, norm)
        return norm

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict=self.gathered if state_dict is None else state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.load_weights(Path(resume_from_checkpoint), self.model if model is None else model)

    def store_flos(self) -> None:
        """Count the operations since the last call; ranks exchange theirs, which one that writes alone cannot."""
        if not self._alone:
            super().store_flos()

    # What callers need

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it this rank saves without the others: nothing is exchanged."""
        self._alone = True
        try:
            yield
        finally:
            self._alone = False

    def random_states(self) -> bytes:
        """Return the file of this rank's random states, as a checkpoint has it."""
        with TemporaryDirectory() as place:
            self._save_rng_state(place)
            return next(Path(place).iterdir()).read_bytes()

    def save_checkpoint(self) -> None:
        """Write a checkpoint now."""
        self._save_checkpoint(self.model, None)

    @property
    def tokens(self) -> int:
        """Tokens trained on so far."""
        return int(self._total_train_tokens)

    @tokens.setter
    def tokens(self, count: int) -> None:
        self._total_train_tokens = count

    @property
    def last_logged_step(self) -> int:
        """The step of the last log line."""
        return int(self._globalstep_last_logged)

    @last_logged_step.setter
    def last_logged_step(self, step: int) -> None:
        self._globalstep_last_logged = step

    @property
    def loss_since_log(self) -> float:
        """Sum of the steps' losses since the last log line."""
        return float(self._tr_loss.item())

    def add_to_loss_since_log(self, loss: float) -> None:
        """Add a loss that was trained before a resume."""
        self._tr_loss += loss

    def drop_nonfinite_loss(self) -> None:
        """Set the sum to 0 after a log line where it is not finite: Trainer subtracts it from itself, and NaN stays."""
        if self._globalstep_last_logged == self.state.global_step and not torch.isfinite(self._tr_loss).all():
            self._tr_loss.zero_()


def prepare_batch(trainer: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Collate rows and move them to the device as a training step does."""
    return trainer._prepare_inputs(trainer.data_collator(rows))


def activation_offloading(trainer: Any) -> AbstractContextManager[Any]:
    """Return the context in which a TRL trainer computes a step; it moves activations to the host where asked for."""
    context: AbstractContextManager[Any] = trainer.maybe_activation_offload_context
    return context


@contextmanager
def counters_kept(trainer: Any) -> Iterator[None]:
    """Put a TRL trainer's token count and figures back afterwards."""
    counters = (deepcopy(trainer._metrics), trainer._total_train_tokens)
    try:
        yield
    finally:
        trainer._metrics, trainer._total_train_tokens = counters


def set_rates(scheduler: Any, rates: Sequence[float]) -> None:
    """Set the rates that a scheduler's `get_last_lr` returns, and the log with it, until its next step."""
    setattr(scheduler, SCHEDULER_ATTRIBUTE, list(rates))


def require_known(kind: type) -> None:
    """Refuse to train with libraries that no longer have the names above.

    Args:
        kind: The trainer's class.

    Raises:
        InputError: Says what has changed, and how to get versions that work.
    """
    if not (changes := changes_in(kind)):
        return
    installed = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    more = f" ({len(changes)} changes in all)" if len(changes) > 1 else ""
    raise InputError(
        f"lora-wizard cannot train safely with {installed}: {changes[0]}{more}.",
        remedy="Install the tested versions, pip install -c constraints.txt torch transformers trl, or a newer "
        "lora-wizard.",
    )


def changes_in(kind: type, scheduler: type = LRScheduler) -> list[str]:
    """Return the changes of the names above, a sentence's end each; empty where all is as expected.

    Args:
        kind: The trainer's class, ours or TRL's.
        scheduler: PyTorch's base class of schedulers.
    """
    upstream = [each for each in kind.__mro__ if each.__module__.startswith(("transformers.", "trl."))]
    named = set(_names_in(upstream))
    found = [change for name, wanted in METHODS.items() if (change := _change_of(name, wanted, upstream, named))]
    found += [f"no trainer has the attribute {name} any more" for name in ATTRIBUTES if name not in named]
    if SCHEDULER_ATTRIBUTE not in set(_names_in(scheduler.__mro__)):
        found.append(f"PyTorch's LRScheduler has no attribute {SCHEDULER_ATTRIBUTE} any more")
    return found


def _change_of(name: str, wanted: Sequence[str], upstream: Sequence[type], named: set[str]) -> str | None:
    method = next((vars(each)[name] for each in upstream if name in vars(each)), None)
    if method is None:
        return f"no trainer has the method {name} any more"
    if name not in named:
        return f"the trainer's method {name} is not called any more"
    takes = inspect.signature(method).parameters
    if missing := [each for each in wanted if each not in takes]:
        return f"the trainer's method {name} does not take {missing[0]} any more, but {', '.join(list(takes)[1:])}"
    return None


def _names_in(classes: Iterable[type]) -> Iterator[str]:
    """Yield every name and attribute that the code of these classes speaks of."""
    for each in classes:
        for value in vars(each).values():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
            if isinstance(code, CodeType):
                yield from _names_of(code)


def _names_of(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_of(constant)
