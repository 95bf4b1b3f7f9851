"""Merges an adapter into each weight of a base, a tensor at a time, by PEFT's own layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from recommender.config.schema import FinetuneConfig
from trainer.classes.linears import LOW_RANK
from trainer.classes.names import Loads
from trainer.worker.after.merged_experts import Experts
from trainer.worker.setup.adapter import LOFTQ

PREFIX: Final = "base_model.model."
CHANGES_THE_BASE: Final = ("pissa", "olora")
"""Initialisations of LoRA's factors that subtract their product from the base each time they are made."""


Rounded = Callable[[torch.Tensor], torch.Tensor]
"""Function from a weight to its value in training."""


def rounding(config: FinetuneConfig) -> Rounded | None:
    """Return the rounding of weights that a LoftQ adapter makes up for; None for any other adapter.

    Such an adapter is made for the rounded base: over the 16-bit one it would add once more what was never lost.
    """
    wanted = config.quantization
    if config.lora.init_lora_weights != LOFTQ or wanted.bits != 4:
        return None
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    held = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[config.training.precision]

    def rounded(weight: torch.Tensor) -> torch.Tensor:
        packed, state = quantize_4bit(
            weight.to(held), compress_statistics=wanted.double_quant, quant_type=wanted.quant_type
        )
        plain: torch.Tensor = dequantize_4bit(packed, state)
        return plain.to(weight.dtype)

    return rounded


class Adapter:
    """A saved adapter: the modules that it changes, and the weights that it brings whole.

    LoRA in every kind that PEFT has (rank-stabilised, DoRA, PiSSA and its kin, patterns of ranks) is merged by PEFT's
    layer itself, made for one weight at a time. Biases and `modules_to_save` were trained whole and take the place of
    the base's.

    Attributes:
        count: Modules with an adapter.
        unused: Those and the whole weights that no weight of the base was found for yet.

    Args:
        folder: The adapter's.
        rounded: What to make of a weight of the base before the adapter is added: see `rounding`.
        loads: How the base's files name the weights of the class that the adapter is for.
        served: That class on meta, whose fused experts may be adapted; None for a class of the repository's own.
    """

    def __init__(
        self, folder: Path, rounded: Rounded | None = None, loads: Loads = str, served: Any | None = None
    ) -> None:
        self._rounded, self.loads = rounded, loads
        self._lora = LoraConfig.from_pretrained(str(folder))
        if not str(self._lora.init_lora_weights).startswith(CHANGES_THE_BASE):
            # The factors are loaded afterwards: how they began does not matter, and may need what is not here.
            self._lora.init_lora_weights = True
        weights = load_file(str(folder / "adapter_model.safetensors"))
        saved = {name.removeprefix(PREFIX): tensor for name, tensor in weights.items()}
        low_rank = [(name, end) for name in saved for end in LOW_RANK if name.endswith(end)]
        modules = {name.removesuffix(end) for name, end in low_rank}
        self._of_module = {
            module: {name: tensor for name, tensor in saved.items() if name.startswith(f"{module}.lora_")}
            for module in modules
        }
        self._whole: dict[str, torch.Tensor] = {name: tensor for name, tensor in saved.items() if ".lora_" not in name}
        self.count = len(modules)
        self.unused = modules | set(self._whole)
        adapts = served is not None and self._lora.target_parameters
        self._experts = Experts(served, self._lora, self._of_module) if adapts else None

    def merged(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Return a weight of the base with the adapter merged into it.

        Args:
            name: In the base's files, such as 'model.layers.0.self_attn.q_proj.weight'.
            tensor: Of the base, in its own dtype.

        Returns:
            The tensor itself where the adapter does not touch it; else another of its shape, computed in fp32.
        """
        if self._experts is not None and (found := self._experts.merged(name, tensor)) is not None:
            self.unused.discard(found[0])
            return found[1]
        name = self.loads(name)
        module = name.removesuffix(".weight")
        if (whole := self._whole.get(name)) is not None:
            self.unused.discard(name)
            return whole
        if module == name or module not in self._of_module:
            return tensor
        self.unused.discard(module)
        return self._by_peft(module, tensor)

    def beyond(self, names: Container[str]) -> Iterator[tuple[str, torch.Tensor]]:
        """Whole weights that are not among the base's, as the class names them: a tied head, say."""
        for name in sorted(self._whole):
            if name not in names:
                self.unused.discard(name)
                yield name, self._whole[name]

    @property
    def whole(self) -> frozenset[str]:
        """The names of the weights that it brings whole."""
        return frozenset(self._whole)

    def _by_peft(self, module: str, tensor: torch.Tensor) -> torch.Tensor:
        saved = self._of_module[module]
        layer = self._layer(module, tensor)
        base = self._rounded(tensor) if self._rounded else tensor
        layer.weight = torch.nn.Parameter(base.float(), requires_grad=False)
        root = _nested(module, layer)
        inject_adapter_in_model(self._lora, root)
        set_peft_model_state_dict(root, saved)
        adapted = root.get_submodule(module)
        assert isinstance(adapted, LoraLayer)
        with torch.no_grad():
            adapted.merge()
        merged: torch.Tensor = adapted.get_base_layer().weight.data
        return merged

    def _layer(self, module: str, tensor: torch.Tensor) -> Any:
        rows, columns = tensor.shape
        if any(name.endswith(".lora_embedding_A") for name in self._of_module[module]):
            return torch.nn.Embedding(rows, columns, device="meta")
        if self._lora.fan_in_fan_out:
            with torch.device("meta"):
                return Conv1D(columns, rows)
        return torch.nn.Linear(columns, rows, bias=False, device="meta")


def _nested(path: str, leaf: torch.nn.Module) -> torch.nn.Module:
    """Return a model that holds nothing but this module, at its place."""
    for name in reversed(path.split(".")):
        holder = torch.nn.Module()
        holder.add_module(name, leaf)
        leaf = holder
    return leaf


def unpacked(name: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return a checkpoint's weight as numbers, where bitsandbytes may have packed it in 4 bits.

    Args:
        name: The weight's.
        tensors: Those of the same file, bitsandbytes' own beside the weights.

    Returns:
        None for what is not a weight but part of how one is packed.
    """
    owner, _, part = name.rpartition(".weight.")
    if owner and part.startswith(("absmax", "quant_map", "nested_absmax", "nested_quant_map", "quant_state")):
        return None
    tensor = tensors[name]
    parts = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
    if not any(key.startswith("quant_state.bitsandbytes__") for key in parts):
        return tensor
    from bitsandbytes.functional import QuantState, dequantize_4bit

    state = QuantState.from_dict(parts, device=torch.device("cpu"))
    plain: torch.Tensor = dequantize_4bit(tensor, state)
    with suppress(AttributeError, TypeError):
        plain = plain.reshape(state.shape)
    return plain


def off_and_agreement(plain: torch.Tensor, tuned: torch.Tensor, result: torch.Tensor) -> tuple[float, float, float]:
    """Return the error of the merged logits, the adapter's effect on them, and the share of equal first tokens.

    Args:
        plain: The base's logits, (positions, vocabulary).
        tuned: Those of base + adapter.
        result: Those of the merged model.

    Returns:
        The distance, how far the adapter moves, agreement; infinite distance where a logit is not a number.
    """
    moved = float((tuned - plain).norm())
    off = float((result - tuned).norm())
    agreement = float((result.argmax(-1) == tuned.argmax(-1)).float().mean())
    return (off if math.isfinite(off) else math.inf), moved, agreement
