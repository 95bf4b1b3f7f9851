"""A configuration resolved for pricing: its tensors, their lengths and dtypes."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.config.schema import FinetuneConfig
from recommender.data.packing import packs
from recommender.data.profile.profile import DataProfile
from recommender.machine.facts import Device
from recommender.memory.modules import adapted_layers, rank_of, refuse_unknown_modules
from recommender.memory.stacks import Stack
from recommender.model.experts import FusedWeight, adapts_experts, fused_weights, packs_experts
from recommender.model.spec import Linear, ModelSpec
from recommender.stages import stage_of

FP32 = 4
HALF = 2
CPU_LENGTH_MULTIPLE = 32
"""This project's own worker pads batches on a CPU to a multiple of this many tokens."""
"""First compute capability with bf16 and FlashAttention-2."""


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of linear layer that LoRA adapts."""

    linear: Linear
    r: int

    @property
    def parameters(self) -> int:
        """A (r × in) and B (out × r) of every layer of this kind."""
        return self.linear.adapter_parameters(self.r)


@dataclass(frozen=True, slots=True)
class Workload:
    """The workload to be priced. Bytes are of one element of a dtype."""

    config: FinetuneConfig
    model: ModelSpec
    device: Device
    stack: Stack
    rows: int
    """Rows of a micro-batch; 1 when packed."""
    length: int
    """Tokens of its longest row, to which the others are padded; of the whole flat row when packed."""
    packed: bool
    alike: float
    """Share of micro-batches that are padded to `length`: 1 where all rows have it, or are packed, and where it does
    not matter because segments are expandable."""
    data: DataProfile | None
    """The rows, where micro-batches differ in length."""
    bits: int | None
    """Of the linear layers: 4, 8 or None."""
    compute: int
    """Bytes of what a matrix product gives."""
    autocast: bool
    """Whether matrix products are cast to the compute dtype; else the dtypes of the operands hold."""
    plain: int
    """Bytes of unquantised parameters, and of the hidden states between layers, which the embedding begins."""
    adapter: int
    """Bytes of a trained parameter, and of its gradient."""
    targets: tuple[Target, ...]
    adapter_parameters: int
    """LoRA's A and B of all layers, without DoRA's magnitudes."""
    experts: tuple[FusedWeight, ...] = ()
    """Fused experts of a mixture."""
    packs_experts: bool = False
    """Whether those are in 4 bits."""
    expert_rank: int = 0
    """Rank of their adapters; 0 without."""

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch, padding included."""
        return self.rows * self.length

    @property
    def accumulates(self) -> bool:
        """Whether gradients of earlier micro-batches are there during a pass."""
        return self.config.training.gradient_accumulation_steps > 1

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the CPU."""
        return self.device.kind == "cpu"


def resolve_workload(
    config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None, stack: Stack
) -> Workload:
    """Resolve a configuration.

    Raises:
        InputError: The model cannot be priced, or has not the modules that are named.
    """
    model.require_supported()
    refuse_unknown_modules(config, model)
    training = config.training
    bits = 4 if model.quantization == "bnb-4bit" and config.method == "qlora" else config.quantization.bits
    half = HALF if training.precision != "fp32" else FP32
    kept_half = stack.upcast and bits is not None
    packed = packs(config)
    longest = min(config.data.max_length, data.longest) if data is not None and data.rows else config.data.max_length
    rows, length = training.per_device_train_batch_size * stage_of(config).sequences, max(1, longest)
    if packed:
        rows, length = 1, rows * config.data.max_length
    elif device.kind == "cpu" and stack.name == "trl":
        length = -(-length // CPU_LENGTH_MULTIPLE) * CPU_LENGTH_MULTIPLE
    trains_all = config.method == "full"
    targets = () if trains_all else find_targets(config, model)
    experts, expert_rank = fused_weights(model), config.lora.r if adapts_experts(config) else 0
    return Workload(
        config=config,
        model=model,
        device=device,
        stack=stack,
        rows=rows,
        length=length,
        packed=packed,
        alike=1.0 if packed or stack.expandable_segments else share_alike(data, length, rows),
        data=None if packed else data,
        bits=bits,
        compute=half,
        autocast=half == HALF and stack.autocast and not (stack.loss == "full" and training.precision == "fp16"),
        plain=FP32 if kept_half or (trains_all and training.precision == "fp16") else half,
        adapter=_trained_bytes(config, stack, bits),
        targets=targets,
        adapter_parameters=sum([target.parameters for target in targets])
        + sum([weight.adapter_parameters(expert_rank) for weight in experts]),
        experts=experts,
        packs_experts=bool(experts) and bits == 4 and packs_experts(config),
        expert_rank=expert_rank,
    )


def share_alike(data: DataProfile | None, length: int, rows: int) -> float:
    """The chance that one of `rows` random rows has the longest row's length, cut as it is.

    Without data every row is taken to be as long as the limit, which is what is priced.
    """
    if data is None or not data.rows:
        return 1.0
    shorter = 1 - data.rows_cut(length - 1) / data.rows
    return 1.0 - shorter**rows


def _trained_bytes(config: FinetuneConfig, stack: Stack, bits: int | None) -> int:
    """Bytes of a trained parameter: in bf16 only where all weights are trained, or where the stack makes adapters so.

    TRL 1.16 does so over a quantised base alone; over others PEFT's `autocast_adapter_dtype` leaves them in fp32, as a
    gradient scaler needs them under fp16.
    """
    if config.training.precision != "bf16":
        return FP32
    return HALF if config.method == "full" or (stack.adapter_follows_precision and bits is not None) else FP32


def find_targets(config: FinetuneConfig, model: ModelSpec) -> tuple[Target, ...]:
    """The linear layers that get an adapter, each with its rank."""
    return tuple([Target(linear, rank_of(config.lora, linear.name)) for linear in adapted_layers(config, model)])
