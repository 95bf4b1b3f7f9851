"""Held-out files are asked about as training files are: by name, alone, with answers under which they are read."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.config.edit import apply, parse_assignment
from recommender.config.schema import Data, FinetuneConfig
from recommender.data.load import profile_data, profile_eval
from recommender.model.spec import ModelSpec

ROWS: dict[str, dict[str, Any]] = {
    "preference": {"prompt": "Q?", "chosen": "good", "rejected": "bad"},
    "columns": {"blurb": "What is it?", "zork": "It is good."},
    "one_message_a_row": {"thread": "t", "role": "user", "content": "Q?"},
    "speakers": {"dialog": [{"role": "Wanda", "content": "Q?"}, {"role": "Mona", "content": "good"}]},
}


MORE: dict[str, dict[str, Any]] = {
    "columns": {"blurb": "And why?", "zork": "It was made so."},
    "one_message_a_row": {"role": "assistant"},
}
"""What the second row has otherwise."""


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def train(tmp_path: Path) -> str:
    rows = [{"instruction": f"What is {n}?", "output": f"It is {n}."} for n in range(5)]
    return jsonl(tmp_path / "train.jsonl", rows)


def asked(data: Data, model: ModelSpec) -> Any:
    with pytest.raises(QuestionError) as caught:
        profile_data(data, model=model)
    return caught.value


@pytest.mark.parametrize("kind", ROWS)
def test_each_answer_reads_the_held_out_file_alone(kind: str, train: str, tmp_path: Path, chatml: ModelSpec) -> None:
    held = jsonl(tmp_path / "held.jsonl", [ROWS[kind], ROWS[kind] | (MORE.get(kind, {}))])
    other = jsonl(tmp_path / "other.jsonl", [{"instruction": "Who?", "output": "Wren."}])
    data = Data(train=[train], eval=[other, held])
    error = asked(data, chatml)
    question = error.question
    assert (question.code, error.source, error.key) == (kind, 1, "data.eval")
    assert question.text.startswith(f"Of the held-out data (data.eval): {held}") or held in question.text
    for choice in question.choices:
        assert set(choice.set) == {"data.eval"}
        # As a shell and --set take it.
        changes = dict(map(parse_assignment, shlex.split(choice.options)[1::2]))
        config = apply(FinetuneConfig(model="m", method="lora", quantization={"bits": None}, data=data), changes)
        found, evaluated = profile_data(config.data, model=chatml), profile_eval(config.data, model=chatml)
        assert found.profile.shape == "alpaca" and found.profile.rows == 5
        assert evaluated is not None and found.profile.held_out is not None
        assert found.profile.held_out.rows == evaluated.profile.rows >= 2
    best = Data(train=[train], eval=question.choices[0].set["data.eval"])
    evaluated = profile_eval(best, model=chatml)
    assert evaluated is not None
    trained = "".join(piece.text for piece in evaluated.sample(1, 512).pieces if piece.trained)
    assert "bad" not in trained and trained


def test_a_held_out_file_of_another_form_names_the_line_that_reads_it(
    train: str, tmp_path: Path, chatml: ModelSpec
) -> None:
    held = jsonl(tmp_path / "held.jsonl", [{"prompt": "Q?", "completion": " good"}])
    data = Data(train=[train], eval=[held], format="alpaca", columns={"instruction": "instruction", "output": "output"})
    with pytest.raises(InputError) as caught:
        profile_data(data, model=chatml)
    assert "data.eval" in caught.value.message and held in caught.value.message
    (_, line) = shlex.split(caught.value.remedy.partition(": ")[2])
    key, value = parse_assignment(line)
    assert key == "data.eval"
    found = profile_data(data.model_copy(update={"eval": Data(eval=value).eval}), model=chatml)
    assert found.profile.held_out is not None and found.profile.held_out.rows == 1
    nothing = jsonl(tmp_path / "nothing.jsonl", [{"image": "a.png"}])
    with pytest.raises(InputError, match=r"data\.eval"):
        profile_data(data.model_copy(update={"eval": [nothing]}), model=chatml)


def test_reasoning_that_only_held_out_rows_lose_is_asked_about(train: str, tmp_path: Path, chatml: ModelSpec) -> None:
    turns = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "1", "reasoning_content": "I add."}]
    held = jsonl(tmp_path / "held.jsonl", [{"messages": turns}, {"messages": [*turns[:1], {**turns[1], "x": 1}]}])
    data = Data(train=[train], eval=[held])
    question = asked(data, chatml).question
    assert question.code == "reasoning_lost"
    assert "held-out data (data.eval)" in question.text and f"2 of 2 rows (the first, {held} line 1)" in question.text
    assert [dict(choice.set) for choice in question.choices] == [
        {"data.reasoning": "keep"},
        {"data.reasoning": "drop"},
    ]
    for choice in question.choices:
        reasoning = choice.set["data.reasoning"]
        found = profile_eval(data.model_copy(update={"reasoning": reasoning}), model=chatml)
        assert found is not None
        said = "".join(piece.text for piece in found.sample(0, 512).pieces if piece.trained)
        assert ("I add." in said) == (reasoning == "keep")
        profile_data(data.model_copy(update={"reasoning": reasoning}), model=chatml)


def test_held_out_rows_have_no_weight() -> None:
    with pytest.raises(InputError, match="taken once"):
        apply(FinetuneConfig(model="m"), {"data.eval": [{"path": "a.jsonl", "weight": 2}]})
