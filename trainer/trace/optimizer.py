"""Optimizers: PyTorch's own, and a stand-in for bitsandbytes' states."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from recommender.memory.weights import OPTIM_BLOCK, SMALLEST_8BIT, SMALLEST_PAGED
from trainer.trace.order import Order
from trainer.trace.record import HOST, Recorder


class Optimizer(Protocol):
    """The part of an optimizer that a traced step needs."""

    def step(self) -> None:
        """Update."""

    def label(self, recorder: Recorder) -> None:
        """Label the states among the new storages, and those in host memory."""


class TorchOptimizer:
    """AdamW or SGD of PyTorch, on fake tensors."""

    def __init__(self, parameters: list[nn.Parameter], optim: str) -> None:
        self._fused = optim == "adamw_torch_fused"
        if optim == "sgd":
            self._inner: torch.optim.Optimizer = torch.optim.SGD(parameters, lr=1e-4, foreach=True)
        elif self._fused:
            self._inner = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
        else:
            self._inner = torch.optim.AdamW(parameters, lr=1e-4, foreach=True)

    def step(self) -> None:
        """Update."""
        self._inner.step()

    def label(self, recorder: Recorder) -> None:
        """Label the states; step counters are on the host, with the fused kernel on the device."""
        for state in self._inner.state.values():
            for name, value in state.items():
                if isinstance(value, Tensor):
                    recorder.label(value, "optimizer" if name != "step" or self._fused else HOST)


class BlockwiseAdamW:
    """bitsandbytes' AdamW: two states a parameter, in 8 bits with an fp32 scale a block, or in fp32; paged or not.

    Tensors of fewer than 4096 values keep fp32 states; of fewer than 100 000 are not paged (`optim/optimizer.py`).
    """

    def __init__(self, parameters: list[nn.Parameter], *, eight_bit: bool, paged: bool) -> None:
        self._parameters, self._eight_bit, self._paged = parameters, eight_bit, paged
        self._states: list[tuple[Tensor, bool]] = []
        self._maps: list[Tensor] = []

    def step(self) -> None:
        """Make the states at the first step; allocate nothing else."""
        if self._states:
            return
        if self._eight_bit:
            self._maps = [torch.empty(256, dtype=torch.float32) for _ in range(2)]
        for parameter in self._parameters:
            small = parameter.numel() < SMALLEST_8BIT or not self._eight_bit
            paged = self._paged and parameter.numel() >= SMALLEST_PAGED
            for _ in range(2):
                dtype = torch.float32 if small else torch.uint8
                self._states.append((torch.zeros(parameter.shape, dtype=dtype), paged))
                if not small:
                    blocks = -(-parameter.numel() // OPTIM_BLOCK)
                    self._states.append((torch.zeros(blocks, dtype=torch.float32), False))

    def label(self, recorder: Recorder) -> None:
        """Label the states; paged ones are in unified memory, which is the host's until it is used."""
        for state, paged in self._states:
            recorder.label(state, HOST if paged else "optimizer")


def make_optimizer(parameters: list[nn.Parameter], order: Order) -> Optimizer:
    """The optimizer that the configuration names."""
    optim = order.finetune.training.optim
    if optim in {"sgd", "adamw_torch", "adamw_torch_fused"}:
        return TorchOptimizer(parameters, optim)
    return BlockwiseAdamW(parameters, eight_bit="8bit" in optim, paged=optim.startswith("paged"))
