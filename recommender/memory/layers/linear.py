"""A linear layer, frozen, adapted or trained, as operations of a tape.

Derived from PEFT 0.21 (`lora/layer.py`, `lora/bnb.py`) and bitsandbytes 0.50 (`MatMul4Bit`, `MatMul8bitLt`).
"""

from __future__ import annotations

from dataclasses import dataclass

from recommender.memory.layers.dtypes import Dtypes
from recommender.memory.layers.tape import Op
from recommender.memory.weights import NF4_BLOCK
from recommender.memory.workload import FP32, HALF, Workload
from recommender.model.spec import Linear


@dataclass(slots=True)
class Input:
    """A tensor that one or several linear layers take."""

    width: int
    dtype: int
    """Bytes of an element."""
    kept: bool = False
    """Whether an operation before keeps it already."""


class Linears:
    """Writes the linear layers of one decoder layer.

    Args:
        workload: What is priced.
        types: Its dtypes.
    """

    def __init__(self, workload: Workload, types: Dtypes) -> None:
        self.workload, self.types, self.tokens = workload, types, workload.tokens
        self.by_name = {linear.name: linear for linear in workload.model.linears}
        self.ranks = {target.linear.name: target.r for target in workload.targets}
        self.trains_all = workload.config.method == "full"
        self.dropout = bool(workload.config.lora.lora_dropout)
        self.nested = workload.config.quantization.double_quant

    def adapted(self, *names: str) -> bool:
        """Whether any of these has an adapter."""
        return any(name in self.ranks for name in names)

    def result(self, given: int) -> int:
        """Bytes of an element of what a linear layer gives for such an input."""
        return given if self.workload.bits else self.types.linear

    def alive(self, x: Input) -> int:
        """Bytes of an input that its module holds while it runs, though no operation keeps it."""
        return 0 if x.kept else self.tokens * x.width * x.dtype

    def ops(self, name: str, x: Input, forward: int = 0, backward: int = 0, *, again: bool = False) -> list[Op]:
        """A layer by its base and, where it is adapted, its adapter, in order of the forward pass.

        Args:
            name: Of the layer; one that the model lacks gives nothing.
            x: What it takes.
            forward: Bytes that are alive around it in the forward pass.
            backward: The same in the backward pass, the gradient of its output included.
            again: Whether a layer after it takes the same input, and so has given its share of the gradient by then.
        """
        linear = self.by_name.get(name)
        if linear is None:
            return []
        rank = self.ranks.get(name)
        alone = self.alive(x)
        summed = self.tokens * x.width * x.dtype if again else 0
        base = self._base(linear, x, forward + alone, backward + summed, adapted=rank is not None)
        if rank is None:
            return [base]
        return [base, self._adapter(linear, rank, x, forward + alone, backward + summed)]

    def _base(self, linear: Linear, x: Input, forward: int, backward: int, *, adapted: bool) -> Op:
        """The frozen product, or the trained one of a full fine-tune.

        4 bits: the input cast to the compute dtype, the weight unpacked (its scales too), product, cast back; the
        backward pass unpacks again. 8 bits: input in fp16, its absolute values and their comparison beside its
        quantised copy; product in int32, in fp16, in the input's dtype, all three alive; the backward pass unpacks
        the weight into the input's dtype. It keeps its input in a context that outlives the layer's backward pass.
        """
        workload, tokens = self.workload, self.tokens
        wide_in, wide_out = tokens * linear.in_features, tokens * linear.out_features
        compute, given, gives = workload.compute, x.dtype, self.result(x.dtype)
        values = linear.in_features * linear.out_features
        back = backward + (wide_in * given if adapted else 0)
        if workload.bits == 4:
            scales = values // NF4_BLOCK * FP32 if self.nested else 0
            cast_in = wide_in * compute if given != compute else 0
            unpacked = compute * values
            product = cast_in + unpacked + max(scales, wide_out * compute)
            cast_out = wide_out * (compute + gives) if gives != compute else 0
            cast_gradient = wide_out * compute if gives != compute else 0
            recast = wide_in * (compute + given) if given != compute else 0
            return Op(
                linear.name,
                forward=forward + max(product, cast_out),
                backward=back + max(cast_gradient + unpacked + max(scales, wide_in * compute), recast),
            )
        if workload.bits == 8:
            held = 0 if x.kept else wide_in * given
            cast = wide_in * HALF if given != HALF or workload.config.training.precision != "fp16" else 0
            quantised = cast + wide_in * (1 + HALF + 1)
            product = wide_in + wide_out * (FP32 + HALF + (gives if cast else 0))
            x.kept = True
            return Op(
                linear.name,
                forward=forward - held + max(quantised, product),
                backward=back + given * values + wide_in * given,
                held=held,
            )
        if self.trains_all:
            return self._trained(linear, x, forward, backward)
        return Op(linear.name, forward=forward + wide_out * gives, backward=back + wide_in * gives)

    def _trained(self, linear: Linear, x: Input, forward: int, backward: int) -> Op:
        """Keeps its input in the compute dtype, and its weight where autocast casts it; leaves a gradient."""
        workload, tokens, gives = self.workload, self.tokens, self.result(x.dtype)
        values = linear.in_features * linear.out_features
        casts = workload.adapter != gives
        wide_in = tokens * linear.in_features * gives
        kept = values * gives if casts else 0
        if x.dtype != gives or not x.kept:
            kept += wide_in
        x.kept = x.kept or x.dtype == gives
        added = values * workload.adapter if workload.accumulates else 0
        return Op(
            linear.name,
            kept=kept,
            forward=forward + tokens * linear.out_features * gives,
            backward=backward + wide_in + (values * gives if casts else 0) + added,
            gradient=0 if workload.accumulates else values * workload.adapter,
        )

    def _adapter(self, linear: Linear, rank: int, x: Input, forward: int, backward: int) -> Op:
        """A, B, the scaling and the sum.

        A's weight gradient needs the input in A's dtype: the input itself where it has it, else a copy for each layer.
        Dropout gives each layer an input of its own, with a mask of one byte a value. DoRA keeps two outputs more.
        """
        workload, tokens, lora = self.workload, self.tokens, self.types.lora
        wide_in, wide_out = tokens * linear.in_features, tokens * linear.out_features
        gives, values = self.result(x.dtype), linear.in_features * linear.out_features
        kept = tokens * rank * lora
        if self.dropout:
            kept += wide_in * (lora + 1)
        elif not self._shares(x.dtype):
            kept += wide_in * lora
        elif not x.kept:
            kept += wide_in * x.dtype
            x.kept = True
        if workload.config.lora.use_dora:
            kept += 2 * wide_out * gives
        casts = workload.autocast and workload.adapter != workload.compute
        parameters = rank * (linear.in_features + linear.out_features)
        if casts:
            kept += parameters * workload.compute
        scaled = wide_out * lora * (2 if gives != lora else 1)
        gathered = wide_in * lora * (2 if self.dropout else 1)
        recast = wide_in * (lora + x.dtype) if lora != x.dtype else 0
        # PEFT's plain layer casts its input to the adapter's dtype, and autocast back.
        cast = (
            wide_in * workload.adapter if workload.autocast and not workload.bits and workload.adapter != x.dtype else 0
        )
        dora = 3 * FP32 * values if workload.config.lora.use_dora else 0
        return Op(
            f"{linear.name}.lora",
            kept=kept,
            forward=forward
            + cast * (2 if self.dropout else 1)
            + wide_out * (gives + max(2 * lora, lora + gives, 2 * gives if gives != lora else 0)),
            backward=backward + max(scaled, gathered, recast, cast + wide_in * x.dtype if cast else 0) + dora,
            gradient=0 if workload.accumulates else parameters * workload.adapter,
        )

    def _shares(self, given: int) -> bool:
        """Whether A takes the very tensor that the base layer takes.

        PEFT's quantised layers cast only without autocast, its plain layer always, and autocast casts what is not in
        half.
        """
        workload = self.workload
        if workload.autocast:
            return given == workload.compute and (bool(workload.bits) or workload.adapter == given)
        return given == workload.adapter
