"""Held-out rows of which the limit leaves no answer are told of before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.config.schema import Data, FinetuneConfig
from recommender.data.dataset import DataSet
from recommender.data.held_out_cut import held_out_stop, held_out_warnings
from recommender.data.load import profile_data
from recommender.model.spec import ModelSpec
from recommender.plan.checks.trainable import cut_sentence, question_of_cuts, require_rows
from recommender.warning import texts


def rows(path: Path, *questions: str) -> str:
    said = [{"question": question, "answer": f"It is {i}."} for i, question in enumerate(questions)]
    path.write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    return str(path)


def config(data: Data) -> FinetuneConfig:
    return FinetuneConfig(model="-", method="lora", data=data)


LONG = "foxes and owls " * 40


@pytest.fixture
def made(tmp_path: Path, chatml: ModelSpec) -> tuple[Data, DataSet]:
    train = rows(tmp_path / "train.jsonl", *(f"Ask {i}?" for i in range(30)))
    first = rows(tmp_path / "first.jsonl", *(f"{LONG}{i}" for i in range(8)))
    second = rows(tmp_path / "second.jsonl", "Short?", f"{LONG}x")
    data = Data(train=[train], eval=[first, second], max_length=64)
    return data, profile_data(data, model=chatml)


def test_it_is_told_how_many_of_which_file_keep_no_answer(made: tuple[Data, DataSet]) -> None:
    _, dataset = made
    said = texts(dataset.profile.warnings_at(64))
    assert any("8 of 8 held-out rows of first.jsonl keep no answer at max_length 64" in line for line in said)
    assert any("1 of 2 held-out rows of second.jsonl keeps no answer" in line for line in said)
    assert not dataset.profile.stops_at(64)
    assert not any("held-out" in line for line in texts(dataset.profile.warnings_at(2048)))


def test_where_all_are_cut_nothing_starts_and_the_file_is_named(tmp_path: Path, chatml: ModelSpec) -> None:
    train = rows(tmp_path / "train.jsonl", *(f"Ask {i}?" for i in range(30)))
    held = rows(tmp_path / "held.jsonl", *(f"{LONG}{i}" for i in range(8)))
    data = Data(train=[train], eval=[held], max_length=64)
    profile = profile_data(data, model=chatml).profile
    (stop,) = profile.stops_at(64)
    assert stop.code == "held_out_all_cut" and stop.text.startswith(
        "8 of 8 held-out rows of held.jsonl keep no answer at max_length 64"
    )
    with pytest.raises(InputError, match=r"held\.jsonl"):
        require_rows(profile, config(data), chatml)
    assert not profile.stops_at(2048)


def test_rows_that_the_split_holds_out_count_too(tmp_path: Path, chatml: ModelSpec) -> None:
    train = rows(tmp_path / "train.jsonl", *(f"{LONG if i % 2 else ''}Ask {i}?" for i in range(40)))
    data = Data(train=[train], eval_fraction=0.5, max_length=64)
    profile = profile_data(data, model=chatml).profile
    (said,) = held_out_warnings(profile, config(data))
    assert "of 20 rows that the split holds out keep no answer at max_length 64" in said.text
    one = Data(train=[rows(tmp_path / "two.jsonl", f"{LONG}Ask?", "Ask?")], eval_fraction=0.5, max_length=64)
    two = profile_data(one, model=chatml).profile
    seeds = [FinetuneConfig(model="-", method="lora", data=one, training={"seed": seed}) for seed in range(12)]
    stops = {held_out_stop(two, each) for each in seeds}
    assert None in stops
    assert any("The one row that the split holds out keeps no answer" in stop.text for stop in stops if stop)


def test_a_limit_that_cuts_a_fifth_of_the_rows_is_asked_about(tmp_path: Path, chatml: ModelSpec) -> None:
    train = rows(tmp_path / "train.jsonl", *(f"{'word ' * 30 if i % 4 == 0 else ''}Ask {i}?" for i in range(40)))
    data = Data(train=[train], max_length=64, eval_fraction=0)
    profile = profile_data(data, model=chatml).profile
    with pytest.raises(QuestionError) as caught:
        require_rows(profile, config(data), chatml)
    question = caught.value.question
    assert question.code == "rows_cut" and "cuts 10 of 40 rows" in question.text
    length = question.choices[0].set["data.max_length"]
    assert profile.rows_cut(length) == 0 and length % 64 == 0
    assert question.choices[-1].set == {"data.allow_cut_rows": True}
    require_rows(profile, config(data.model_copy(update={"max_length": length})), chatml)
    allowed = config(data.model_copy(update={"allow_cut_rows": True}))
    require_rows(profile, allowed, chatml)
    assert "cuts 10 of 40 rows" in cut_sentence(profile, allowed)


def test_few_rows_cut_are_told_and_none_is_not(tmp_path: Path, chatml: ModelSpec) -> None:
    train = rows(tmp_path / "train.jsonl", *(f"{'word ' * 30 if i == 0 else ''}Ask {i}?" for i in range(40)))
    data = Data(train=[train], max_length=64)
    profile = profile_data(data, model=chatml).profile
    assert question_of_cuts(profile, config(data), chatml) is None
    assert "cuts 1 of 40 rows" in cut_sentence(profile, config(data))
    assert cut_sentence(profile, config(data.model_copy(update={"max_length": 512}))) == ""


def test_estimated_lengths_have_the_template_and_a_margin(tmp_path: Path) -> None:
    from dataclasses import replace

    from recommender.plan.recommend import recommend
    from recommender.rules.length import recommended_length
    from tests.unit.plan.facts import LLAMA_8B, RTX_4090

    train = rows(tmp_path / "train.jsonl", *(f"Ask {i}?" for i in range(40)))
    data = Data(train=[train])
    model = replace(LLAMA_8B, path=None)
    profile = profile_data(data, model=model).profile
    bare = profile_data(data, model=None).profile
    assert (profile.tokenizer, profile.quantile(0.5) - bare.quantile(0.5)) == ("bytes", 24)
    wanted = recommended_length(profile, model, "balanced")
    assert wanted >= 1.3 * profile.longest
    reason = recommend(model, RTX_4090, profile, data_config=data).reasons["data.max_length"]
    assert (reason.value, reason.confidence) == (wanted, "low")
    assert "estimated" in reason.why and "no row is cut" not in reason.why
