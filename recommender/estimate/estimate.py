"""Estimate of a configuration on a device: memory, time, disk. Pure arithmetic, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.estimate.data_parallel import on_one_card, one_of, processes_of, shared
from recommender.estimate.shards import shards_of
from recommender.estimate.types import Estimate, Peak, fits_in
from recommender.machine.facts import Device
from recommender.memory.learned.store import stands_in
from recommender.memory.measured import Centred, Measurement, centre, measured_here, moved_parts
from recommender.memory.price import Price, price
from recommender.memory.process import cache_bytes
from recommender.memory.stacks import stack_for
from recommender.memory.weights import adapter_parameters, saved_parameters, trainable_parameters
from recommender.memory.workload import HALF, Workload, resolve_workload
from recommender.model.spec import ModelSpec
from recommender.time.clock import estimate_time, measured_pace
from recommender.warning import CodedWarning, note

MEASURED_MEMORY, MEASURED_TIME = "measured_memory", "measured_time"
"""Codes of the notes that an estimate is moved by what was measured on this machine."""
GUESS = "stand_in_formula"
"""Code of the note that a related recipe's formula stands in."""
GIB = 2**30
WORKER_RAM = {"cpu": GIB, "cuda": 3 * GIB}
"""Host memory of a worker with torch, Transformers and TRL by itself, by kind of device (measured: up to
1 GiB with a CPU-only torch; CUDA's libraries add about 2)."""


def estimate(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    data: DataProfile | None = None,
    *,
    stack: str | None = None,
    known: Sequence[Measurement] | None = None,
) -> Estimate:
    """Price a configuration.

    Args:
        config: What would be trained.
        model: The architecture.
        device: Where.
        data: Token lengths of the rows, where they are known: a batch is no longer than the longest row.
        stack: What runs it, a name of `recommender.memory.stacks`; None for the worker itself.
        known: Measured worst steps of this machine, oldest first; those of the state folder by default.

    Raises:
        InputError: An unknown stack, a model that cannot be priced, target modules that the model has not.
    """
    if (processes := processes_of(config, device)) > 1:
        whole, each = on_one_card(config, processes), one_of(device, processes)
        one = estimate(whole, model, each, data, stack=stack, known=known)
        return _of_all(one, config, model, device, processes)
    workload = resolve_workload(config, model, device, data, stack_for(config, stack))
    priced = price(workload)
    # A measured step has one length: memory left in the cache by a mixed run's lengths is the formula's.
    known = measured_here(device) if known is None else known
    found, pace = centre(workload, priced.process - priced.left.middle, known), measured_pace(workload, known)
    process = found.process + priced.left.middle
    parts = priced.parts if process == priced.process else moved_parts(priced.parts, process)
    cache = min(cache_bytes(workload, priced.parts["allocator"]), parts["allocator"])
    peak = _peak(found, priced, parts, cache)
    adapter = _saved_bytes(workload)
    checkpoint = adapter + priced.states
    return Estimate(
        fits=fits_in(peak, device.free_bytes),
        free_bytes=device.free_bytes,
        peak=peak,
        parts=parts,
        phases=priced.phases,
        basis="measured" if found.same_plan else "formula",
        time=estimate_time(workload, data, checkpoint, pace),
        trainable_parameters=trainable_parameters(workload),
        adapter_bytes=adapter,
        checkpoint_bytes=checkpoint,
        host_bytes=_host_bytes(workload, priced),
        disk_bytes=(config.run.save_total_limit + 1) * checkpoint + adapter,
        notes=(*_notes(found), *_guess(workload), *_paced(pace.note if pace else "")),
    )


def _of_all(one: Estimate, config: FinetuneConfig, model: ModelSpec, device: Device, processes: int) -> Estimate:
    """Return the estimate of several processes, from that of one of them with its share of the rows."""
    shards = shards_of(config, model, one.parts, processes) if config.launch.kind == "fsdp" else None
    return shared(one, processes, cpu=device.kind == "cpu", shards=shards)


def _peak(found: Centred, priced: Price, parts: Mapping[str, int], cache: int) -> Peak:
    """Return the peak with its interval: that of the centred price, and beside it memory left by other lengths."""
    left = priced.left
    process = found.process + left.middle
    low = round(found.process * found.spread.low) + left.middle - left.less
    high = round(found.process * found.spread.high) + left.middle + left.more
    reserved = process - parts["context"]
    return Peak(reserved - parts["allocator"], reserved, process, low, high, cache, left.less, left.more)


def _notes(found: Centred) -> tuple[CodedWarning, ...]:
    if found.same_plan:
        return (note(MEASURED_MEMORY, _times(found.measurements)),)
    if found.others:
        steps = "one measured plan" if found.others == 1 else f"{found.others} measured plans"
        return (note(MEASURED_MEMORY, f"Centred by {steps} of this recipe on this machine."),)
    return ()


def _paced(said: str) -> tuple[CodedWarning, ...]:
    return (note(MEASURED_TIME, said),) if said else ()


def _guess(workload: Workload) -> tuple[CodedWarning, ...]:
    if not (why := stands_in(workload)):
        return ()
    said = f"A guess by the model's formula in 16 bits, as that of {workload.bits} bits could not be learned: {why}"
    return (note(GUESS, f"{said} Check measures it before the run starts."),)


def _times(count: int) -> str:
    if count == 1:
        return "This plan's worst step was measured on this machine."
    return f"This plan's worst step was measured on this machine, {count} times: the middle one counts."


def _saved_bytes(workload: Workload) -> int:
    """Return the size of the saved adapter as safetensors; in a full fine-tune of the whole model."""
    if workload.config.method == "full":
        return workload.model.total_parameters * workload.adapter
    return (adapter_parameters(workload) + saved_parameters(workload)) * workload.adapter


def _host_bytes(workload: Workload, priced: Price) -> int:
    """Return the worker's host memory: its own, offloaded tensors, and the largest tensor while it is loaded."""
    if workload.on_cpu:
        return priced.process + WORKER_RAM["cpu"]
    largest = max(
        workload.model.embedding_parameters, *(x.in_features * x.out_features for x in workload.model.linears)
    )
    return WORKER_RAM["cuda"] + priced.host + 2 * HALF * largest
