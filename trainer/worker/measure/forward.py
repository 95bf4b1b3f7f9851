"""Seconds of the forward passes of a step, which wait for no other rank under DDP: by them a slow rank is known."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn


class ForwardClock:
    """Adds up the forward passes of a model in training, on the GPU's own clock where it is on one.

    Under FSDP a pass waits for the weights that the others gather, so that all of them take as long as the slowest.

    Args:
        model: As it is called by its wrapper.
        cuda: Whether it computes on a GPU.
    """

    def __init__(self, model: nn.Module, *, cuda: bool) -> None:
        self._cuda = cuda
        self._spans: list[tuple[Any, Any]] = []
        self._began: Any = None
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._end)

    def take(self) -> float | None:
        """Return the seconds since the last call, and begin anew; None without a pass."""
        spans, self._spans = self._spans, []
        if not spans:
            return None
        if self._cuda:
            torch.cuda.synchronize()
            return sum(float(first.elapsed_time(last)) for first, last in spans) / 1000.0
        return float(sum(last - first for first, last in spans))

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        moment = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch gives it no types
        moment.record()
        return moment

    def _begin(self, module: nn.Module, _inputs: Any) -> None:
        self._began = self._now() if module.training else None

    def _end(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        if self._began is not None:
            self._spans.append((self._began, self._now()))
            self._began = None
