"""Places and labels of an axis's ticks: pure arithmetic, no screen.

Ticks stand at 1, 2 or 5 times a power of ten. Labels keep the digits that tell neighbours apart (2.9e-4, never 0.000)
and share one form along an axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_FACTORS: tuple[tuple[float, ...], ...] = ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
"""Multiples of a power of ten that a logarithmic axis may show, the fullest set first."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick of an axis."""

    value: float
    """Place in the data's own unit, also on a logarithmic axis."""
    label: str


def linear_ticks(low: float, high: float, most: int) -> tuple[Tick, ...]:
    """Choose at most `most` ticks within [low, high].

    Args:
        low: Lower end.
        high: Upper end, above `low`.
        most: How many labels have room; at least one is tried for.

    Returns:
        Ticks in rising order; fewer than two only when the span has no round number inside.
    """
    span = high - low
    if not (math.isfinite(span) and span > 0) or most < 1:
        return ()
    step = _nice_step(span / max(most, 1))
    values = _multiples(step, low, high)
    while len(values) > most:
        step = _nice_step(step * 1.01)
        values = _multiples(step, low, high)
    return _labelled(values, step)


def log_ticks(low: float, high: float, most: int) -> tuple[Tick, ...]:
    """Choose ticks for a logarithmic axis.

    Args:
        low: Lower end, above zero, in the data's unit.
        high: Upper end, above `low`.
        most: How many labels have room.

    Returns:
        Powers of ten, with round numbers between them where there is room; over less than a factor of about three the
        ticks of a linear axis, which are then evenly enough spaced.
    """
    if not (0 < low < high and math.isfinite(high)) or most < 1:
        return ()
    if high / low < 3:
        return linear_ticks(low, high, most)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in _FACTORS:
        values = [f * 10.0**p for p in range(first, last + 1) for f in factors if low <= f * 10.0**p <= high]
        if 2 <= len(values) <= most:
            return tuple(Tick(value, short(value)) for value in values)
    decades = [10.0**p for p in range(first, last + 1) if low <= 10.0**p <= high]
    stride = max(1, math.ceil(len(decades) / most))
    return tuple(Tick(value, short(value)) for value in decades[::stride])


def short(value: float, digits: int = 3) -> str:
    """Show one value in at most about seven characters: '0.912', '2.9e-4', '1214', '12k', '3.2M'.

    Args:
        value: Any number.
        digits: Significant digits at most.

    Returns:
        The text; trailing zeros are dropped.
    """
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    size = abs(value)
    if size < 1e-2 and (size < 1e-3 or digits > 2):
        return _scientific(value, digits - 1)
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= scale * 0.99995:
            divisor = 1e3 if unit == "k" else scale
            return f"{_trim(f'{value / divisor:.{digits}g}', value / divisor)}{unit}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return _plain(value, decimals)


def loss_text(value: float, digits: int = 3) -> str:
    """A loss beside others: as `short`, with its zeros, so that 1.30 stands under 1.29 and says as much.

    Args:
        value: Any number.
        digits: Significant digits.
    """
    if not math.isfinite(value) or not 1e-2 <= abs(value) < 1e4:
        return short(value, digits)
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def _nice_step(rough: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10):
        if factor * power >= rough * (1 - 1e-9):
            return factor * power
    return 10 * power


def _multiples(step: float, low: float, high: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _labelled(values: Sequence[float], step: float) -> tuple[Tick, ...]:
    """Label an evenly spaced axis with as many digits as the step needs."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest == 0 or largest >= 1e4 - 1e-6:
        return tuple(Tick(value, short(value, 4)) for value in values)
    if largest < 1e-2:
        places = max(0, math.floor(math.log10(largest) + 1e-9) - math.floor(math.log10(step) + 1e-9))
        return tuple(Tick(value, _scientific(value, places) if value else "0") for value in values)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return tuple(Tick(value, f"{value:.{decimals}f}") for value in values)


def _scientific(value: float, places: int) -> str:
    mantissa, exponent = f"{value:.{places}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _trim(text: str, value: float) -> str:
    """Undo the exponent that %g falls back to for 1e+03."""
    return f"{value:.0f}" if "e" in text else text
