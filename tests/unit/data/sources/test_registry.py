"""LLaMA-Factory's dataset_info.json, preference pairs and KTO rows: used only as the person says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.config.schema import Data
from recommender.data.load import profile_data
from recommender.model.spec import ModelSpec
from tests.unit.data.conftest import Profile

TURNS = [{"who": "HUMAN", "says": "What is 2+2?"}, {"who": "BOT", "says": "It is four."}]
INDEX: dict[str, Any] = {
    "chats": {
        "file_name": "odd.json",
        "formatting": "sharegpt",
        "columns": {"messages": "talk"},
        "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "HUMAN", "assistant_tag": "BOT"},
    },
    "pairs": {"file_name": "pairs.json", "columns": {"prompt": "q", "response": "a", "query": "hint"}},
    "plain": {"file_name": "plain.json", "columns": {"prompt": "body_of_it"}},
    "ranked": {"file_name": "ranked.json", "ranking": True},
    "far": {"hf_hub_url": "somebody/something"},
}
FILES: dict[str, Any] = {
    "odd.json": [{"talk": TURNS}],
    "pairs.json": [{"q": "Which one?", "hint": "the blue", "a": "Blue."}],
    "plain.json": [{"body_of_it": "Only text.", "other": 1}],
    "ranked.json": [{"instruction": "Q?", "chosen": "yes", "rejected": "no"}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in {**FILES, "dataset_info.json": INDEX}.items():
        (tmp_path / name).write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "shape", "question", "answer"),
    [
        ("chats", "sharegpt", "What is 2+2?", "It is four."),
        ("pairs", "alpaca", "Which one?\nthe blue", "Blue."),
    ],
)
def test_an_entry_says_how_its_file_is_read(
    folder: Path, chatml: ModelSpec, name: str, shape: str, question: str, answer: str
) -> None:
    dataset = profile_data(Data(train=[name]), model=chatml, base=folder)
    assert dataset.profile.shape == shape
    assert "dataset_info.json" in dataset.profile.shape_reason
    assert (dataset.question_text(0), dataset.answer_text(0)) == (question, answer)


def test_an_entry_of_text_is_trained_whole(folder: Path, chatml: ModelSpec) -> None:
    found = profile_data(Data(train=[str(folder / "plain")]), model=chatml).profile
    assert (found.shape, found.trained_tokens) == ("text", found.total_tokens)


@pytest.mark.parametrize(
    ("name", "says", "remedy"),
    [
        ("pears", "names no data set 'pears'", "pairs"),
        ("far", "not a file on this disk", "hf download"),
        ("dataset_info.json", "index of data sets", "chats"),
    ],
)
def test_what_an_index_cannot_give_is_explained(
    folder: Path, chatml: ModelSpec, name: str, says: str, remedy: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        profile_data(Data(train=[str(folder / name)]), model=chatml)
    assert remedy in (caught.value.remedy or "")


@pytest.mark.parametrize("name", ["ranked.json", "ranked"])
def test_what_is_asked_of_pairs_can_be_answered_at_once(folder: Path, chatml: ModelSpec, name: str) -> None:
    with pytest.raises(QuestionError, match="preference pairs") as caught:
        profile_data(Data(train=[str(folder / name)]), model=chatml)
    (choice,) = caught.value.question.choices
    told = {key.removeprefix("data."): value for key, value in choice.set.items()}
    taken = profile_data(Data(train=[str(folder / name)], **told), model=chatml)
    assert (taken.profile.rows, taken.answer_text(0)) == (1, "yes")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q?", "chosen": "good", "rejected": "bad"},
        {"prompt": "Q?", "chosen": [{"role": "assistant", "content": "good"}], "rejected": []},
        {
            "conversations": [{"from": "human", "value": "Q?"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {},
        },
        {
            "chosen": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "good"}],
            "rejected": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "bad"}],
        },
    ],
)
def test_the_chosen_side_is_trained_when_the_person_says_so(profile: Profile, row: dict[str, Any]) -> None:
    dataset = profile([row], format="preference")
    sample = dataset.sample(0, 1000)
    assert "".join(piece.text for piece in sample.pieces if piece.trained) == "good<|im_end|>"
    assert "Q?" in sample.text
    assert "bad" not in sample.text


def test_only_rows_marked_good_are_used(profile: Profile) -> None:
    rows = [{"prompt": f"Q{i}", "completion": f"A{i}", "label": i % 2 == 0} for i in range(6)]
    found = profile(rows, format="kto").profile
    assert (found.rows, found.bad_row_count) == (3, 3)
    assert "not marked as a good example" in found.bad_rows[0].reason
    assert found.stops
    assert not profile(rows, format="kto", skip_bad_rows=True).profile.stops


@pytest.mark.parametrize("marks", [(1, 0), ("True", "False"), ("1", "0")])
def test_marks_of_a_table_are_marks(profile: Profile, marks: tuple[Any, Any]) -> None:
    rows = [{"prompt": f"Q{i}", "completion": f"A{i}", "label": marks[i % 2]} for i in range(6)]
    with pytest.raises(InputError, match="marked good or bad"):
        profile(rows)
    assert profile(rows, format="kto", skip_bad_rows=True).profile.rows == 3


def test_a_label_of_several_classes_is_no_mark(profile: Profile) -> None:
    rows = [{"prompt": f"Q{i}", "completion": f"A{i}", "label": i} for i in range(6)]
    assert profile(rows).profile.rows == 6


@pytest.mark.parametrize("given", ["", "odd.json"])
def test_a_file_that_an_index_tells_of_points_to_its_entry(folder: Path, given: str) -> None:
    with pytest.raises(QuestionError, match="What do they hold") as caught:
        profile_data(Data(train=[str(folder / given)]), model=None)
    assert caught.value.question.choices[0].set == {"data.train": [str(folder / "chats")]}
    (folder / "dataset_info.json").write_text("{", encoding="utf-8")
    with pytest.raises(QuestionError, match="What do they hold") as caught:
        profile_data(Data(train=[str(folder / given)]), model=None)
    columns = {"conversations": "talk", "role": "who", "content": "says"}
    assert caught.value.question.choices[0].set["data.columns"] == columns
