"""Reader of a run folder, incremental, for live and for ended runs; any number of readers at once."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from recommender.stages import Stage, find_stage
from trainer.history.columns import Readings, StepPoint, Steps, device_columns, device_table, step_columns, step_table
from trainer.history.ranks import RankNow, RankReader
from trainer.history.tail import Tail, last_lines
from trainer.run.events import SILENCE_SECONDS
from trainer.run.folder import RunFolder
from trainer.run.state import RunState, number, read_state, whole

__all__ = ["EvalPoint", "RunReader", "Snapshot", "StepPoint"]

RECENT_EVENTS: Final = 500
CHUNK_BYTES: Final = 2**19
"""Read at once: what is parsed of a long run is in memory in parts only."""
LOG_LINES: Final = 200
SHOWN: Final = frozenset(
    {"status", "start", "preflight", "eval", "checkpoint", "sample", "command", "warning", "recovery", "on_end", "end"}
)
"""Kinds that a person reads one by one; steps and device readings are curves."""


@dataclass(frozen=True, slots=True)
class EvalPoint:
    """One evaluation."""

    step: int
    t: float
    eval_loss: float | None
    best: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run at one moment, for a screen; immutable."""

    run_id: str
    path: Path
    now: float
    state: RunState
    alive: bool
    """Whether its supervisor or worker still runs."""
    died: str
    """A sentence on the death of a run without an end event; empty otherwise."""
    steps: Steps
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
    """The latest device readings, oldest first."""
    log: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    """config.effective.yaml as it stands."""
    readings: Readings = field(default_factory=lambda: Readings(device_table(), 0))
    """All device readings, as columns."""
    ranks: tuple[RankNow, ...] = ()
    """The processes of a run of several."""
    behind: bool = False
    """Whether more is in the folder than was read yet."""
    adapters: Mapping[str, Any] = field(default_factory=dict)
    """The last 'adapters' event: whether each adapter had a gradient after the first step; empty before."""

    @property
    def status(self) -> str:
        """The status to show: 'failed' when the run died without an end event."""
        return "failed" if self.died else self.state.status

    @property
    def stage(self) -> Stage:
        """The stage that is trained."""
        return find_stage(self.start.get("stage", self.config.get("stage")))

    @property
    def adapter(self) -> Path:
        """The adapter's folder, whether or not it has been written yet."""
        return RunFolder(self.path).adapter

    @property
    def argument(self) -> str:
        """The name of this run on a command line."""
        return RunFolder(self.path).argument


