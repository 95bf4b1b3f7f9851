"""A curve of any length becomes as many points as there are columns, without losing a spike."""

import math
from array import array

import pytest

from tui.widgets.curves.series import Series, Smoothed, slope_per_100, span_for


def series(points: list[tuple[float, float | None]]) -> Series:
    made = Series()
    made.extend(points)
    return made


def test_few_points_are_read_back_as_they_are() -> None:
    window = series([(1, 2.0), (2, 1.5), (3, 1.0)]).window(0, 10, 40)
    assert list(window.x) == [1, 2, 3]
    assert list(window.y) == [2.0, 1.5, 1.0]


def test_a_spike_of_one_step_among_many_is_still_there() -> None:
    many = series([(step, 9.0 if step == 123_457 else 1.0 + step % 7 / 100) for step in range(200_000)])
    window = many.window(0, 200_000, 100)
    assert len(window.x) <= 200
    assert max(window.y) == 9.0
    assert min(window.y) == 1.0


def test_zooming_in_comes_back_to_the_raw_points() -> None:
    many = series([(step, math.sin(step)) for step in range(50_000)])
    window = many.window(1000, 1050, 100)
    assert window.x == tuple(float(step) for step in range(1000, 1051))
    assert window.y == tuple(math.sin(step) for step in range(1000, 1051))


def test_values_that_are_not_numbers_are_counted_and_not_drawn() -> None:
    made = series([(1, 1.0), (2, math.nan), (3, None), (4, math.inf), (5, 2.0)])
    assert made.window(0, 10, 10).x == (1, 5)
    assert made.skipped == 2


def test_a_step_that_comes_again_after_a_resume_replaces_what_followed_it() -> None:
    made = series([(step, 1.0) for step in range(1, 11)])
    made.extend([(6, 0.5), (7, 0.4)])
    window = made.window(0, 20, 40)
    assert list(window.x) == [1, 2, 3, 4, 5, 6, 7]
    assert list(window.y[-2:]) == [0.5, 0.4]


def test_an_empty_window_is_empty() -> None:
    assert Series().window(0, 10, 10).x == ()
    assert series([(1, 1.0)]).window(5, 9, 10).x == ()


def test_columns_are_taken_in_as_points_are() -> None:
    made = series([(step, 1.0) for step in range(1, 11)])
    made.extend_columns(array("d", [6, 7, 8]), array("d", [0.5, math.nan, 0.4]))
    assert list(made.x) == [1, 2, 3, 4, 5, 6, 8]
    assert list(made.y[-2:]) == [0.5, 0.4]


def test_the_nearest_point_is_found() -> None:
    made = series([(10, 1.0), (20, 2.0), (30, 3.0)])
    assert [made.nearest(x) for x in (0, 14, 16, 99)] == [(10, 1.0), (10, 1.0), (20, 2.0), (30, 3.0)]
    assert Series().nearest(3) is None


def test_smoothing_begins_at_the_first_value_and_not_at_zero() -> None:
    smooth = Smoothed(span=50)
    smooth.extend_columns(array("d", range(1, 30)), array("d", [2.0] * 29))
    assert smooth.series.y[0] == pytest.approx(2.0)
    assert smooth.series.y[-1] == pytest.approx(2.0)


def test_smoothing_follows_with_a_lag() -> None:
    smooth = Smoothed(span=9)
    smooth.extend_columns(array("d", [1, 2]), array("d", [1.0, 0.0]))
    keep = 0.8
    assert smooth.series.y[1] == pytest.approx(keep / (1 + keep))


def test_another_span_smooths_all_points_again() -> None:
    xs, ys = array("d", range(100)), array("d", (step % 2 for step in range(100)))
    coarse, fine = Smoothed(span=50), Smoothed(span=5)
    coarse.extend_columns(xs, ys)
    fine.extend_columns(xs, ys)
    fine.respan(50, xs, ys)
    assert list(fine.series.y) == list(coarse.series.y)


def test_the_slope_is_given_for_a_hundred_steps() -> None:
    assert slope_per_100(series([(step, 2 - step * 0.001) for step in range(300)])) == pytest.approx(-0.1)
    assert slope_per_100(series([(1, 1.0), (2, 0.9)])) is None


@pytest.mark.parametrize(("steps", "span"), [(None, 20), (10, 5), (800, 20), (100_000, 200)])
def test_the_span_grows_with_the_run(steps: int | None, span: float) -> None:
    assert span_for(steps) == span
