"""The trace tier's estimate, with memory traced through the real model in a child process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from presets.errors import InputError, NoError
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.estimate.estimate import MEASURED_MEMORY, MEASURED_TIME, estimate
from recommender.estimate.types import Estimate, Peak, fits_in
from recommender.machine.facts import Device
from recommender.memory.price import PARTS, price
from recommender.memory.process import cache_bytes, context_bytes, spread
from recommender.memory.stacks import stack_for
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.own_code import agreed, missing
from recommender.model.spec import ModelSpec
from recommender.units import counted
from recommender.warning import CodedWarning, note
from trainer.process.children import Cancelled, ChildAnswer, follow
from trainer.trace.architecture import architecture_of
from trainer.trace.order import make_order

Progress = Callable[[str, int, int], None]
"""Callback with the phase ('building', 'layers'), and the passes through a layer done and in all."""


class TraceCancelled(NoError):
    """The person cancelled the trace."""


def trace(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    data: DataProfile | None = None,
    *,
    stack: str | None = None,
    trained_tokens: int | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Estimate:
    """Price a configuration by running its real model, adapter, loss and optimizer on tensors without data.

    Takes seconds. Time, disk and phases are the formula's; the peak, its parts and the basis are the trace's.

    Args:
        config: What would be trained.
        model: The architecture; its weights need not be here.
        device: Where.
        data: Token lengths, where they are known.
        stack: What runs it, a name of `recommender.memory.stacks`; None for the worker itself.
        trained_tokens: Of the worst micro-batch, for a loss that only takes those; all where not given.
        progress: Told a few times a second how far it is.
        cancelled: Asked a few times a second; ends the trace when true.

    Raises:
        InputError: What the formula refuses, and what does not trace, with the reason.
        TraceCancelled: `cancelled` said so.
    """
    workload = resolve_workload(config, model, device, data, stack_for(config, stack))
    refuse(workload)
    formula = estimate(config, model, device, data, stack=stack)
    order = make_order(workload, architecture_of(model), trained_tokens, _own_code(config, model))
    with tempfile.TemporaryDirectory(prefix="lora-wizard-trace-") as scratch:
        path = Path(scratch) / "order.json"
        path.write_text(order.dumps(), encoding="utf-8")
        answer = _follow(path, progress, cancelled)
    return _estimate(workload, formula, _document(answer), trained_tokens)


def _own_code(config: FinetuneConfig, model: ModelSpec) -> str:
    """The folder whose code the tracing process may execute; empty where it needs none.

    Raises:
        InputError: It needs the model's own code, and nobody has agreed to it, or it is not here.
    """
    if not agreed(config, model):
        return ""
    if model.path is None or missing(model):
        raise InputError(
            f"{model.name} is built by its own code, which is not here.", remedy="Download the model first."
        )
    return str(model.path)


def refuse(workload: Workload) -> None:
    """Refuse configurations that the trace would get wrong.

    Raises:
        InputError: Why, and what answers instead.
    """
    remedy = "The formula's estimate covers it; `lora-wizard calibrate` measures it."
    if workload.config.training.activation_offloading and not workload.on_cpu:
        raise InputError("A trace does not follow activations to host memory.", remedy=remedy)
    if workload.config.lora.use_dora and workload.bits:
        raise InputError("A trace does not unpack quantised weights for DoRA's norms.", remedy=remedy)


def _follow(path: Path, progress: Progress | None, cancelled: Cancelled | None) -> ChildAnswer:
    child = follow("trainer.trace", str(path), device=None, cancelled=cancelled or (lambda: False))
    while True:
        try:
            come = next(child)
        except StopIteration as end:
            answer: ChildAnswer = end.value
            return answer
        if progress is not None and "phase" in come:
            progress(str(come["phase"]), int(come["done"]), int(come["total"]))


def _document(answer: ChildAnswer) -> dict[str, Any]:
    if answer.cancelled:
        raise TraceCancelled("The trace was cancelled.")
    document = answer.document or {}
    if "allocated" in document:
        return document
    last = answer.errors.splitlines()[-1:] or [f"exit code {answer.code}"]
    reason = str(document.get("error") or f"the tracing process ended: {last[0][:200]}")
    raise InputError(
        reason[0].upper() + reason[1:], remedy=str(document.get("remedy") or "The formula's estimate needs no trace.")
    )


def _estimate(workload: Workload, formula: Estimate, document: dict[str, Any], trained_tokens: int | None) -> Estimate:
    allocated = int(document["allocated"])
    reserved = allocated if workload.on_cpu else int(document["reserved"])
    parts = dict.fromkeys(PARTS, 0) | {name: int(size) for name, size in document["parts"].items()}
    # The trace's steps have one length: memory left in the cache by a mixed run's lengths is the formula's.
    parts["context"], ends, left = context_bytes(workload), spread(workload), price(workload).left
    alone = reserved + parts["context"]
    low, high = round(alone * ends.low) + left.middle - left.less, round(alone * ends.high) + left.middle + left.more
    parts["allocator"] = reserved - allocated + left.middle
    cache, reserved = cache_bytes(workload, parts["allocator"]), reserved + left.middle
    process = alone + left.middle
    peak = Peak(allocated, reserved, process, low, high, cache, left.less, left.more)
    return replace(
        formula,
        fits=fits_in(peak, formula.free_bytes),
        peak=peak,
        parts=parts,
        basis="trace",
        notes=(
            *notes_of(workload, trained_tokens),
            *(one for one in formula.notes if one.code not in (MEASURED_MEMORY, MEASURED_TIME)),
        ),
    )


def notes_of(workload: Workload, trained_tokens: int | None = None) -> tuple[CodedWarning, ...]:
    """Notes on the parts that no trace can see and that are modelled, and on stacks that no GPU run has checked."""
    if workload.on_cpu:
        said = "Traced for a CPU: attention as one kernel, and no allocator of PyTorch's own."
        return (note("traced_for_cpu", said),)
    said = "Modelled, not traced: cuBLAS workspaces, softmax's backward temporary, attention kernels' buffers."
    notes = [note("modelled_parts", said)]
    if workload.stack.loss == "fused":
        share = "every token" if trained_tokens is None else counted(trained_tokens, "token")
        said = f"TRL's fused loss on CUDA is traced by a stand-in, with {share} trained."
        notes.append(note("loss_stand_in", said))
        notes.append(note("unchecked_on_gpu", "No run on a GPU has checked this stack here yet."))
    return tuple(notes)
