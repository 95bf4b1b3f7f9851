"""The machine as frozen values with units. Built by `recommender.machine.probe`, or by hand in a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from recommender.machine.capability import has_bf16

Owner = Literal["you", "other", "outside"]


class NvmlStatus(StrEnum):
    """The state of NVML, from which follows whether GPUs are listed. Each has its own message and remedy."""

    OK = "ok"
    LIBRARY_MISSING = "library_missing"
    DRIVER_NOT_LOADED = "driver_not_loaded"
    VERSION_MISMATCH = "version_mismatch"
    NO_DEVICE = "no_device"
    NO_PERMISSION = "no_permission"
    GPU_LOST = "gpu_lost"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class NvmlState:
    """The state of the NVIDIA management library."""

    status: NvmlStatus
    message: str = ""
    """The state in one sentence; empty when all is well."""
    remedy: str = ""
    """The remedy; empty when there is nothing to do."""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that holds memory on a GPU."""

    pid: int | None
    """Its process id, None when it lives outside this container."""
    name: str | None
    used_bytes: int | None
    """GPU memory in bytes; None when the driver does not say."""
    owner: Owner
    """'you': same uid; 'other': another user; 'outside': not resolvable from inside this container."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as NVML reports it. None means 'not supported' or 'not reported'."""

    index: int
    """NVML's (PCI order) index."""
    uuid: str
    name: str
    compute_capability: tuple[int, int] | None
    architecture: str | None
    """'Turing', 'Ampere', 'Ada', 'Hopper', 'Blackwell' …"""
    memory_total: int | None
    """Bytes. On a MIG-enabled GPU, of the instance."""
    memory_used: int | None
    memory_free: int | None
    utilisation: int | None = None
    """Percent."""
    temperature: int | None = None
    """Degrees Celsius."""
    power_watts: float | None = None
    power_limit_watts: float | None = None
    mig: bool | None = None
    """Whether MIG mode is on; None where the GPU cannot."""
    card_uuid: str = ""
    """Of a MIG instance, its card's; empty for a card."""
    older_uuid: str = ""
    """A MIG instance in drivers before 470: 'MIG-GPU-…/GPU instance/compute instance'; CUDA still takes it."""
    compute_share: float = 1.0
    """Share of the card's compute that this is: below 1 for a MIG instance."""
    processes: tuple[GpuProcess, ...] = ()
    problem: str = ""
    """The reason why this GPU cannot be read any more ('GPU is lost'), or empty."""
    memory_shared: bool = False
    """Whether the driver measures no memory because the GPU has none of its own: it uses the host's (GB10, Jetson)."""
    slowdown: str = ""
    """The reason for reduced clocks now: 'heat', 'power brake' (the supply asks for it), or empty."""

    @property
    def bf16(self) -> bool:
        """Whether it multiplies bfloat16 natively: compute capability 8.0 (Ampere) and up."""
        return has_bf16(self.compute_capability)


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU as the kernel lists it, whether a library can use it or not."""

    maker: str
    """'NVIDIA', 'AMD', 'Intel' or 'Apple'."""
    name: str
    memory_total: int | None
    """Bytes of its own; None where the kernel does not say."""

    @property
    def described(self) -> str:
        """Its name, with its memory where that is known."""
        return f"{self.name} ({self.memory_total / 2**30:.0f} GiB)" if self.memory_total else self.name


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor, for the plan without a GPU."""

    name: str
    cores: int
    """Usable cores: the smaller of the affinity mask and the cgroup's quota."""
    bf16: bool
    """True with avx512_bf16 or amx_bf16; without them fp32 is faster and is chosen."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system behind a folder that the program writes to."""

    purpose: str
    """'runs' or 'model cache'."""
    path: Path
    free: int | None
    """Bytes."""
    total: int | None
    mount: Path | None = None
    suggestion: Path | None = None
    """A larger persistent mount to use instead, when the home is a small overlay."""


@dataclass(frozen=True, slots=True)
class Host:
    """The machine around the GPUs."""

    cpu: Cpu
    ram_total: int
    """Bytes: the cgroup's limit where there is one, else the host's."""
    ram_available: int
    """Bytes that can be taken without swapping, under the same limit."""
    ram_source: Literal["cgroup", "host"]
    disks: tuple[Disk, ...] = ()
    container: bool = False
    shm_bytes: int | None = None
    """Size of /dev/shm; 64 MB in many containers, then no dataloader workers."""
    kills_at_logout: bool | None = None
    """Whether logind ends user processes at logout; None where there is no logind."""


@dataclass(frozen=True, slots=True)
class Software:
    """Versions, read from package metadata and not by importing anything."""

    python: str
    versions: Mapping[str, str | None]
    """Distribution name to version; None where it is not installed."""
    driver: str | None = None
    """NVIDIA driver, such as '580.95.05'."""
    cuda_driver: str | None = None
    """Highest CUDA version that the driver supports, such as '13.0'."""
    torch_cuda: str | None = None
    """CUDA version that the installed torch was built for, from its local version ('+cu130'); None for CPU."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something about the machine that helps or hinders, with its remedy."""

    level: Literal["ok", "warn", "fail"]
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """All facts that the probe found."""

    gpus: tuple[Gpu, ...]
    nvml: NvmlState
    host: Host
    software: Software
    diagnostics: tuple[Diagnostic, ...] = field(default=())
    accelerators: tuple[Accelerator, ...] = ()
    """All GPUs that the kernel lists."""


@dataclass(frozen=True, slots=True)
class Device:
    """The device of a plan: one GPU, real or simulated, or this CPU.

    Rates are the vendor's dense peaks, None where unknown (then time is unknown too).
    """

    kind: Literal["cuda", "cpu"]
    name: str
    free_bytes: int
    """Usable bytes: NVML's free memory, a catalogue card's total less the driver's share, or the cgroup's rest."""
    total_bytes: int
    compute_capability: tuple[int, int] | None = None
    bandwidth: float | None = None
    """Memory bandwidth, bytes a second."""
    flops_bf16: float | None = None
    """Dense matrix rate in bf16, FLOP/s."""
    flops_fp16: float | None = None
    flops_fp32: float | None = None
    bf16: bool = False
    unified_memory: bool = False
    mig: bool = False
    uuid: str | None = None
    index: int | None = None
    cores: int | None = None
    """CPU only: usable cores."""
    simulated: bool = False
    """A what-if card: plans may be made and exported, training cannot be started."""
    flash_attention: bool = False
    """Whether the flash-attn package is installed and the card supports it."""
    torch_version: str | None = None
    driver: str | None = None
    """Of a real GPU, such as '580.95.05'."""
    passed_over: str = ""
    """CPU only: which GPU is here and why it is not used, where the CPU was taken without anybody saying so."""
    count: int = 1
    """Number of such cards that share the rows of a step, each with the whole model; sizes and rates are of one."""
