"""Two optimizer steps on fake tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import masking_utils

from recommender.machine.capability import cublas_workspace_bytes
from trainer.trace.experts import on_fake_tensors
from trainer.trace.kernels import (
    HIDDEN,
    dropout,
    grouped_mm,
    scaled_dot_product_attention,
    softmax,
)
from trainer.trace.loss import loss_of
from trainer.trace.model import build_model, dtype_of, give_tensors, half
from trainer.trace.optimizer import make_optimizer
from trainer.trace.order import Order
from trainer.trace.parts import final_norm, layers_of
from trainer.trace.record import Recorder, Recording
from trainer.worker.setup.before_training import as_in_training

_AUTOCASTS = torch.is_autocast_enabled
Progress = Callable[[str, int, int], None]
"""Callback with the phase, and the passes through layers done and in all."""


def record_steps(order: Order, progress: Progress) -> Recording:
    """Follow every storage of a step without optimizer states, and of one with them.

    Where gradients are accumulated, the second is a later micro-batch: those of the one before it are there.

    Raises:
        InputError: The model cannot be built as it was priced.
    """
    progress("building", 0, 1)
    model = build_model(order)
    recorder = Recorder(HIDDEN)
    with faked(order, recorder):
        trained = give_tensors(model, order, recorder)
        with as_in_training(model, order.finetune.training):
            recorder.mark()
            run = Run(model, trained, order, recorder, progress)
            accumulates = order.finetune.training.gradient_accumulation_steps > 1
            run.step(keeps_gradients=accumulates)
            run.step(keeps_gradients=False)
            recording = recorder.recording
            # Storages freed from here on are no part of the run.
            events = list(recording.events)
            del run, model, trained
    return Recording(events, recording.sizes, recording.categories)


@contextmanager
def faked(order: Order, recorder: Recorder) -> Iterator[None]:
    """Run on tensors without data, recorded, with the kernels that a GPU would run in their places."""
    with FakeTensorMode(allow_non_fake_inputs=True), ExitStack() as stack:
        stack.enter_context(recorder)
        attend = scaled_dot_product_attention(order.capability, order.on_cpu)
        stack.enter_context(patch.object(nn.functional, "scaled_dot_product_attention", attend))
        stack.enter_context(patch.object(nn.functional, "dropout", dropout))
        stack.enter_context(patch.object(nn.functional, "grouped_mm", grouped_mm))
        stack.enter_context(on_fake_tensors())
        # Fake masks cannot be read: each counts as one that hides positions.
        stack.enter_context(patch.object(masking_utils, "fast_all", lambda _mask: False))
        # Fake positions would be taken for packed rows, and get a mask that real ones do not.
        stack.enter_context(patch.object(masking_utils, "find_packed_sequence_indices", lambda _positions: None))
        if not order.on_cpu:
            stack.enter_context(patch.object(nn.functional, "softmax", softmax))
            # Without a device it asks about CUDA's autocast, for which the processor's stands here: PEFT does not cast
            # the input of a quantised layer's adapter under it.
            stack.enter_context(patch.object(torch, "is_autocast_enabled", _autocasts))
        yield


def _autocasts(device_type: str = "cpu") -> bool:
    return _AUTOCASTS("cpu") if device_type == "cpu" else False


class Run:
    """State between steps: model, optimizer and progress."""

    def __init__(
        self, model: Any, trained: list[nn.Parameter], order: Order, recorder: Recorder, progress: Progress
    ) -> None:
        self.model, self.trained, self.order, self.recorder, self.progress = model, trained, order, recorder, progress
        self.optimizer = make_optimizer(trained, order)
        self.done = 0
        self.layers = layers_of(model)
        again = 2 if order.finetune.training.gradient_checkpointing else 1
        self.total = 2 * len(self.layers) * again
        for layer in self.layers:
            layer.register_forward_pre_hook(self._passed)

    def _passed(self, *_: Any) -> None:
        self.done += 1
        self.progress("layers", min(self.done, self.total), self.total)

    def step(self, *, keeps_gradients: bool) -> None:
        """Run one micro-batch and one optimizer step; free the gradients unless they stand for the next step's."""
        self.forward_and_backward()
        if limit := self.order.finetune.training.max_grad_norm:
            with self.recorder.within("optimizer"):
                nn.utils.clip_grad_norm_(self.trained, limit, foreach=True)
        with self.recorder.within("optimizer"):
            self.optimizer.step()
        self.optimizer.label(self.recorder)
        if not keeps_gradients:
            for parameter in self.trained:
                parameter.grad = None

    def forward_and_backward(self) -> None:
        """Run one micro-batch, up to its gradients."""
        recorder, order = self.recorder, self.order
        first = self.done == 0
        if first and not order.on_cpu:
            recorder.staying(cublas_workspace_bytes(order.capability), "workspace")
        inputs, labels = self._batch()
        with self._autocast():
            loss, kept = self._loss(inputs, labels)
        if first and not order.on_cpu:
            # Autograd's thread has a handle, and so a workspace, of its own.
            recorder.staying(cublas_workspace_bytes(order.capability), "workspace")
        with recorder.within("loss"):
            gradient = torch.ones_like(loss)
        # Hooks turn the category back to activations once the gradient leaves the head.
        recorder.category = "loss"
        self.began_backward()
        torch.autograd.backward(loss, gradient)
        recorder.category = "activations"
        del kept
        for parameter in self.trained:
            if parameter.grad is not None:
                recorder.label(parameter.grad, "gradients")

    def began_backward(self) -> None:
        """Called before the backward pass: nothing here."""

    def _loss(self, inputs: dict[str, Tensor], labels: Tensor) -> tuple[Tensor, Tensor | None]:
        recorder = self.recorder

        def leaves(_module: nn.Module, _: Any, out: Any) -> None:
            recorder.category = "loss"
            hidden = out if isinstance(out, Tensor) else out[0]
            if hidden.requires_grad:
                hidden.register_hook(lambda _: setattr(recorder, "category", "activations"))

        handle = final_norm(self.model).register_forward_hook(leaves)
        try:
            return loss_of(self.model, inputs, labels, self.order)
        finally:
            handle.remove()
            recorder.category = "activations"

    def _batch(self) -> tuple[dict[str, Tensor], Tensor]:
        order = self.order
        ids = torch.zeros(order.rows, order.length, dtype=torch.int64)
        labels = torch.zeros(order.rows, order.length, dtype=torch.int64)
        inputs = {"input_ids": ids}
        if order.masked:
            inputs["attention_mask"] = torch.ones(order.rows, order.length, dtype=torch.int64)
        return inputs, labels

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self.order.autocast:
            return nullcontext()
        dtype = half(self.order) if self.order.compute != 4 else dtype_of(self.order, 4)
        return torch.autocast("cpu", dtype=dtype)
