"""Columns, the keys of turns and the words for who speaks, mapped by hand on the Data screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recommender.data.profile import cache
from tests.functional.screens.made import LLAMA, MadeServices
from tests.functional.screens.seen import NARROW, WIDE, Seen, wizard
from tests.functional.screens.test_data import opened, until_profiled
from tests.functional.screens.test_data_more import answers, jsonl
from tui.widgets.pick_list import PickList
from tui.widgets.top_bar import Step


@pytest.fixture(autouse=True)
def own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_folder", lambda: tmp_path / "kept")


def dialogues(count: int, *words: str) -> list[dict[str, Any]]:
    asks, says = words
    return [
        {"dialog": [{"who": asks, "line": f"Ask {i}"}, {"who": says, "line": f"Say {i}"}], "note": "x"}
        for i in range(count)
    ]


async def choose(seen: Seen, title: str, what: str) -> None:
    """Move to a line of the window with a title, and press enter."""
    await seen.sees(title)
    await seen.press("home")
    for _ in range(12):
        if any(what in line and "▌" in line for line in seen.lines):
            break
        await seen.press("down")
    assert any(what in line and "▌" in line for line in seen.lines), seen.text
    await seen.press("enter")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_the_keys_and_words_of_turns_are_mapped_by_hand(
    services: MadeServices, tmp_path: Path, size: tuple[int, int]
) -> None:
    path = jsonl(tmp_path / "a.jsonl", dialogues(30, "Customer", "Agent"))
    async with wizard(services, start=Step.DATA, state=opened(path), size=size) as seen:
        await seen.sees("which is it?", "'Agent' is the assistant")
        await seen.press("escape", "f")
        await choose(seen, "shape of a row", "sharegpt")
        await choose(seen, "sharegpt: enter changes a line", "read the rows so")
        await seen.sees("turns of 'dialog'", "who speaks", "'Customer' is", "as it is")
        await choose(seen, "turns of 'dialog'", "'Customer' is")
        await choose(seen, "who is 'Customer'?", "user")
        await choose(seen, "turns of 'dialog'", "'Agent' is")
        await choose(seen, "who is 'Agent'?", "assistant")
        await choose(seen, "turns of 'dialog'", "read the turns so")
        await until_profiled(seen)
        assert seen.app.state.data["columns"] == {
            "conversations": "dialog",
            "role": "who",
            "content": "line",
            "user": "Customer",
            "assistant": "Agent",
        }
        await seen.sees("30 rows", "Ask 0")
        await seen.press("f", "enter")
        await choose(seen, "sharegpt: enter changes a line", "read the rows so")
        await seen.sees("turns of 'dialog'", "'Agent' is", "assistant")
        assert "as it is" not in seen.text


async def test_known_words_need_no_entry_and_can_be_turned_round(services: MadeServices, tmp_path: Path) -> None:
    rows = [
        {"conversations": [{"from": "human", "value": f"Ask {i}"}, {"from": "gpt", "value": f"Say {i}"}]}
        for i in range(30)
    ]
    async with wizard(services, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", rows))) as seen:
        await until_profiled(seen)
        await seen.press("f", "enter")
        await choose(seen, "sharegpt: enter changes a line", "read the rows so")
        await choose(seen, "turns of 'conversations'", "read the turns so")
        await until_profiled(seen)
        assert seen.app.state.data["columns"] == {"conversations": "conversations"}
        await seen.press("f", "enter")
        await choose(seen, "sharegpt: enter changes a line", "read the rows so")
        await choose(seen, "turns of 'conversations'", "'gpt' is")
        await choose(seen, "who is 'gpt'?", "user")
        await choose(seen, "turns of 'conversations'", "'human' is")
        await choose(seen, "who is 'human'?", "assistant")
        await choose(seen, "turns of 'conversations'", "read the turns so")
        await until_profiled(seen)
        columns = seen.app.state.data["columns"]
        assert (columns["user"], columns["assistant"]) == ("gpt", "human")


async def test_of_several_data_sets_only_the_one_that_is_meant_is_read_otherwise(
    services: MadeServices, tmp_path: Path
) -> None:
    good = jsonl(tmp_path / "good.jsonl", answers(30))
    odd = jsonl(tmp_path / "odd.jsonl", [{"asked": f"Ask {i}", "said": f"Say {i}"} for i in range(20)])
    async with wizard(services, start=Step.DATA, state={"model_name": LLAMA, "data": {"train": [good, odd]}}) as seen:
        await seen.sees("which is it?", "no known shape")
        await seen.press("escape", "f")
        await choose(seen, "odd.jsonl: shape of a row", "alpaca")
        # Guessed by their names; the question's first cell stands beside it.
        await seen.sees("alpaca: enter changes a line", "Ask 0", "Say 0")
        await choose(seen, "alpaca: enter changes a line", "read the rows so")
        await until_profiled(seen)
        columns = {"instruction": "asked", "output": "said"}
        assert seen.app.state.data["train"] == [good, {"path": odd, "format": "alpaca", "columns": columns}]
        await seen.press("f")
        await choose(seen, "which data set?", "odd.jsonl")
        await choose(seen, "odd.jsonl: shape of a row", "auto")
        await seen.sees("no known shape")
        assert seen.app.state.data["train"] == [good, odd]


async def test_columns_that_were_confirmed_can_be_corrected_afterwards(services: MadeServices, tmp_path: Path) -> None:
    rows = [{"question": f"Ask {i}", "response": f"Say {i}"} for i in range(40)]
    async with wizard(services, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", rows))) as seen:
        await until_profiled(seen)
        await seen.press("C")
        await seen.loses("C confirms")
        await seen.press("f")
        await choose(seen, "shape of a row", "alpaca")
        await choose(seen, "alpaca: enter changes a line", "instruction")
        # A column that has a role already is not offered for another.
        await seen.sees("which column is 'instruction'")
        offered = [pick.key for pick in seen.app.screen.query_one(PickList).picks]
        assert offered == ["none:", "column:question"]
        await choose(seen, "which column is 'instruction'", "no column")
        await choose(seen, "alpaca: enter changes a line", "output")
        await choose(seen, "which column is 'output'", "question")
        await choose(seen, "alpaca: enter changes a line", "read the rows so")
        await choose(seen, "which column is 'instruction'", "response")
        await choose(seen, "alpaca: enter changes a line", "read the rows so")
        await until_profiled(seen)
        dataset = seen.app.state.dataset
        assert dataset is not None and dataset.answer_text(0) == "Ask 0"


def test_the_mapping_is_what_the_configuration_takes(tmp_path: Path) -> None:
    from recommender.config.schema import Data
    from recommender.data.load import profile_data

    path = jsonl(tmp_path / "a.jsonl", dialogues(30, "Customer", "Agent"))
    columns = {"role": "who", "content": "line", "user": "Customer", "assistant": "Agent"}
    data = Data.model_validate(json.loads(json.dumps({"train": [path], "columns": columns})))
    assert profile_data(data, model=None).profile.rows == 30


async def test_columns_of_another_language_are_asked_about_and_empty_rows_passed_over(
    services: MadeServices, tmp_path: Path
) -> None:
    path = tmp_path / "messy.csv"
    rows = [f"Was ist Ding {i}?;Ein Ding mit {i} Ecken.;x" for i in range(30)]
    path.write_text("\n".join(["Frage;Antwort;Notiz", *rows, ";;", ";;"]), encoding="utf-8")
    async with wizard(services, start=Step.DATA, state=opened(str(path))) as seen:
        await seen.sees("which is it?", "'Frage' asks, 'Antwort' is trained", "Ein Ding mit 0 Ecken.")
        await seen.press("enter")
        await until_profiled(seen)
        await seen.sees("30 rows", "not read: Notiz", "2 empty rows")
        assert seen.app.state.data["columns"] == {"instruction": "Frage", "output": "Antwort"}
