"""The small current state of a run: folded from its events, written by one process, read by all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainer.run.events import DISK_FULL, ENDED, VERSION
from trainer.run.folder import RunFolder, write_atomically
from trainer.run.identity import Process


@dataclass(frozen=True, slots=True)
class RunState:
    """The contents of state.json."""

    status: str = "starting"
    step: int = 0
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    """Of the last evaluation; of what the run leaves, once it has ended."""
    supervisor: Process | None = None
    worker: Process | None = None
    started: float | None = None
    """Unix seconds of the first start."""
    heartbeat: float | None = None
    """Unix seconds of the last sign of life."""
    reason: str | None = None
    """The reason why it ended or is paused, or None."""
    cause: str | None = None
    """The reason as a code, where it has one: 'disk_full'."""
    exit_code: int | None = None
    signal: str | None = None
    world_size: int | None = None
    """Training processes; None before the first start, and in runs of versions that had only one."""
    strategy: str | None = None
    """How they share the work: 'single', 'ddp' or 'fsdp'."""
    nodes: int = 1
    job: Mapping[str, Any] | None = None
    """The batch system's job that it runs in: 'system' and 'id'; None outside of one."""
    stopping: bool = False
    """Its supervisor was told to stop, and it has not ended yet."""

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.status in ENDED

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "v": VERSION,
            "status": self.status,
            "step": self.step,
            "total_steps": self.total_steps,
            "epoch": self.epoch,
            "loss": self.loss,
            "eval_loss": self.eval_loss,
            "supervisor_pid": self.supervisor.pid if self.supervisor else None,
            "worker_pid": self.worker.pid if self.worker else None,
            "supervisor": self.supervisor.document() if self.supervisor else None,
            "worker": self.worker.document() if self.worker else None,
            "started": self.started,
            "heartbeat": self.heartbeat,
            "reason": self.reason,
            "cause": self.cause,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "world_size": self.world_size,
            "strategy": self.strategy,
            "nodes": self.nodes,
            "job": None if self.job is None else dict(self.job),
            "stopping": self.stopping,
        }


def number(value: object) -> float | None:
    """A finite number, None for anything else: an event may hold NaN, text or nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def whole(value: object) -> int | None:
    """A whole number, None for anything else."""
    found = number(value)
    return int(found) if found is not None else None


def text(value: object) -> str | None:
    """A text, None for anything else."""
    return value if isinstance(value, str) else None


def _cause(document: Mapping[str, Any]) -> str | None:
    """Return the cause of a status; versions that wrote none began the reason of a full disk's pause with these words.

    Args:
        document: A status event, or state.json.
    """
    old = document.get("status") == "paused" and str(document.get("reason") or "").startswith("the disk of ")
    return text(document.get("cause")) or (DISK_FULL if old else None)


def fold(state: RunState, event: Mapping[str, Any]) -> RunState:
    """The state after one more event."""
    match event.get("kind"):
        case "status":
            status, reason = text(event.get("status")) or state.status, text(event.get("reason"))
            return replace(state, status=status, reason=reason, cause=_cause(event))
        case "start":
            total = whole(event.get("total_steps"))
            return replace(
                state,
                total_steps=total or state.total_steps,
                step=whole(event.get("resumed_from")) or 0,
                world_size=whole(event.get("world_size")) or state.world_size,
                strategy=text(event.get("strategy")) or state.strategy,
            )
        case "step":
            return replace(
                state,
                step=whole(event.get("step")) or state.step,
                epoch=number(event.get("epoch")),
                loss=number(event.get("loss")),
            )
        case "eval":
            return replace(state, eval_loss=number(event.get("eval_loss")))
        case "end":
            return replace(
                state,
                status=text(event.get("status")) or "failed",
                reason=text(event.get("reason")),
                cause=None,
                exit_code=whole(event.get("exit_code")),
                signal=text(event.get("signal")),
                eval_loss=state.eval_loss if (kept := number(event.get("adapter_eval_loss"))) is None else kept,
            )
    return state


def read_state(folder: RunFolder) -> RunState:
    """The state as it was last written; a new run's when there is none or it cannot be read."""
    try:
        raw = json.loads(folder.state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return RunState()
    if not isinstance(raw, dict):
        return RunState()
    return RunState(
        status=text(raw.get("status")) or "starting",
        step=whole(raw.get("step")) or 0,
        total_steps=whole(raw.get("total_steps")),
        epoch=number(raw.get("epoch")),
        loss=number(raw.get("loss")),
        eval_loss=number(raw.get("eval_loss")),
        supervisor=Process.read(raw.get("supervisor")),
        worker=Process.read(raw.get("worker")),
        started=number(raw.get("started")),
        heartbeat=number(raw.get("heartbeat")),
        reason=text(raw.get("reason")),
        cause=_cause(raw),
        exit_code=whole(raw.get("exit_code")),
        signal=text(raw.get("signal")),
        world_size=whole(raw.get("world_size")),
        strategy=text(raw.get("strategy")),
        nodes=whole(raw.get("nodes")) or 1,
        job=job if isinstance(job := raw.get("job"), dict) else None,
        stopping=raw.get("stopping") is True,
    )


def write_state(folder: RunFolder, state: RunState) -> None:
    """Replace state.json."""
    write_atomically(folder.state, json.dumps(state.document(), allow_nan=False))
