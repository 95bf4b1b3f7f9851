"""A run in lines of text: one for each step, evaluation, checkpoint and event. For logs, pipes and slow lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from presets.errors import NoError
from recommender.units import count, duration, rate
from trainer.history.reader import RunReader
from trainer.run.folder import RunFolder
from tui.dashboard.ending import ending_rows, has_ended
from tui.dashboard.event_lines import Event, event_line, time_of_day
from tui.dashboard.notify import Notifier, NotifySettings
from tui.dashboard.time_left import seconds_left
from tui.widgets.curves.ticks import short

if TYPE_CHECKING:
    from trainer.history.columns import StepPoint, Steps
    from trainer.history.reader import Snapshot

POLL_SECONDS = 0.5


def watch_plain(
    run_path: Path,
    out: TextIO,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Print a run as it goes on, until it has ended; then its summary.

    Interrupting leaves the run alone, and says so.

    Args:
        run_path: The run's folder.
        out: Where lines go.
        clock: Unix seconds; injected by tests.
        sleep: Waits between two looks; injected by tests.

    Returns:
        0 when the run finished or was stopped, or when the watching was interrupted; 1 when the run failed or died.
    """
    watcher = _Lines(RunReader(run_path, clock), out)
    notifier = Notifier(NotifySettings.kept(), lambda characters: print(characters, end="", file=out, flush=True))
    try:
        while True:
            snapshot = watcher.look()
            notifier.look(snapshot)
            if has_ended(snapshot):
                break
            sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        print(f"\nthe run goes on; `lora-wizard watch {RunFolder(run_path).argument}` shows it", file=out, flush=True)
        return 0
    for shown in ending_rows(snapshot):
        print(shown.plain.rstrip(), file=out)
    out.flush()
    return NoError.exit_code if snapshot.status == "failed" else 0


class _Lines:
    """Prints what each look adds."""

    def __init__(self, reader: RunReader, out: TextIO) -> None:
        self._reader = reader
        self._out = out
        self._steps: Steps | None = None
        self._events: list[Event] = []

    def look(self) -> Snapshot:
        """Read what is new and print it in the order in which it happened."""
        snapshot = self._reader.poll()
        if not snapshot.steps.continues(self._steps):
            self._steps = None
        known = len(self._steps) if self._steps is not None else 0
        lines = [(point.t, step_line(point, snapshot)) for point in snapshot.steps[known:]]
        said = filter(None, map(event_line, _after(self._events, list(snapshot.events))))
        lines += [(line.t or snapshot.now, f"{line.clock}  {line.text}") for line in said]
        self._steps, self._events = snapshot.steps, list(snapshot.events)
        for _, text in sorted(lines, key=lambda line: line[0]):
            print(text, file=self._out)
        if lines:
            self._out.flush()
        return snapshot


def step_line(point: StepPoint, snapshot: Snapshot) -> str:
    """One step in aligned columns."""
    total = snapshot.state.total_steps
    steps = f"{count(point.step)}/{count(total)}" if total else count(point.step)
    width = 2 * len(count(total)) + 1 if total else 7
    loss = short(point.loss, 4) if point.loss is not None else ("nan" if not point.finite else "")
    parts = [
        f"{time_of_day(point.t)}  step {steps:>{width}}",
        f"loss {loss:<6}",
        f"grad_norm {short(point.grad_norm) if point.grad_norm is not None else '':<7}",
        f"learning_rate {short(point.learning_rate) if point.learning_rate is not None else '':<8}",
        f"{rate(point.tokens_per_second) if point.tokens_per_second else '':>12}",
    ]
    if point == snapshot.steps[-1] and (left := seconds_left(snapshot)) is not None:
        parts.append(f"{duration(left)} left")
    return "  ".join(parts).rstrip()


def _after(old: list[Event], new: list[Event]) -> list[Event]:
    """The events that came after those seen; a reader keeps only the latest, so the front may have gone."""
    if not old:
        return new
    for index in range(len(new) - 1, -1, -1):
        if new[index] is old[-1]:
            return new[index + 1 :]
    return new
