"""Numbers as they are shown."""

from __future__ import annotations

import pytest

from recommender import units

GIB = 2**30


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (9.4 * GIB, "9.4 GiB"),
        (24 * GIB, "24.0 GiB"),
        (99.94 * GIB, "99.9 GiB"),
        (99.96 * GIB, "100 GiB"),
        (1862 * GIB, "1 862 GiB"),
        (0.2 * GIB, "0.2 GiB"),
        (64 * 2**20, "64 MiB"),
        (12_000, "12 KiB"),
        (1, "1 KiB"),
        (0, "0 GiB"),
        (-3.9 * GIB, "-3.9 GiB"),
        (None, "unknown"),
    ],
)
def test_gib(nbytes: float | None, text: str) -> None:
    assert units.gib(nbytes) == text


def test_gib_number() -> None:
    assert [units.gib_number(n) for n in (22.9 * GIB, 128 * GIB, 0, None)] == ["22.9", "128", "0.0", "?"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (0.42, "0.4 s"),
        (42, "42 s"),
        (59.6, "1 m"),
        (725, "12 m 5 s"),
        (3599.7, "1 h"),
        (6720, "1 h 52 m"),
        (7199, "2 h"),
        (86_399, "1 d"),
        (183_600, "2 d 3 h"),
        (None, "unknown"),
        (float("inf"), "unknown"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0"),
        (812, "812"),
        (51_760, "51 760"),
        (999_499, "999 499"),
        (999_999, "1 M"),
        (8_120_000, "8.12 M"),
        (134_515_008, "135 M"),
        (8_030_261_248, "8.03 B"),
        (70_553_706_496, "70.6 B"),
        (1.2e12, "1.2 T"),
        (2e15, "2 000 T"),
        (-51_760, "-51 760"),
        (None, "unknown"),
    ],
)
def test_count(n: float | None, text: str) -> None:
    assert units.count(n) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1214, "1 214 tok/s"), (38.24, "38.2 tok/s"), (0.413, "0.413 tok/s"), (0, "0 tok/s"), (None, "unknown")],
)
def test_rate(value: float | None, text: str) -> None:
    assert units.rate(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0007, "0.07 %"),
        (0.052, "5.2 %"),
        (0.71, "71 %"),
        (0.999, "99.9 %"),
        (0.99996, "99.9 %"),
        (1, "100 %"),
        (1.3, "130 %"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert units.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.9e-4, "2.9e-4"),
        (5e-5, "5e-5"),
        (0.05, "0.05"),
        (0.001, "0.001"),
        (1, "1"),
        (0.0, "0"),
        (23456.0, "2.346e4"),
        (-2e-6, "-2e-6"),
    ],
)
def test_small(value: float, text: str) -> None:
    assert units.small(value) == text


def test_one_is_not_many() -> None:
    assert [units.counted(n, "row") for n in (0, 1, 2, 12_400)] == ["0 rows", "1 row", "2 rows", "12 400 rows"]
