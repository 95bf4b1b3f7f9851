"""The window that asks about the data: all of it can be reached at any size, with keys and with the mouse."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.containers import VerticalScroll

from tests.functional.screens.made import LLAMA, MadeServices
from tests.functional.screens.seen import NARROW, WIDE, Seen, wizard
from tui.widgets.pick_list import PickList
from tui.widgets.top_bar import Step

SMALLEST = (60, 20)
LONG = "A long line of moss. " * 300


def opened(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"model_name": LLAMA, "data": {"train": [str(path)]}}


def pairs(question: str, *answers: str, winner: str | None = None) -> list[dict[str, Any]]:
    names = ("response_a", "response_b")
    verdict = {"winner": winner} if winner else {}
    return [{"prompt": question, **dict(zip(names, answers, strict=True)), **verdict, "n": i} for i in range(20)]


def unhidden(seen: Seen) -> None:
    """Nothing of the window's list or row lies outside of its border."""
    box = seen.app.screen.query_one(".popup").content_region
    for part in (seen.app.screen.query_one(PickList), seen.app.screen.query_one(VerticalScroll)):
        assert part.region.height >= 2 and box.contains_region(part.region), (part, part.region, box)


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALLEST])
async def test_of_a_long_row_what_is_trained_is_seen_first_and_its_end_can_be_reached(
    services: MadeServices, tmp_path: Path, size: tuple[int, int]
) -> None:
    rows = pairs(LONG, "Left. " + LONG + "LEFT", "Right. " + LONG + "RIGHT", winner="b")
    async with wizard(services, start=Step.DATA, state=opened(tmp_path, rows), size=size) as seen:
        await seen.sees("which is it?", "Right.", "tab, then")
        unhidden(seen)
        await seen.press("down")
        await seen.sees("Left.")
        await seen.press("tab", "end")
        await seen.sees("LEFT")
        unhidden(seen)


@pytest.mark.parametrize("size", [WIDE, NARROW, SMALLEST])
async def test_every_answer_and_the_row_under_it_stay_inside_the_window(
    services: MadeServices, tmp_path: Path, size: tuple[int, int]
) -> None:
    rows = pairs("Which?", "Left", "Right", winner="b")
    async with wizard(services, start=Step.DATA, state=opened(tmp_path, rows), size=size) as seen:
        await seen.sees("which is it?", "Right")
        unhidden(seen)
        picks = seen.app.screen.query_one(PickList)
        assert len(picks.picks) == 3
        await seen.press("end")
        assert picks.current is picks.picks[-1]
        await seen.until(lambda: any("▌" in line and "response_b" in line for line in seen.lines))


async def test_the_mouse_chooses_and_the_keys_are_named_where_they_are(services: MadeServices, tmp_path: Path) -> None:
    rows = pairs("Which?", "Left", "Right", winner="b")
    async with wizard(services, start=Step.DATA, state=opened(tmp_path, rows)) as seen:
        await seen.sees("which is it?", "Right")
        await seen.press("escape")
        await seen.sees("→ a answers it")
        await seen.press("a")
        await seen.sees("which is it?")
        picks = seen.app.screen.query_one(PickList)
        # A click moves to an answer, one on the answer under the cursor takes it.
        await seen.pilot.click(PickList, offset=(6, 4))
        assert picks.current is picks.picks[2]
        await seen.sees("Right")
        await seen.pilot.click(PickList, offset=(6, 4))
        await seen.until(lambda: seen.app.state.dataset is not None)
        assert seen.app.state.data["columns"]["chosen"] == "response_b"


@pytest.mark.parametrize("text", ["", "no row of JSON\n"])
async def test_below_an_error_it_is_not_said_that_there_is_no_data_yet(
    services: MadeServices, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(text, encoding="utf-8")
    state = {"model_name": LLAMA, "data": {"train": [str(path)]}}
    async with wizard(services, start=Step.DATA, state=state) as seen:
        await seen.sees("this did not work", "nothing was read", "o, then enter, reads it again")
        assert "no data yet" not in seen.text
        assert "✗ Data" in seen.lines[0]
        path.write_text('{"prompt": "Ask", "completion": "Say"}\n' * 12, encoding="utf-8")
        await seen.press("o", "enter")
        await seen.sees("sample 1 of 12")
        await seen.loses("this did not work")


async def test_columns_of_no_shape_are_answered_with_a_key_not_with_an_option(
    services: MadeServices, tmp_path: Path
) -> None:
    rows = [{f"column_{name}": {"held": name} for name in range(40)} for _ in range(12)]
    async with wizard(services, start=Step.DATA, state=opened(tmp_path, rows), size=NARROW) as seen:
        await seen.sees("the rows have no known shape", "→ f says which column is what")
        assert "--set" not in seen.text
