"""GPUs as the NVIDIA management library reports them. The only file that imports pynvml.

'Not supported' is a value here (None), never an error: laptops have no power limit, unified memory has no size, MIG
instances have no utilisation. What can go wrong with the library as a whole is an `NvmlState` with its own message and
remedy; what goes wrong with one GPU is that GPU's `problem`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from recommender.machine.facts import Gpu, GpuProcess, NvmlState, NvmlStatus
from recommender.machine.gpu.processes import Resolver, resolve_process

T = TypeVar("T")

ARCHITECTURES = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}
"""NVML's nvmlDeviceArchitecture_t (nvml.h)."""

_COMPUTE_SLICES = 7
"""A MIG-capable GPU is parted into at most seven compute slices (NVIDIA's MIG user guide)."""


_NO_INSTANCE = "MIG mode is on but there is no instance that may be used here."


@dataclass(frozen=True, slots=True)
class DriverVersions:
    """Driver and CUDA versions as the driver reports them; None where it reports none."""

    driver: str | None
    cuda: str | None
    """Highest CUDA version that it supports, such as '13.0'."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a GPU; None where the driver does not measure them."""

    total: int | None = None
    used: int | None = None
    free: int | None = None
    shared: bool = False
    """Whether it is the host's: the driver says that there is nothing to measure."""


