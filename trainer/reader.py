"""A run as its folder tells it: read a little at a time, by any number of readers, live or long ago."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from trainer.events import SILENCE_SECONDS
from trainer.runfolder import RunFolder
from trainer.state import RunState, number, read_state, whole
from trainer.tail import Tail, last_lines

RECENT_EVENTS: Final = 500
LOG_LINES: Final = 200
SHOWN: Final = frozenset(
    {"status", "start", "preflight", "eval", "checkpoint", "sample", "command", "warning", "recovery", "on_end", "end"}
)
"""Kinds that a person reads one by one; steps and device readings are curves."""


@dataclass(frozen=True, slots=True)
class StepPoint:
    """One optimizer step. None where the worker did not say (or said NaN)."""

    step: int
    t: float
    epoch: float | None
    loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens: int | None
    """Tokens so far."""
    tokens_per_second: float | None
    step_seconds: float | None
    memory_bytes: int | None
    finite: bool = True
    """False when the loss was NaN or infinite."""


@dataclass(frozen=True, slots=True)
class EvalPoint:
    """One evaluation."""

    step: int
    t: float
    eval_loss: float | None
    best: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a screen shows of a run, at one moment. Nothing in it changes afterwards."""

    run_id: str
    path: Path
    now: float
    state: RunState
    alive: bool
    """Whether its supervisor or worker still runs."""
    died: str
    """What happened when it ended without saying so; empty otherwise."""
    steps: Sequence[StepPoint]
    evals: Sequence[EvalPoint]
    events: Sequence[Mapping[str, Any]]
    """The latest events that a person reads one by one."""
    samples: Sequence[Mapping[str, Any]]
    checkpoints: Sequence[Mapping[str, Any]]
    start: Mapping[str, Any]
    """The last 'start' event, or empty."""
    preflight: Mapping[str, Any]
    end: Mapping[str, Any]
    devices: Sequence[Mapping[str, Any]]
    """Device readings, oldest first."""
    log: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    """config.effective.yaml as it stands."""

    @property
    def status(self) -> str:
        """The status to show: 'failed' when the run died without a word."""
        return "failed" if self.died else self.state.status

    @property
    def adapter(self) -> Path:
        """Where the adapter is, or will be."""
        return RunFolder(self.path).adapter


class RunReader:
    """Follows one run folder.

    Args:
        path: The run's folder.
        clock: Unix seconds; injected by tests.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = RunFolder(path)
        self.clock = clock
        self._tail = Tail(self.folder.events)
        self._steps: list[StepPoint] = []
        self._evals: list[EvalPoint] = []
        self._samples: list[Mapping[str, Any]] = []
        self._checkpoints: list[Mapping[str, Any]] = []
        self._devices: deque[Mapping[str, Any]] = deque(maxlen=2000)
        self._events: deque[Mapping[str, Any]] = deque(maxlen=RECENT_EVENTS)
        self._latest: dict[str, Mapping[str, Any]] = {}

    def poll(self) -> Snapshot:
        """Take in what is new and return the run as it is now."""
        for document in self._tail.documents():
            self._take(document)
        now = self.clock()
        state = read_state(self.folder)
        if (end := self._latest.get("end")) and not state.ended:
            state = replace(state, status=str(end.get("status", "failed")), reason=str(end.get("reason", "")))
        alive = any(process is not None and process.alive() for process in (state.supervisor, state.worker))
        log = last_lines(self.folder.log, LOG_LINES)
        return Snapshot(
            run_id=self.folder.id,
            path=self.folder.path,
            now=now,
            state=state,
            alive=alive,
            died="" if alive or state.ended else _death(state, now, log),
            steps=tuple(self._steps),
            evals=tuple(self._evals),
            events=tuple(self._events),
            samples=tuple(self._samples),
            checkpoints=tuple(self._checkpoints),
            start=self._latest.get("start", {}),
            preflight=self._latest.get("preflight", {}),
            end=self._latest.get("end", {}),
            devices=tuple(self._devices),
            log=log,
            config=self._config,
        )

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        for path in (self.folder.effective_config, self.folder.config):
            try:
                raw = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, yaml.YAMLError, UnicodeDecodeError):
                continue
            if isinstance(raw, dict):
                return raw
        return {}

    def _take(self, event: Mapping[str, Any]) -> None:
        kind = event.get("kind")
        if kind in SHOWN:
            self._events.append(event)
        match kind:
            case "step":
                self._take_step(event)
            case "eval":
                self._take_eval(event)
            case "sample":
                self._samples.append(event)
            case "checkpoint":
                self._checkpoints.append(event)
            case "device":
                self._devices.append(event)
            case "start":
                self._latest["start"] = event
                self._go_back(whole(event.get("resumed_from")))
            case "recovery":
                # What runs now has changed.
                self.__dict__.pop("_config", None)
            case "preflight" | "end":
                self._latest[str(kind)] = event
            case "status" if event.get("status") == "starting":
                # A resumed run: what ended it the last time no longer holds.
                self._latest.pop("end", None)

    def _go_back(self, step: int | None) -> None:
        """A resumed run counts from its checkpoint: what was trained after it is trained again."""
        kept = step or 0
        self._steps = [point for point in self._steps if point.step <= kept]
        self._evals = [point for point in self._evals if point.step <= kept]
        self._samples = [sample for sample in self._samples if (whole(sample.get("step")) or 0) <= kept]
        self._checkpoints = [saved for saved in self._checkpoints if (whole(saved.get("step")) or 0) <= kept]

    def _take_step(self, event: Mapping[str, Any]) -> None:
        if (step := whole(event.get("step"))) is None:
            return
        loss = number(event.get("loss"))
        self._steps.append(
            StepPoint(
                step=step,
                t=number(event.get("t")) or 0.0,
                epoch=number(event.get("epoch")),
                loss=loss,
                learning_rate=number(event.get("learning_rate")),
                grad_norm=number(event.get("grad_norm")),
                tokens=whole(event.get("tokens")),
                tokens_per_second=number(event.get("tokens_per_second")),
                step_seconds=number(event.get("step_seconds")),
                memory_bytes=whole(event.get("memory_bytes")),
                finite=loss is not None or event.get("loss") is None,
            )
        )

    def _take_eval(self, event: Mapping[str, Any]) -> None:
        if (step := whole(event.get("step"))) is None:
            return
        if self._evals and self._evals[-1].step == step:
            # Evaluated again, at the beginning of a run that began anew.
            self._evals.pop()
        self._evals.append(
            EvalPoint(step, number(event.get("t")) or 0.0, number(event.get("eval_loss")), event.get("best") is True)
        )


def _death(state: RunState, now: float, log: tuple[str, ...]) -> str:
    """Say that a run is gone which did not say so itself; empty while its silence is too short to tell."""
    if state.heartbeat is None or now - state.heartbeat <= SILENCE_SECONDS:
        return ""
    ended = f" by {state.signal}" if state.signal else f" with exit code {state.exit_code}" if state.exit_code else ""
    last = f" The log's last line: {log[-1].strip()[:200]}" if log else ""
    return f"Its processes are gone{ended} and it has been silent for {now - state.heartbeat:.0f} s.{last}"
