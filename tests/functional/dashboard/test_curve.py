"""A curve as a person sees it: its shape, its labels, and what it costs to repaint."""

import math
from itertools import pairwise

import pytest
from textual.app import ComposeResult
from textual.geometry import Region
from textual.strip import Strip

from tui.terminal.base_app import BaseApp
from tui.terminal.theme import variable_defaults
from tui.widgets.curves.cells import changed_rows
from tui.widgets.curves.curve import Curve
from tui.widgets.curves.drawing import Track, limits, rounded_up
from tui.widgets.curves.series import Series


class OneCurve(BaseApp[None]):
    CSS = "Curve { height: 1fr; }"

    def __init__(self, values: list[float], *, unicode: bool = True) -> None:
        super().__init__()
        self.series = Series()
        self.series.extend(enumerate(values, start=1))
        self.draws_unicode = unicode

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults()

    def compose(self) -> ComposeResult:
        yield Curve(self.tracks(), unicode=self.draws_unicode)

    def tracks(self) -> list[Track]:
        return [Track(self.series, "line", "curve--smooth")]

    @property
    def curve(self) -> Curve:
        return self.query_one(Curve)

    def picture(self) -> list[str]:
        strips: list[Strip] = self.screen._compositor.render_strips()
        return [strip.text.rstrip() for strip in strips]

    def colours(self) -> set[object]:
        """Of the dots that draw the line."""
        strips: list[Strip] = self.screen._compositor.render_strips()
        return {
            segment.style.color
            for strip in strips
            for segment in strip
            if segment.style and any("\u2801" <= cell <= "\u28ff" for cell in segment.text)
        }


async def test_a_falling_curve_goes_down_and_is_labelled() -> None:
    app = OneCurve([2.0 - step / 100 for step in range(100)])
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        picture = app.picture()
    text = "\n".join(picture)
    assert "2.0" in text
    assert "1.0" in text
    assert picture[-1].split() == ["0", "20", "40", "60", "80", "100"]
    columns = [[x for x, cell in enumerate(line) if "\u2801" <= cell <= "\u28ff"] for line in picture]
    drawn = [min(found) for found in columns if found]
    assert len(drawn) > 8
    assert drawn == sorted(drawn)


async def test_a_learning_rate_keeps_its_digits() -> None:
    app = OneCurve([2.9e-4 * (0.5 + 0.5 * math.cos(step / 100 * math.pi)) for step in range(100)])
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        text = "\n".join(app.picture())
    assert "2e-4" in text
    assert "1e-4" in text
    assert "0.000" not in text


async def test_without_unicode_every_cell_is_ascii() -> None:
    app = OneCurve([2.0 - step / 100 for step in range(100)], unicode=False)
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        text = "\n".join(app.picture())
    assert text.isascii()
    assert "*" in text


async def test_log_scale_labels_the_data_and_leaves_out_what_has_no_logarithm() -> None:
    app = OneCurve([10.0 ** (1 - step / 25) for step in range(100)] + [0.0, -1.0])
    async with app.run_test(size=(60, 24)) as pilot:
        await pilot.pause()
        app.curve.set_log(True)
        await pilot.pause()
        labels = {line.split()[0] for line in app.picture() if line.split()}
    assert {"10", "1", "0.1"} <= labels


async def test_zoom_pan_and_reset() -> None:
    app = OneCurve([float(step % 10) for step in range(1000)])
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        whole = app.picture()
        app.curve.action_zoom_in()
        app.curve.action_pan_right()
        await pilot.pause()
        assert app.curve.zoomed
        assert app.picture() != whole
        app.curve.reset()
        await pilot.pause()
        assert app.picture() == whole


async def test_a_new_theme_recolours_what_is_drawn() -> None:
    app = OneCurve([2.0 - step / 100 for step in range(100)])
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        drawn = {"dark": app.colours()}
        for theme in ("light", "dark"):
            app.theme = theme
            for _ in range(3):
                await pilot.pause()
            drawn[f"{theme} again"] = app.colours()
    assert len(drawn["dark"]) == 1
    assert drawn["dark again"] == drawn["dark"] != drawn["light again"]


async def test_a_short_run_fills_the_pane() -> None:
    app = OneCurve([2.0, 1.5, 1.2, 1.1, 1.0])
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        assert app.picture()[-1].split()[-1] == "5"


async def test_one_more_step_repaints_a_few_cells_only() -> None:
    app = OneCurve([2.0 - step / 1000 for step in range(965)])
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        plot = app.curve.query_one("#plot")
        seen: list[Region] = []
        refresh = plot.refresh

        def recorded(*regions: Region, **options: bool) -> object:
            seen.extend(regions)
            return refresh(*regions, **options)

        plot.refresh = recorded
        app.series.extend([(966.0, 1.034)])
        app.curve.redraw()
    assert sum(region.area for region in seen) < 40


async def test_values_that_are_all_equal_or_absent_draw_without_trouble() -> None:
    for values, drawn in (([], False), ([1.0, 1.0], True), ([0.5] * 20, True), ([math.nan] * 5, False)):
        app = OneCurve(values)
        async with app.run_test(size=(40, 8)) as pilot:
            await pilot.pause()
            for log in (False, True):
                app.curve.set_log(log)
                app.curve.redraw()
                await pilot.pause()
                dots = any("\u2801" <= cell <= "\u28ff" for line in app.picture() for cell in line)
                assert dots is drawn, (values, log)


