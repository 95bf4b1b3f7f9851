"""Points of one curve: appended as they arrive, read back as as many buckets as the screen has columns.

A run may log 200 000 steps; a screen has some hundred columns. Appending is O(new points); a redraw reads the visible
window with numpy over the raw buffer (no copy) and keeps the least and the greatest value of each bucket, so that a
spike of one step stays visible. Zooming in comes back to the raw points, because they are all still here.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Points drawn of a series: at most two a bucket, in order of x."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def with_last(self, series: Series, high: float) -> Window:
        """Return the window with the last point of its series where that is not beyond `high`."""
        if series.x[-1] > high:
            return self
        return Window((*self.x, series.x[-1]), (*self.y, series.y[-1]))


EMPTY = Window((), ())


class Series:
    """Growing arrays of x (steps) and y.

    Attributes:
        x: Steps, always rising.
        y: Values; non-finite ones are kept out (`skipped` counts them).
        skipped: How many values were NaN or infinite.
    """

    def __init__(self) -> None:
        self.x = array("d")
        self.y = array("d")
        self.skipped = 0

    def __len__(self) -> int:
        return len(self.x)

    def extend(self, points: Iterable[tuple[float, float | None]]) -> None:
        """Append points; a value that is absent is left out, one that is not finite is counted and left out.

        A step that comes again (the run was resumed from an earlier checkpoint) replaces what was there from it on.
        """
        for x, y in points:
            if y is None:
                continue
            if not math.isfinite(y):
                self.skipped += 1
                continue
            while self.x and x <= self.x[-1]:
                self.x.pop()
                self.y.pop()
            self.x.append(x)
            self.y.append(y)

    def extend_columns(self, xs: array[float], ys: array[float]) -> None:
        """Append many points at once; an absent value is NaN here and left out.

        Args:
            xs: Steps, rising.
            ys: As many values.
        """
        if not xs:
            return
        import numpy as np

        if self.x and xs[0] <= self.x[-1]:
            kept = int(np.searchsorted(np.array(self.x), xs[0], "left"))
            del self.x[kept:], self.y[kept:]
        there = np.isfinite(np.array(ys))
        self.x.frombytes(np.array(xs)[there].tobytes())
        self.y.frombytes(np.array(ys)[there].tobytes())

    def nearest(self, x: float) -> tuple[float, float] | None:
        """The point whose step is nearest, None where there is none."""
        if not self.x:
            return None
        after = min(bisect_left(self.x, x), len(self.x) - 1)
        before = max(0, after - 1)
        index = before if x - self.x[before] <= self.x[after] - x else after
        return self.x[index], self.y[index]

    def clear(self) -> None:
        """Forget every point."""
        self.x, self.y, self.skipped = array("d"), array("d"), 0

    def window(self, low: float, high: float, buckets: int) -> Window:
        """Read the points with low <= x <= high, thinned to at most two a bucket.

        Args:
            low: First step shown.
            high: Last step shown.
            buckets: How many columns the screen has for them.

        Returns:
            The points themselves where they are few; else each bucket's least and greatest value.
        """
        if not self.x or buckets < 1:
            return EMPTY
        import numpy as np

        xs, ys = np.frombuffer(self.x), np.frombuffer(self.y)
        first, last = int(np.searchsorted(xs, low, "left")), int(np.searchsorted(xs, high, "right"))
        xs, ys = xs[first:last], ys[first:last]
        if len(xs) > 2 * buckets:
            xs, ys = _extremes(xs, ys, low, high, buckets)
        return Window(tuple(xs.tolist()), tuple(ys.tolist()))


class Smoothed:
    """An exponential moving average of a series, free of the bias of its start.

    The average of the first n values is weighted w^(n-1)…w^0 and divided by the sum of those weights (the correction
    that Adam makes, Kingma and Ba 2015, section 3), so that it begins at the first value and not at zero.
    """

    def __init__(self, span: float = 20.0) -> None:
        self.series = Series()
        self._span = span
        self._sum = 0.0
        self._weights = 0.0

    @property
    def span(self) -> float:
        """About how many steps the average looks back."""
        return self._span

    def extend_columns(self, xs: array[float], ys: array[float]) -> None:
        """Take new points in, in order of their steps; an absent value is NaN and left out."""
        keep = 1.0 - 2.0 / (self._span + 1.0)
        fresh, total, weights = array("d"), self._sum, self._weights
        for y in ys:
            if y - y == 0.0:
                total = keep * total + (1 - keep) * y
                weights = keep * weights + (1 - keep)
                fresh.append(total / weights)
            else:
                fresh.append(math.nan)
        self._sum, self._weights = total, weights
        self.series.extend_columns(xs, fresh)

    def respan(self, span: float, xs: array[float], ys: array[float]) -> None:
        """Start again with another span over all points."""
        self._span, self._sum, self._weights = span, 0.0, 0.0
        self.series.clear()
        self.extend_columns(xs, ys)


def span_for(total_steps: int | None) -> float:
    """Span of the smoothing in steps: a fortieth of the run, between 5 and 200."""
    return min(200.0, max(5.0, (total_steps or 800) / 40))


def slope_per_100(series: Series, share: float = 0.1) -> float | None:
    """Rise of a smoothed series over 100 steps, measured over its last part.

    Args:
        series: A smoothed series.
        share: Which part of its length is looked at, at least 10 points.

    Returns:
        Units of y per 100 steps, or None while there is too little to say.
    """
    points = max(10, int(len(series) * share))
    if len(series) < points or len(series) < 10:
        return None
    run = series.x[-1] - series.x[-points]
    return (series.y[-1] - series.y[-points]) / run * 100 if run > 0 else None


def _extremes(xs, ys, low: float, high: float, buckets: int):  # type: ignore[no-untyped-def]
    """Each bucket's least and greatest value, at the bucket's first step (numpy arrays in and out)."""
    import numpy as np

    edges = np.linspace(low, high, buckets + 1)[:-1]
    starts = np.unique(np.searchsorted(xs, edges, "left"))
    starts = starts[starts < len(xs)]
    lows, highs = np.minimum.reduceat(ys, starts), np.maximum.reduceat(ys, starts)
    return np.repeat(xs[starts], 2), np.column_stack((lows, highs)).ravel()