class Nvml:
    """Reader of all GPUs. Opens the library at the first poll and keeps it open.

    Safe to call from several threads. One poll of an idle GPU is about twelve calls of some microseconds each.
    """

    def __init__(self, resolve: Resolver = resolve_process) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._open = False
        self._seen: dict[str, Gpu] = {}
        """Cards that were read before, by UUID: an index may come to mean another card when one is lost."""

    def open(self) -> NvmlState:
        """Load and initialise the library; nothing happens when it is open already."""
        with self._lock:
            return self._ensure_open()

    def poll(self) -> tuple[tuple[Gpu, ...], NvmlState]:
        """Read every GPU once.

        Returns:
            The GPUs in PCI order and the library's state. A MIG-enabled GPU gives one entry for each of its
            instances, all with the card's index. A GPU that was lost stays in the list with its `problem`.
        """
        with self._lock:
            state = self._ensure_open()
            if state.status is not NvmlStatus.OK:
                return self._all_lost(state), state
            return self._read_all()

    def versions(self) -> DriverVersions:
        """Driver and CUDA version; both None when the library cannot be opened."""
        with self._lock:
            if self._ensure_open().status is not NvmlStatus.OK:
                return DriverVersions(None, None)
            nvml = _binding()
            cuda = _value(nvml.nvmlSystemGetCudaDriverVersion_v2)
            return DriverVersions(_value(nvml.nvmlSystemGetDriverVersion), _cuda_text(cuda))

    def close(self) -> None:
        """Shut the library down; the next poll opens it again."""
        with self._lock:
            if self._open:
                nvml = _binding()
                with suppress(nvml.NVMLError):
                    nvml.nvmlShutdown()
                self._open = False

    def _ensure_open(self) -> NvmlState:
        if self._open:
            return NvmlState(NvmlStatus.OK)
        try:
            nvml = _binding()
        except ImportError as error:
            return NvmlState(
                NvmlStatus.LIBRARY_MISSING,
                f"The Python package nvidia-ml-py cannot be loaded ({error}).",
                "Install it: pip install nvidia-ml-py",
            )
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            return _state(error)
        self._open = True
        return NvmlState(NvmlStatus.OK)

    def _read_all(self) -> tuple[tuple[Gpu, ...], NvmlState]:
        nvml = _binding()
        try:
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self._open = False
            state = _state(error)
            return self._all_lost(state), state
        gpus: list[Gpu] = []
        present: set[str] = set()
        for index in range(count):
            card, entries = self._read_card(index)
            present.add(card.uuid)
            gpus.extend(entries)
        gone = [gpu for uuid, gpu in self._seen.items() if uuid not in present]
        gpus.extend(_unreadable(gpu, "The GPU is no longer there.") for gpu in gone)
        return tuple(gpus), _summary(gpus)

    def _read_card(self, index: int) -> tuple[Gpu, tuple[Gpu, ...]]:
        """A card as it is listed: itself, or its MIG instances."""
        nvml = _binding()
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            card = self._read_gpu(handle, index)
            entries = tuple(self._instances(handle, card)) if card.mig else (card,)
        except nvml.NVMLError as error:
            lost = _unreadable(self._known(index), _problem(error))
            return lost, (lost,)
        self._seen[card.uuid] = card
        return card, entries

    def _read_gpu(self, handle: Any, index: int) -> Gpu:
        nvml = _binding()
        memory = _memory(handle)
        utilisation = _value(nvml.nvmlDeviceGetUtilizationRates, handle)
        mig = _value(nvml.nvmlDeviceGetMigMode, handle)
        architecture = _value(nvml.nvmlDeviceGetArchitecture, handle)
        return Gpu(
            index=index,
            uuid=_value(nvml.nvmlDeviceGetUUID, handle) or "",
            name=_value(nvml.nvmlDeviceGetName, handle) or f"NVIDIA GPU {index}",
            compute_capability=_value(nvml.nvmlDeviceGetCudaComputeCapability, handle),
            architecture=ARCHITECTURES.get(architecture) if architecture is not None else None,
            memory_total=memory.total,
            memory_used=memory.used,
            memory_free=memory.free,
            memory_shared=memory.shared,
            utilisation=utilisation.gpu if utilisation is not None else None,
            temperature=_temperature(handle),
            power_watts=_watts(nvml.nvmlDeviceGetPowerUsage, handle),
            power_limit_watts=_watts(nvml.nvmlDeviceGetEnforcedPowerLimit, handle),
            mig=bool(mig[0]) if mig is not None else None,
            processes=self._processes(handle),
            slowdown=_slowdown(_value(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0),
        )

    def _instances(self, handle: Any, card: Gpu) -> Iterator[Gpu]:
        """The MIG instances of a card: memory, processes and UUID are their own, temperature and power the card's."""
        nvml = _binding()
        found = False
        for number in range(_value(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            instance = _value(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            if instance is None:
                continue
            found = True
            memory = _memory(instance)
            attributes = _value(nvml.nvmlDeviceGetAttributes_v2, instance)
            slices = attributes.gpuInstanceSliceCount if attributes is not None else 0
            yield replace(
                card,
                uuid=_value(nvml.nvmlDeviceGetUUID, instance) or "",
                card_uuid=card.uuid,
                older_uuid=_older_uuid(instance, card),
                name=_value(nvml.nvmlDeviceGetName, instance) or f"{card.name} MIG {number}",
                memory_total=memory.total,
                memory_used=memory.used,
                memory_free=memory.free,
                memory_shared=memory.shared,
                utilisation=None,
                compute_share=min(1.0, slices / _COMPUTE_SLICES) if slices else 1.0,
                processes=self._processes(instance),
            )
        if not found:
            yield replace(
                card,
                memory_free=0,
                problem=_NO_INSTANCE,
            )

    def _processes(self, handle: Any) -> tuple[GpuProcess, ...]:
        nvml = _binding()
        used: dict[int, int | None] = {}
        for newest, older in (
            (nvml.nvmlDeviceGetComputeRunningProcesses_v3, nvml.nvmlDeviceGetComputeRunningProcesses_v2),
            (nvml.nvmlDeviceGetGraphicsRunningProcesses_v3, nvml.nvmlDeviceGetGraphicsRunningProcesses_v2),
        ):
            listed = _value(newest, handle)
            for process in _value(older, handle) or () if listed is None else listed:
                used[process.pid] = max(used.get(process.pid) or 0, process.usedGpuMemory or 0) or None
        resolved = [self._resolve(pid, nbytes) for pid, nbytes in used.items()]
        return tuple(sorted(resolved, key=lambda process: -(process.used_bytes or 0)))

    def _known(self, index: int) -> Gpu:
        """The last known facts of the card with this index, or a card without a name."""
        nameless = Gpu(index, "", f"NVIDIA GPU {index}", None, None, None, None, None)
        return next((gpu for gpu in self._seen.values() if gpu.index == index), nameless)

    def _all_lost(self, state: NvmlState) -> tuple[Gpu, ...]:
        """The known cards, listed as unreadable: for an NVML that fails as a whole after it had worked."""
        return tuple(_unreadable(gpu, state.message) for gpu in self._seen.values())


def _older_uuid(instance: Any, card: Gpu) -> str:
    nvml = _binding()
    numbers = [
        _value(read, instance) for read in (nvml.nvmlDeviceGetGpuInstanceId, nvml.nvmlDeviceGetComputeInstanceId)
    ]
    return "" if None in numbers else f"MIG-{card.uuid}/{numbers[0]}/{numbers[1]}"


def _unreadable(gpu: Gpu, problem: str) -> Gpu:
    """A GPU with its facts kept and all readings unknown."""
    return replace(
        gpu,
        memory_used=None,
        memory_free=None,
        utilisation=None,
        temperature=None,
        power_watts=None,
        processes=(),
        problem=problem,
    )


def _binding() -> Any:
    """The pynvml module, imported at first use; it has no type information."""
    import pynvml

    return pynvml


def _slowdown(reasons: int) -> str:
    """The reason for reduced clocks, empty if none. The card's own power limit is none: a busy card is always at it."""
    nvml = _binding()
    if reasons & (nvml.nvmlClocksEventReasonSwThermalSlowdown | nvml.nvmlClocksEventReasonHwThermalSlowdown):
        return "heat"
    return "power brake" if reasons & nvml.nvmlClocksEventReasonHwPowerBrakeSlowdown else ""


def _value(call: Callable[..., T], *args: Any) -> T | None:
    """One figure, or None where this GPU, driver or container does not give it.

    Raises:
        pynvml.NVMLError: Only when the GPU or the library is gone, so that no figure can be had.
    """
    nvml = _binding()
    try:
        return call(*args)
    except nvml.NVMLError as error:
        if error.value in _gone():
            raise
        return None


def _gone() -> tuple[int, ...]:
    """NVML error codes after which a GPU gives no figures any more."""
    nvml = _binding()
    return nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED, nvml.NVML_ERROR_UNINITIALIZED


def _memory(handle: Any) -> Memory:
    """Memory of a GPU. The newer call does not count the driver's reserve as used; the older one does.

    On unified memory the driver answers 'not supported' (GB10, Jetson Thor: nvidia-smi shows [N/A]), or nothing at all.

    Raises:
        pynvml.NVMLError: The GPU is gone.
    """
    nvml = _binding()
    memory = _value(nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
    try:
        memory = memory or nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        if error.value in _gone():
            raise
        return Memory(shared=error.value == nvml.NVML_ERROR_NOT_SUPPORTED)
    return Memory(memory.total, memory.used, memory.free) if memory.total else Memory(shared=True)


def _temperature(handle: Any) -> int | None:
    nvml = _binding()
    celsius = _value(nvml.nvmlDeviceGetTemperatureV, handle, nvml.NVML_TEMPERATURE_GPU)
    if celsius is None:
        celsius = _value(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
    return celsius


def _watts(call: Callable[..., int], handle: Any) -> float | None:
    milliwatts = _value(call, handle)
    return None if milliwatts is None else milliwatts / 1000


def _cuda_text(version: int | None) -> str | None:
    """CUDA version as text: 13000 is 13.0, 12080 is 12.8 (nvml.h: major × 1000 + minor × 10)."""
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"


def _summary(gpus: list[Gpu]) -> NvmlState:
    if not gpus:
        return NvmlState(
            NvmlStatus.NO_DEVICE,
            "The NVIDIA driver runs but shows no GPU.",
            "In a container, start it with its GPUs (docker run --gpus all). Else see 'lspci | grep -i nvidia' and "
            "'dmesg | grep NVRM'. Until then plans are for this CPU.",
        )
    lost = [gpu for gpu in gpus if gpu.problem and gpu.problem != _NO_INSTANCE]
    if lost:
        names = ", ".join(f"GPU {gpu.index} ({gpu.name}): {gpu.problem}" for gpu in lost)
        return NvmlState(
            NvmlStatus.GPU_LOST,
            names,
            "See 'dmesg | grep -i xid' for the cause. It comes back with a reset (nvidia-smi -r) or a reboot.",
        )
    return NvmlState(NvmlStatus.OK)


def _problem(error: Any) -> str:
    nvml = _binding()
    if error.value == nvml.NVML_ERROR_GPU_IS_LOST:
        return "The GPU is lost: it fell off the bus or was taken away."
    if error.value == nvml.NVML_ERROR_RESET_REQUIRED:
        return "The GPU needs a reset before it can be used."
    if error.value == nvml.NVML_ERROR_NO_PERMISSION:
        return "This user may not read the GPU."
    if error.value in (nvml.NVML_ERROR_INVALID_ARGUMENT, nvml.NVML_ERROR_NOT_FOUND, nvml.NVML_ERROR_GPU_NOT_FOUND):
        return "The GPU is no longer there."
    return f"The GPU cannot be read ({error})."


def _state(error: Any) -> NvmlState:
    """The state that an NVML error stands for, with message and remedy."""
    nvml = _binding()
    cpu_mode = "Until then plans are for this CPU."
    known = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: NvmlState(
            NvmlStatus.LIBRARY_MISSING,
            "No NVIDIA driver library (libnvidia-ml.so.1) is here.",
            "With an NVIDIA GPU: install its driver, or start the container with --gpus all. Without one, plans are "
            "for this CPU.",
        ),
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: NvmlState(
            NvmlStatus.DRIVER_NOT_LOADED,
            "The NVIDIA library is here but the driver is not loaded.",
            f"Load it (sudo modprobe nvidia) or install the driver and reboot. {cpu_mode}",
        ),
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: NvmlState(
            NvmlStatus.VERSION_MISMATCH,
            "The NVIDIA library and the loaded driver have different versions, as after an upgrade.",
            f"Reboot, or unload and load the nvidia modules. {cpu_mode}",
        ),
        nvml.NVML_ERROR_NO_PERMISSION: NvmlState(
            NvmlStatus.NO_PERMISSION,
            "This user may not talk to the NVIDIA driver.",
            f"Check the rights of /dev/nvidia* and your groups (often 'video' or 'render'). {cpu_mode}",
        ),
        nvml.NVML_ERROR_NOT_FOUND: _summary([]),
        nvml.NVML_ERROR_GPU_NOT_FOUND: _summary([]),
        nvml.NVML_ERROR_GPU_IS_LOST: NvmlState(
            NvmlStatus.GPU_LOST,
            "A GPU is lost: it fell off the bus or was taken away.",
            f"See 'dmesg | grep -i xid' for the cause; reset it or reboot. {cpu_mode}",
        ),
        nvml.NVML_ERROR_UNKNOWN: NvmlState(
            NvmlStatus.ERROR,
            "The NVIDIA library fails with an unknown error.",
            "In a container this mostly means that it has lost its GPU devices: restart the container. Else see "
            f"'dmesg | grep NVRM'. {cpu_mode}",
        ),
    }
    return known.get(
        error.value,
        NvmlState(NvmlStatus.ERROR, f"The NVIDIA library fails: {error}.", f"See 'nvidia-smi'. {cpu_mode}"),
    )
