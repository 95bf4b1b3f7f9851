"""Axis labels tell neighbours apart and keep their digits."""

import math

import pytest

from tui.widgets.curves.ticks import linear_ticks, log_ticks, loss_text, short


def labels(low: float, high: float, most: int) -> list[str]:
    return [tick.label for tick in linear_ticks(low, high, most)]


def test_labels_of_a_loss_axis() -> None:
    assert labels(0.78, 2.05, 7) == ["0.8", "1.0", "1.2", "1.4", "1.6", "1.8", "2.0"]


def test_a_learning_rate_is_never_labelled_zero_point_zero() -> None:
    assert labels(0, 2.9e-4, 5) == ["0", "1e-4", "2e-4"]
    assert labels(3.1e-5, 3.3e-5, 4) == ["3.1e-5", "3.2e-5", "3.3e-5"]


def test_large_steps_are_shortened() -> None:
    assert labels(0, 200_000, 5) == ["0", "50k", "100k", "150k", "200k"]


@pytest.mark.parametrize("most", range(1, 12))
@pytest.mark.parametrize(("low", "high"), [(0.0, 3073.0), (0.913, 0.934), (-4.0, 12.0), (1e-7, 3e-4), (1e5, 7.3e8)])
def test_there_are_never_more_than_asked_for_and_all_differ(low: float, high: float, most: int) -> None:
    ticks = linear_ticks(low, high, most)
    assert len(ticks) <= most
    assert len({tick.label for tick in ticks}) == len(ticks)
    slack = (high - low) * 1e-6
    assert all(low - slack <= tick.value <= high + slack for tick in ticks)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf"))])
def test_an_axis_without_a_span_has_no_ticks(low: float, high: float) -> None:
    assert linear_ticks(low, high, 5) == ()


def test_log_ticks_are_round_numbers_of_the_data() -> None:
    assert [tick.label for tick in log_ticks(0.1, 10, 6)] == ["0.1", "0.3", "1", "3", "10"]
    assert [tick.label for tick in log_ticks(1e-6, 1, 5)] == ["1e-6", "1e-4", "0.01", "1"]


def test_log_ticks_need_a_positive_span() -> None:
    assert log_ticks(0, 1, 5) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.912, "0.912"), (2.9e-4, "2.9e-4"), (0.05, "0.05"), (1214, "1214"), (12_345, "12.3k"), (3.2e6, "3.2M"),
     (10_000, "10k"), (0, "0"), (-0.5, "-0.5"), (float("nan"), "nan"), (float("-inf"), "-inf")],
)  # fmt: skip
def test_one_value_in_few_characters(value: float, text: str) -> None:
    assert short(value) == text


def test_losses_keep_their_zeros_so_that_they_stand_under_each_other() -> None:
    assert [loss_text(value) for value in (1.301, 1.3, 0.92, 12.0, 5.0)] == ["1.30", "1.30", "0.920", "12.0", "5.00"]
    assert [loss_text(value) for value in (math.nan, 0.0, 1e-4, 2e6)] == ["nan", "0", "1e-4", "2M"]
