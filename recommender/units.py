"""Numbers as a person reads them: one place, so that every screen and command shows them alike.

Bytes come in as bytes and are shown in GiB (2^30); seconds come in as seconds. Groups of three digits are parted by a
space. Nothing here rounds a figure that is computed with: only text comes out.
"""

from __future__ import annotations

import math

GIB = 2**30
MIB = 2**20
UNKNOWN = "unknown"


def gib(nbytes: float | None) -> str:
    """Show a size.

    Args:
        nbytes: Bytes, may be negative (too much of something); None where unknown.

    Returns:
        '9.4 GiB', '118 GiB', '1 862 GiB'; below 0.1 GiB '64 MiB', below 1 MiB '12 KiB'.
    """
    if nbytes is None:
        return UNKNOWN
    size = abs(nbytes)
    sign = "-" if nbytes < 0 else ""
    if size == 0:
        return "0 GiB"
    if size >= 99.95 * GIB:
        return f"{sign}{_grouped(round(size / GIB))} GiB"
    if size >= 0.1 * GIB:
        return f"{sign}{size / GIB:.1f} GiB"
    if size >= MIB:
        return f"{sign}{size / MIB:.0f} MiB"
    return f"{sign}{math.ceil(size / 1024)} KiB"


def gib_number(nbytes: float | None) -> str:
    """The number of `gib` without its unit, always in GiB, for lines where the unit stands once ('22.9/24.0 GiB')."""
    if nbytes is None:
        return "?"
    value = nbytes / GIB
    return _grouped(round(value)) if abs(value) >= 99.95 else f"{value:.1f}"


def duration(seconds: float | None) -> str:
    """Show a span of time: '0.4 s', '42 s', '12 m 5 s', '1 h 52 m', '2 d 3 h'; 'unknown' for None or infinity."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _pair(whole, 60, "m", "s")
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return _pair(minutes, 60, "h", "m")
    return _pair(round(seconds / 3600), 24, "d", "h")


def count(n: float | None) -> str:
    """Show how many: '51 760' up to a million, then three significant digits: '8.12 M', '135 M', '8.03 B', '1.2 T'."""
    if n is None:
        return UNKNOWN
    size = abs(n)
    if size < 999_500:
        return _grouped(round(n))
    for scale, unit in ((1e6, "M"), (1e9, "B"), (1e12, "T")):
        if size < 999.5 * scale:
            return f"{_significant(n / scale)} {unit}"
    return f"{_grouped(round(n / 1e12))} T"


def counted(n: int, noun: str) -> str:
    """Show a count with its noun: '1 row', '2 rows', '12 400 rows'."""
    return f"{count(n)} {noun}" if n == 1 else f"{count(n)} {noun}s"


def rate(value: float | None, unit: str = "tok/s") -> str:
    """Show a rate: '1 214 tok/s', '38.2 tok/s', '0.41 tok/s'."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    shown = _grouped(round(value)) if abs(value) >= 99.95 else _significant(value)
    return f"{shown} {unit}"


def percent(share: float | None) -> str:
    """Show a share between 0 and 1: '71 %', '5.2 %', '0.07 %', '100 %' only when it is exactly all."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    value = share * 100
    if value == 0 or value == 100:
        return f"{value:.0f} %"
    if 99.5 <= value < 100:
        return f"{math.floor(value * 10) / 10:.1f} %"
    if abs(value) >= 9.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if abs(value) >= 0.95 else f"{value:.2g} %"


def small(value: float | None) -> str:
    """Show a learning rate or another small number without losing its digits: '2.9e-4', '0.05', '0'."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _pair(whole: int, base: int, large: str, little: str) -> str:
    first, rest = divmod(whole, base)
    return f"{first} {large} {rest} {little}" if rest else f"{first} {large}"


def _grouped(n: int) -> str:
    return f"{n:,}".replace(",", " ")


def _significant(value: float) -> str:
    """Three significant digits without an exponent and without trailing zeros after the point."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
