"""One forward and backward pass on fake tensors, its storages' births and deaths told apart by layer."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from trainer.trace.kernels import HIDDEN
from trainer.trace.model import adapt, give_tensors
from trainer.trace.order import Order
from trainer.trace.record import Recorder
from trainer.trace.step import Run, faked
from trainer.worker.setup.before_training import as_in_training

APART = frozenset({"host", "workspace", "weights", "adapter", "optimizer"})
"""Categories of storages that are no part of a pass: they are known without a trace."""


class Point(NamedTuple):
    """The sizes at which a pass is recorded."""

    rows: int
    length: int
    rank: int


class Segment(NamedTuple):
    """A stretch: 'prologue', 'forward' or 'backward' of a layer, 'loss forward', 'loss backward', 'epilogue'."""

    name: str
    layer: int = -1


class Storage(NamedTuple):
    """A storage by the place of its birth: the number of the segment, and its number in there."""

    segment: int
    number: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """What happens in one segment."""

    segment: Segment
    events: tuple[tuple[bool, Storage], ...]
    """Births (true) and deaths, in order; deaths that follow each other in the order of their births."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A recorded pass."""

    point: Point
    stretches: tuple[Stretch, ...]
    sizes: dict[Storage, int]
    categories: dict[Storage, str]


class Marked(Run):
    """A run that marks where layers begin and end."""

    def __init__(self, model: Any, trained: list[nn.Parameter], order: Order, recorder: Recorder) -> None:
        super().__init__(model, trained, order, recorder, lambda *_: None)
        self.marks: list[tuple[int, Segment]] = [(len(recorder.recording.events), Segment("prologue"))]
        self._backward = False
        for index, layer in enumerate(self.layers):
            layer.register_forward_pre_hook(self._begins(index), with_kwargs=True)
            layer.register_forward_hook(self._ends(index))

    def mark(self, segment: Segment) -> None:
        """Begin a segment here."""
        self.marks.append((len(self.recorder.recording.events), segment))

    def began_backward(self) -> None:
        """The loss is computed."""
        self._backward = True
        self.mark(Segment("loss backward"))

    def _begins(self, index: int) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self._backward:
                return
            self.mark(Segment("forward", index))
            given = args[0] if args else kwargs.get("hidden_states")
            if index == 0 and isinstance(given, Tensor) and given.requires_grad:
                _on_gradient(given, lambda: self.mark(Segment("epilogue")))

        return hook

    def _ends(self, index: int) -> Any:
        def hook(_module: nn.Module, _args: Any, out: Any) -> None:
            if self._backward:
                return
            last = index == len(self.layers) - 1
            hidden = out if isinstance(out, Tensor) else out[0]
            if last:
                self.mark(Segment("loss forward"))
            self._watch(hidden, index)

        return hook

    def _watch(self, hidden: Any, index: int) -> None:
        """Mark the layer's backward pass where the gradient of its output has come."""
        if isinstance(hidden, Tensor) and hidden.requires_grad:
            _on_gradient(hidden, lambda: self.mark(Segment("backward", index)))


def _on_gradient(tensor: Tensor, act: Callable[[], None]) -> None:
    tensor.register_hook(lambda _: act())  # type: ignore[no-untyped-call]  # PyTorch has no types for it


def record(base: Any, order: Order) -> Pass:
    """Record one pass.

    Args:
        base: The model on meta, not adapted; it is left as it is.
        order: Of the sizes in it.
    """
    model = adapt(copy.deepcopy(base), order)
    recorder = Recorder(HIDDEN)
    collects = gc.isenabled()
    gc.disable()
    try:
        with faked(order, recorder):
            trained = give_tensors(model, order, recorder)
            with as_in_training(model, order.finetune.training):
                run = Marked(model, trained, order, recorder)
                run.forward_and_backward()
                ended = len(recorder.recording.events)
                marks = run.marks
                events = list(recorder.recording.events[:ended])
                del run
            del model, trained
    finally:
        if collects:
            gc.enable()
    recording = recorder.recording
    point = Point(order.rows, order.length, order.finetune.lora.r)
    return _pass(point, marks, events, recording.sizes, recording.categories)


def _pass(
    point: Point, marks: list[tuple[int, Segment]], events: list[int], sizes: list[int], categories: list[str]
) -> Pass:
    born: dict[int, Storage] = {}
    stretches: list[Stretch] = []
    merged = _merged(marks)
    for at, (begin, segment) in enumerate(merged):
        end = merged[at + 1][0] if at + 1 < len(merged) else len(events)
        number = 0
        found: list[tuple[bool, Storage]] = []
        dying: list[Storage] = []
        for event in events[begin:end]:
            which = abs(event) - 1
            if categories[which] in APART:
                continue
            if event > 0:
                found += [(False, one) for one in sorted(dying)]
                dying = []
                born[which] = Storage(at, number)
                number += 1
                found.append((True, born[which]))
            elif which in born:
                dying.append(born[which])
        found += [(False, one) for one in sorted(dying)]
        stretches.append(Stretch(segment, tuple(found)))
    return Pass(
        point,
        tuple(stretches),
        {storage: sizes[which] for which, storage in born.items()},
        {storage: categories[which] for which, storage in born.items()},
    )


def _merged(marks: list[tuple[int, Segment]]) -> list[tuple[int, Segment]]:
    """Marks whose segment is the first of its name: a second gradient of one output begins nothing."""
    seen: set[Segment] = set()
    found = []
    for begin, segment in marks:
        if segment not in seen:
            seen.add(segment)
            found.append((begin, segment))
    return found