GONE: Final = "its folder is gone: it was removed or moved, or its disk is no longer there"


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
        self._steps = step_table()
        self._fresh: list[Mapping[str, Any]] = []
        self._fresh_readings: list[tuple[Mapping[str, Any], float]] = []
        self._readings = device_table()
        self._evals: list[EvalPoint] = []
        self._samples: list[Mapping[str, Any]] = []
        self._checkpoints: list[Mapping[str, Any]] = []
        self._devices: deque[Mapping[str, Any]] = deque(maxlen=2000)
        self._events: deque[Mapping[str, Any]] = deque(maxlen=RECENT_EVENTS)
        self._latest: dict[str, Mapping[str, Any]] = {}
        self._state = RunState()
        self._ranks = RankReader(self.folder)

    @property
    def stage(self) -> Stage:
        """The stage that its configuration names; known before any event."""
        return find_stage(self._config.get("stage"))

    def poll(self, seconds: float | None = None) -> Snapshot:
        """Take in what is new and return the run as it is now.

        Args:
            seconds: After which the rest is left to the next call; all is read when None.
        """
        until = time.monotonic() + (math.inf if seconds is None else seconds)
        behind = True
        while behind and time.monotonic() < until:
            before = self._tail.offset
            for document in self._tail.documents(CHUNK_BYTES):
                self._take(document)
            self._file_all()
            behind = self._tail.offset - before >= CHUNK_BYTES
        return self._snapshot(behind)

    def _snapshot(self, behind: bool) -> Snapshot:
        now = self.clock()
        gone = self._tail.offset > 0 and not self.folder.path.is_dir()
        if not gone:
            self._state = read_state(self.folder)
        state = self._state
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
            died="" if state.ended or (alive and not gone) else GONE if gone else _death(state, now, log),
            steps=Steps(self._steps),
            evals=tuple(self._evals),
            events=tuple(self._events),
            samples=tuple(self._samples),
            checkpoints=tuple(self._checkpoints),
            start=self._latest.get("start", {}),
            preflight=self._latest.get("preflight", {}),
            end=self._latest.get("end", {}),
            devices=tuple(self._devices),
            readings=Readings(self._readings, len(self._readings)),
            log=log,
            config=self._config,
            ranks=self._ranks.poll(state.world_size),
            behind=behind,
            adapters=self._latest.get("adapters", {}),
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
        if kind == "step":
            # Almost every line is one: they are filed together.
            self._fresh.append(event)
            return
        if kind in SHOWN:
            self._events.append(event)
        match kind:
            case "eval":
                self._take_eval(event)
            case "sample":
                self._samples.append(event)
            case "checkpoint":
                self._checkpoints.append(event)
            case "device":
                self._devices.append(event)
                self._fresh_readings.append((event, self._at(number(event.get("t")))))
            case "start":
                self._latest["start"] = event
                self._go_back(whole(event.get("resumed_from")))
            case "recovery":
                # What runs now has changed.
                self.__dict__.pop("_config", None)
            case "preflight" | "end" | "adapters":
                self._latest[str(kind)] = event
            case "status" if event.get("status") == "starting":
                # A resumed run: what ended it the last time no longer holds.
                self._latest.pop("end", None)
                self._latest.pop("adapters", None)

    def _go_back(self, step: int | None) -> None:
        """Drop the steps behind the checkpoint of a resumed run: they are trained again."""
        kept = step or 0
        self._file_all()
        self._steps = self._steps.up_to("step", kept)
        self._readings = self._readings.up_to("at", kept)
        self._evals = [point for point in self._evals if point.step <= kept]
        self._samples = [sample for sample in self._samples if (whole(sample.get("step")) or 0) <= kept]
        self._checkpoints = [saved for saved in self._checkpoints if (whole(saved.get("step")) or 0) <= kept]

    def _file_all(self) -> None:
        """Append the new steps and readings to their tables."""
        numbered = [(step, event) for event in self._fresh if (step := _step_of(event)) is not None]
        self._fresh.clear()
        first, before = 0, self._last_step
        for index, (step, _) in enumerate(numbered):
            if step <= before:
                # A step that comes again without a start that said so: only a damaged record has that.
                self._file(numbered[first:index])
                self._steps, first = self._steps.up_to("step", step - 1), index
            before = step
        self._file(numbered[first:])
        readings = self._fresh_readings
        self._readings.extend(device_columns([event for event, _ in readings], [at for _, at in readings]))
        readings.clear()

    def _file(self, numbered: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        if numbered:
            self._steps.extend(step_columns([event for _, event in numbered], [step for step, _ in numbered]))

    @property
    def _last_step(self) -> int:
        return int(self._steps.value("step", -1)) if self._steps else -1

    def _at(self, t: float | None) -> float:
        """The step at a moment, with the elapsed part of the next one."""
        if self._fresh:
            latest = self._fresh[-1]
            known = [number(latest.get(name)) or 0.0 for name in ("step", "t", "step_seconds")]
        elif self._steps:
            known = [self._steps.value(name, -1) for name in ("step", "t", "step_seconds")]
        else:
            return 0.0
        step, began, took = known
        share = (t - began) / took if t is not None and took > 0 and began > 0 else 0.0
        return step + min(0.99, max(0.0, share))

    def _take_eval(self, event: Mapping[str, Any]) -> None:
        if (step := whole(event.get("step"))) is None:
            return
        if self._evals and self._evals[-1].step == step:
            # Evaluated again, at the beginning of a run that began anew.
            self._evals.pop()
        self._evals.append(
            EvalPoint(
                step,
                number(event.get("t")) or 0.0,
                number(event.get("eval_loss")),
                event.get("best") is True,
                number(event.get("seconds")),
            )
        )


def _step_of(event: Mapping[str, Any]) -> int | None:
    step = event.get("step")
    return step if type(step) is int else whole(step)


def _death(state: RunState, now: float, log: tuple[str, ...]) -> str:
    """The message for a run that died without an end event; empty while its silence is too short to tell."""
    if state.heartbeat is None or now - state.heartbeat <= SILENCE_SECONDS:
        return ""
    ended = f" by {state.signal}" if state.signal else f" with exit code {state.exit_code}" if state.exit_code else ""
    last = f" The log's last line: {log[-1].strip()[:200]}" if log else ""
    return f"Its processes are gone{ended} and it has been silent for {now - state.heartbeat:.0f} s.{last}"