async def test_a_pane_too_small_to_draw_in_stays_blank_and_recovers() -> None:
    app = OneCurve([2.0 - step / 100 for step in range(100)])
    async with app.run_test(size=(9, 2)) as pilot:
        await pilot.pause()
        await pilot.resize_terminal(60, 16)
        await pilot.pause()
        assert any("\u2801" <= cell <= "\u28ff" for line in app.picture() for cell in line)


def test_only_rows_that_differ_are_named() -> None:
    before = [["a", "b", "c"], ["d", "e", "f"]], [["", "", ""], ["", "", ""]]
    after = [["a", "b", "c"], ["d", "X", "f"]], [["", "", ""], ["", "", ""]]
    assert changed_rows(before, after) == [Region(1, 1, 1, 1)]
    assert changed_rows(before, before) == []
    assert changed_rows(([], []), after) == [Region(0, 0, 3, 2)]


def test_limits_hold_the_data_and_never_meet() -> None:
    for low, high in [(0.78, 2.05), (0.0, 0.0), (-3.0, -3.0), (1e-9, 3e-4), (5.0, 5.0 + 1e-12)]:
        bottom, top = limits(low, high)
        assert bottom <= low <= high <= top
        assert bottom < top
    assert limits(0.01, 2.0)[0] == 0.0


def test_the_right_end_moves_in_rough_steps() -> None:
    assert rounded_up(1418, 50) == 1450
    assert rounded_up(1449, 50) == 1450
    assert rounded_up(10, 50) == 10


class Evaluated(OneCurve):
    """A loss of each step, and evaluations that lie on every edge of what is drawn."""

    def __init__(self, steps: list[int], evals: list[float], *, unicode: bool = True) -> None:
        super().__init__([0.6] * max(1, steps[-1]), unicode=unicode)
        self.evals, self.best = Series(), Series()
        self.evals.extend(zip(steps, evals, strict=True))
        least = min(range(len(evals)), key=evals.__getitem__)
        self.best.extend([(steps[least], evals[least])])

    def tracks(self) -> list[Track]:
        dots = Track(self.evals, "dots", "curve--eval", "eval")
        return [*super().tracks(), dots, Track(self.best, "star", "curve--eval", "best")]

    def marks(self) -> dict[tuple[int, int], str]:
        """The marks on the canvas by column and row, the axes not counted."""
        rows = self.curve.query_one("#plot")._buffer
        return {(x - 1, y): cell for y, row in enumerate(rows) for x, cell in enumerate(row) if cell in "●★o@"}


SIZES = [(30, 6), (41, 9), (60, 16), (80, 24), (120, 40), (200, 60)]
RUNS = [
    ([0, 5, 10], [1.0, 0.5, 0.2]),
    ([0, 5, 10], [0.2, 0.5, 1.0]),
    ([0, 8, 16, 24, 32, 40, 48, 56], [4.8, 4.1, 3.9, 3.6, 3.5, 3.3, 3.2, 3.148]),
    ([100, 200, 300, 400], [0.3, 0.1, 0.2, 0.4]),
    ([0, 1000], [0.3, 0.3]),
    ([0, 7], [0.1 + 0.2, 0.6]),
    ([4], [0.7]),
]


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("steps", "evals"), RUNS)
async def test_every_evaluation_is_drawn_the_last_and_the_best_too(
    steps: list[int], evals: list[float], size: tuple[int, int], unicode: bool
) -> None:
    app = Evaluated(steps, evals, unicode=unicode)
    dot, star = ("●", "★") if unicode else ("o", "@")
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for log in (False, True):
            app.curve.set_log(log)
            await pilot.pause()
            marks, width = app.marks(), app.curve.query_one("#plot").size.width - 2
            assert len(marks) == len(evals), app.picture()
            # From left to right they are the evaluations in order, each where its step stands on the axis.
            columns = sorted(x for x, _ in marks)
            end = rounded_up(max(steps[-1], 2.0), 50)
            expected = [min(width - 1, int(step / end * width + 1e-9)) for step in steps]
            assert columns == expected
            if steps[-1] == end:
                assert columns[-1] == width - 1
            rows = [next(y for (at, y) in marks if at == x) for x in columns]
            drawn = sorted(zip(evals, rows, strict=True))
            assert all(lower[1] >= higher[1] for lower, higher in pairwise(drawn)), "a greater loss stands higher"
            assert [mark for _, mark in sorted(marks.items())].count(star) == 1
            least = min(range(len(evals)), key=evals.__getitem__)
            assert marks[columns[least], rows[least]] == star
            assert all(marks[x, y] == dot for i, (x, y) in enumerate(zip(columns, rows, strict=True)) if i != least)
        assert set("".join(app.picture())) & {star}


async def test_of_very_many_evaluations_the_last_is_drawn() -> None:
    steps = list(range(5000))
    app = Evaluated(steps, [1.0 + (step % 7) / 10 for step in steps[:-1]] + [1.35])
    async with app.run_test(size=(60, 16)) as pilot:
        await pilot.pause()
        marks, curve = app.marks(), app.curve
        column, row = curve.get_pixel_from_coordinate(4999.0, 1.35)
        assert marks[column - 1, row] == "●"
