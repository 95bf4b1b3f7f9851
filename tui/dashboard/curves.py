"""The curves of a run, grown from one snapshot to the next: only new points are looked at."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recommender.stages.base import LOSS
from recommender.stages.sft import SFT
from recommender.units import GIB
from tui.widgets.curves.series import Series, Smoothed, slope_per_100, span_for

if TYPE_CHECKING:
    from recommender.stages import Stage
    from trainer.history.columns import Readings, Steps
    from trainer.history.reader import Snapshot


@dataclass
class History:
    """Series over steps, ready to be drawn.

    Attributes:
        loss: Training loss of each step.
        smooth: The same, smoothed.
        evals: Evaluation losses.
        best: The least of them, alone, where there are several.
        stage: The run's, which says what the trainer logs.
        figures: What it logs at each step beside the loss (learning_rate, grad_norm …), by key.
        speed: Tokens a second.
        busy: Use of the device, percent: the GPU's as NVML counts it, or this process's on a CPU.
        memory: Of the card, or of this process on a CPU, in GiB.
        power: In watts.
        heat: In degrees Celsius.
        smoothing: How many times as far as usual the smoothing looks back.
    """

    stage: Stage = SFT
    loss: Series = field(default_factory=Series)
    smooth: Smoothed = field(default_factory=Smoothed)
    evals: Series = field(default_factory=Series)
    best: Series = field(default_factory=Series)
    figures: dict[str, Series] = field(init=False)
    speed: Series = field(default_factory=Series)
    busy: Series = field(default_factory=Series)
    memory: Series = field(default_factory=Series)
    power: Series = field(default_factory=Series)
    heat: Series = field(default_factory=Series)
    smoothing: float = 1.0
    _total: int | None = None
    _steps: Steps | None = None
    _readings: Readings | None = None
    _evals_seen: tuple[int, float | None] = (0, None)

    def __post_init__(self) -> None:
        self.figures = {figure.key: Series() for figure in self.stage.figures if figure != LOSS}

    def absorb(self, snapshot: Snapshot) -> bool:
        """Take in what a snapshot has that the one before had not.

        Returns:
            Whether any curve changed.
        """
        changed = self._absorb_steps(snapshot.steps, snapshot.state.total_steps)
        changed |= self._absorb_readings(snapshot.readings)
        seen = len(snapshot.evals), snapshot.evals[-1].eval_loss if snapshot.evals else None
        if changed or seen != self._evals_seen:
            self.evals.clear()
            self.evals.extend((point.step, point.eval_loss) for point in snapshot.evals)
            self.best.clear()
            if len(self.evals) > 1:
                least = min(range(len(self.evals)), key=self.evals.y.__getitem__)
                self.best.extend([(self.evals.x[least], self.evals.y[least])])
            changed, self._evals_seen = True, seen
        return changed

    def smoothen(self, factor: float) -> None:
        """Look back that many times as far as usual, from the first step on."""
        self.smoothing = factor
        self._smooth_again(span_for(self._total) * factor)

    @property
    def trend(self) -> float | None:
        """Change of the smoothed loss per 100 steps, None while it is too early to say."""
        return slope_per_100(self.smooth.series)

    def _absorb_steps(self, steps: Steps, total: int | None) -> bool:
        self._total = total
        if not steps.continues(self._steps):
            # The run was resumed from an earlier checkpoint: what was drawn is no longer so.
            for series in (self.loss, *self.figures.values(), self.speed):
                series.clear()
            self._smooth_again(self.smooth.span)
            self._steps = None
        known = len(self._steps) if self._steps is not None else 0
        span, self._steps = span_for(total) * self.smoothing, steps
        if span != self.smooth.span:
            self._smooth_again(span)
        if len(steps) == known:
            return False
        xs, losses = steps.column("step", known), steps.column("loss", known)
        self.loss.extend_columns(xs, losses)
        self.smooth.extend_columns(xs, losses)
        for key, series in self.figures.items():
            series.extend_columns(xs, steps.column(key, known))
        self.speed.extend_columns(xs, steps.column("tokens_per_second", known))
        return True

    def _absorb_readings(self, readings: Readings) -> bool:
        if not readings.continues(self._readings):
            for series in (self.busy, self.memory, self.power, self.heat):
                series.clear()
            self._readings = None
        known = self._readings.count if self._readings is not None else 0
        self._readings = readings
        if readings.count == known:
            return False
        xs = readings.column("at", known)
        self.busy.extend_columns(xs, _first_known(readings, known, "utilisation", "cpu_percent"))
        memory = _first_known(readings, known, "memory_used", "rss_bytes")
        self.memory.extend_columns(xs, array("d", (value / GIB for value in memory)))
        self.power.extend_columns(xs, readings.column("power_watts", known))
        self.heat.extend_columns(xs, readings.column("temperature", known))
        return True

    def _smooth_again(self, span: float) -> None:
        self.smooth.respan(span, self.loss.x, self.loss.y)


def _first_known(readings: Readings, start: int, *names: str) -> array[float]:
    """First known value of some figures, for each reading."""
    first, *others = (readings.column(name, start) for name in names)
    for other in others:
        first = array("d", (b if math.isnan(a) else a for a, b in zip(first, other, strict=True)))
    return first
