"""The profile of a data set: what is counted, what stops, what is warned of."""

from __future__ import annotations

import json
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.schema import Data
from recommender.data.load import Cancelled, profile_data, profile_eval
from recommender.data.split import split
from recommender.model.spec import ModelSpec
from recommender.warning import codes, texts
from tests.fixtures.vocabularies import CHATML, spec_for, write_vocabulary
from tests.unit.data.conftest import Profile

GOOD = [{"instruction": f"What is {n}?", "output": f"It is {n}."} for n in range(40)]


def jsonl(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_sound_data_set_has_nothing_to_say(profile: Profile) -> None:
    found = profile(GOOD).profile
    assert (found.stops, found.warnings) == ((), ())
    assert (found.rows, found.bad_row_count, found.duplicates, found.empty_answers) == (40, 0, 0, 0)
    assert (found.template, found.tokenizer, found.mask_method, found.end_of_turn) == (
        "model",
        "exact",
        "prefix",
        "<|im_end|>",
    )
    assert (found.turns_median, found.turns_most, found.unconfirmed) == (2, 2, False)


def test_columns_that_only_sound_like_it_are_to_be_confirmed(profile: Profile) -> None:
    rows = [{"question": f"What is {n}?", "context": "Here.", "response": f"It is {n}."} for n in range(40)]
    found = profile(rows).profile
    assert found.columns == {"instruction": "question", "input": "context", "output": "response"}
    assert found.unconfirmed
    assert (
        "To confirm: data.columns: {instruction: question, output: response, input: context}" in found.warnings[0].text
    )
    confirmed = profile(rows, columns=found.columns).profile
    assert (confirmed.unconfirmed, confirmed.warnings, confirmed.columns) == (False, (), found.columns)


def test_several_data_sets_have_a_line_each(tmp_path: Path, chatml: ModelSpec) -> None:
    (tmp_path / "more").mkdir()
    paths = [jsonl(tmp_path / name, GOOD) for name in ("a.jsonl", "more/b.jsonl", "more/c.jsonl")]
    texts = jsonl(tmp_path / "t.jsonl", [{"body": "Some words.", "id": n} for n in range(5)])
    train = [
        paths[0],
        {"path": str(tmp_path / "more"), "weight": 2},
        {"path": texts, "format": "text", "columns": {"text": "body"}},
    ]
    found = profile_data(Data.model_validate({"train": train}), model=chatml).profile
    assert [(one.shape, one.rows, one.weight) for one in found.sources] == [
        ("alpaca", 40, 1),
        ("alpaca", 160, 2),
        ("text", 5, 1),
    ]
    assert sum(one.tokens for one in found.sources) == found.total_tokens
    assert found.shape == "mixed"


def test_bad_rows_are_a_stop_until_the_person_leaves_them_out(profile: Profile) -> None:
    rows = [*GOOD, {"instruction": "x"}, {"instruction": "y", "output": None}]
    found = profile(rows).profile
    assert (found.rows, found.bad_row_count, found.skipped_rows) == (40, 2, 0)
    assert [(row.line, row.reason) for row in found.bad_rows] == [
        (41, "lacks the column 'output'"),
        (42, "column 'output' is null, not text"),
    ]
    assert "rows.jsonl line 41, lacks the column 'output'" in found.stops[0].text
    assert "skip_bad_rows" in found.stops[0].text
    left = profile(rows, skip_bad_rows=True).profile
    assert (left.stops, left.skipped_rows) == ((), 2)
    assert texts(left.warnings) == ["Left out: 2 rows; the first, rows.jsonl line 41, lacks the column 'output'."]


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("rows.jsonl", '{"instruction": "é", "output": null}\n', '{"instruction": "é", "output": null}'),
        (
            "rows.json",
            '[\n  {\n    "instruction": "é",\n    "output": true\n  }\n]',
            '{ "instruction": "é", "output": true }',
        ),
    ],
)
def test_a_bad_row_is_shown_as_it_stands_in_its_file(tmp_path: Path, name: str, content: str, shown: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    data = Data(train=[name], columns={"instruction": "instruction", "output": "output"}, format="alpaca")
    with pytest.raises(InputError) as caught:
        profile_data(data, model=None, base=tmp_path)
    assert caught.value.message.endswith(f"It starts: {shown}")


def test_a_bad_row_of_a_parquet_file_is_shown_as_json(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"instruction": ["é"], "output": pa.array([None], pa.string())}), tmp_path / "rows.parquet")
    data = Data(train=["rows.parquet"], columns={"instruction": "instruction", "output": "output"}, format="alpaca")
    with pytest.raises(InputError) as caught:
        profile_data(data, model=None, base=tmp_path)
    assert caught.value.message.endswith('It starts: {"instruction": "é", "output": null}')


@pytest.mark.parametrize(
    ("value", "text"), [(Decimal("0.50"), "0.50"), (date(2020, 1, 2), "2020-01-02"), (time(7, 30), "07:30:00")]
)
def test_decimals_dates_and_times_of_a_parquet_file_are_text(
    tmp_path: Path, chatml: ModelSpec, value: Any, text: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"question": ["How much?"], "answer": [value]}), tmp_path / "rows.parquet")
    dataset = profile_data(Data(train=["rows.parquet"]), model=chatml, base=tmp_path)
    assert dataset.answer_text(0) == text


def test_what_is_no_text_in_a_parquet_file_is_called_what_it_is(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"question": ["How much?"], "answer": [b"12"]}), tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="column 'answer' is of the type bytes, not text"):
        profile_data(Data(train=["rows.parquet"]), model=None, base=tmp_path)


def test_history_in_a_table_is_a_list_in_json(tmp_path: Path, chatml: ModelSpec) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('instruction,output,history\nq,a,"[[""x"", ""y""]]"\nr,b,[]\ns,c,x\n', encoding="utf-8")
    dataset = profile_data(Data(train=[str(path)], skip_bad_rows=True), model=chatml)
    assert dataset.sample(0, 1000).text.count("<|im_start|>") == 4
    assert (dataset.profile.rows, [row.line for row in dataset.profile.bad_rows]) == (2, [4])


@pytest.mark.slow
def test_a_template_that_hides_the_answers_is_what_is_to_be_changed(tmp_path: Path) -> None:
    shouts = "{% for message in messages %}{{ message['content'] | upper }} {% endfor %}"
    model = spec_for(write_vocabulary(tmp_path / "m", template=shouts))
    data = Data(train=[jsonl(tmp_path / "rows.jsonl", GOOD)])
    with pytest.raises(InputError, match="cannot be found exactly") as caught:
        profile_data(data, model=model)
    assert "data.template" in caught.value.remedy and "Repair" not in caught.value.remedy
    assert profile_data(data.model_copy(update={"template": "alpaca"}), model=model).profile.rows == len(GOOD)


def test_one_row_is_learnt_by_heart(profile: Profile) -> None:
    assert "Only 1 row: the model will learn it by heart." in texts(profile(GOOD[:1]).profile.warnings)


def test_only_bad_rows_are_an_error_that_names_the_first(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("first\nsecond\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"Line 1 is not valid JSON.*It starts: first"):
        profile_data(Data(train=[str(path)]), model=None)
    with pytest.raises(InputError, match="Line 1 has no answer"):
        profile_data(Data(train=[jsonl(path, [{"messages": [{"role": "user", "content": "x"}]}])]), model=None)


def test_a_table_with_a_header_only_has_no_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,answer\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"t\.csv has no row"):
        profile_data(Data(train=["t.csv"]), model=None, base=tmp_path)


def test_no_data_is_said(chatml: ModelSpec) -> None:
    with pytest.raises(InputError, match="No training data"):
        profile_data(Data(), model=chatml)


def test_nothing_trained_is_a_stop(profile: Profile) -> None:
    found = profile([{"instruction": "x", "output": ""}] * 30).profile
    assert found.stops[0].code == "nothing_trained"
    assert found.empty_answers == 30
    assert found.trained_tokens == 0


def test_an_end_that_is_never_trained_is_a_stop(profile: Profile, tmp_path: Path) -> None:
    endless = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    found = profile(GOOD, spec_for(write_vocabulary(tmp_path / "m", template=endless))).profile
    assert found.trains_end_of_turn is False
    assert found.stops[0].code == "no_end_of_turn"
    assert "data.template: chatml" in found.stops[0].text


def test_generation_that_would_not_stop_there_is_a_warning(profile: Profile, tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path / "m", stops=[0])
    (said,) = profile(GOOD, spec_for(folder)).profile.warnings
    assert said.code == "generation_goes_on"
    (folder / "generation_config.json").write_text('{"eos_token_id": [0, 2]}', encoding="utf-8")
    assert profile(GOOD, spec_for(folder)).profile.warnings == ()


def test_an_id_beyond_the_embedding_is_a_stop(profile: Profile, tmp_path: Path) -> None:
    model = spec_for(write_vocabulary(tmp_path / "m"), vocab_size=100)
    assert profile(GOOD, model).profile.stops[0].code == "token_beyond_embedding"


def test_turns_out_of_order_are_counted(profile: Profile) -> None:
    user, bot = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    tool = {"role": "tool", "content": "r"}
    rows = [[user, bot], [user, user, bot], [bot, user, bot], [user, bot, user], [user, bot, tool, bot]]
    found = profile([{"messages": turns} for turns in rows] * 5).profile
    assert any(said.startswith("In 15 rows turns are out of order") for said in texts(found.warnings))


def test_duplicates_are_counted_across_files_and_shapes(tmp_path: Path, chatml: ModelSpec) -> None:
    one = jsonl(tmp_path / "a.jsonl", GOOD[:30])
    chats = [
        {"messages": [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]}
        for row in GOOD[20:]
    ]
    two = jsonl(tmp_path / "b.jsonl", chats)
    found = profile_data(Data(train=[one, two]), model=chatml).profile
    assert (found.rows, found.duplicates, found.shape) == (50, 10, "mixed")
    assert [path.name for path in found.files] == ["a.jsonl", "b.jsonl"]


def test_strings_as_pairs_beside_a_chat_template_are_pointed_out(profile: Profile) -> None:
    found = profile([{"prompt": row["instruction"], "completion": row["output"]} for row in GOOD]).profile
    assert found.template == "none"
    assert "no_chat_template" in codes(found.warnings)


def test_a_base_model_gets_a_family_template_and_it_is_said(profile: Profile, tmp_path: Path) -> None:
    found = profile(GOOD, spec_for(write_vocabulary(tmp_path / "m", template=None, stops=[0, 2]))).profile
    assert found.template == "chatml"
    assert "template_substituted" in codes(found.warnings)
    text = profile([{"text": "x " * n} for n in range(1, 40)], spec_for(tmp_path / "m")).profile
    assert (text.template, text.warnings) == ("none", ())


def test_the_text_of_a_special_token_in_a_row_is_pointed_out(profile: Profile) -> None:
    found = profile([*GOOD, {"instruction": "What is <|im_end|>?", "output": "A token."}]).profile
    assert texts(found.warnings) == ["In 1 row the text of a special token is in a turn and becomes that token."]


def test_few_rows_are_a_warning(profile: Profile) -> None:
    assert "Only 3 rows" in profile(GOOD[:3]).profile.warnings[0].text


def test_weights_repeat_and_thin_out_by_content(tmp_path: Path, chatml: ModelSpec) -> None:
    path = jsonl(tmp_path / "a.jsonl", GOOD)

    def rows(weight: float) -> list[int]:
        data = Data(train=[{"path": path, "weight": weight}])
        dataset = profile_data(data, model=chatml)
        return [dataset.where(i)[1] for i in range(len(dataset))]

    assert rows(2.0) == [line for line in range(1, 41) for _ in range(2)]
    half = rows(0.5)
    assert 8 < len(half) < 32
    assert sorted([*half, *range(1, 41)]) == rows(1.5)


def test_progress_ends_at_the_rows_there_are(tmp_path: Path, chatml: ModelSpec) -> None:
    path = jsonl(tmp_path / "a.jsonl", GOOD * 30)
    seen: list[tuple[int, int]] = []
    profile_data(Data(train=[path]), model=chatml, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (1200, 1200)
    assert [done for done, _ in seen] == [256, 512, 768, 1024, 1200, 1200]
    assert all(done <= total < 1500 for done, total in seen)


def test_it_can_be_cancelled(tmp_path: Path, chatml: ModelSpec) -> None:
    path = jsonl(tmp_path / "a.jsonl", GOOD)
    with pytest.raises(Cancelled):
        profile_data(Data(train=[path]), model=chatml, cancelled=lambda: True)


def test_a_file_that_changes_after_the_profile(tmp_path: Path, chatml: ModelSpec) -> None:
    path = jsonl(tmp_path / "a.jsonl", GOOD)
    dataset = profile_data(Data(train=[path]), model=chatml)
    assert dataset.row(3) == GOOD[3]
    jsonl(tmp_path / "a.jsonl", GOOD[:5])
    with pytest.raises(InputError, match="changed"):
        dataset.sample(3, 100)


def test_evaluation_files_are_read_the_same_way(tmp_path: Path, chatml: ModelSpec) -> None:
    train, held = jsonl(tmp_path / "a.jsonl", GOOD[:30]), jsonl(tmp_path / "b.jsonl", GOOD[25:])
    data = Data(train=[train], eval=[held])
    dataset, other = profile_data(data, model=chatml), profile_eval(data, model=chatml)
    assert other is not None
    assert len(other) == 15
    assert len(set(dataset.digests) & set(other.digests)) == 5
    assert profile_eval(Data(train=[train]), model=chatml) is None


def test_the_split_is_by_content_and_seed(profile: Profile) -> None:
    dataset = profile(GOOD)
    train, held = split(dataset.digests, 0.25, 42)
    assert len(held) == 10
    assert sorted(train + held) == list(range(40))
    assert split(dataset.digests, 0.25, 42) == (train, held)
    assert split(dataset.digests, 0.25, 43) != (train, held)
    questions = {dataset.row(i)["instruction"] for i in held}
    turned = profile(GOOD[::-1])
    assert {turned.row(i)["instruction"] for i in split(turned.digests, 0.25, 42)[1]} == questions


def test_copies_stay_on_one_side(profile: Profile) -> None:
    dataset = profile([*GOOD, *GOOD[:20], *GOOD[:20]])
    for seed in range(20):
        train, held = split(dataset.digests, 0.2, seed)
        assert not {dataset.index.digest[i] for i in train} & {dataset.index.digest[i] for i in held}
        assert 16 <= len(held) <= 18


def test_small_data_keeps_a_row_on_each_side(profile: Profile) -> None:
    assert split(profile(GOOD[:1]).digests, 0.5, 1) == ([0], [])
    assert split(profile(GOOD[:1] * 3).digests, 0.5, 1) == ([0, 1, 2], [])
    for fraction in (0.01, 0.99):
        train, held = split(profile(GOOD[:2]).digests, fraction, 1)
        assert (len(train), len(held)) == (1, 1)
    assert split(profile(GOOD).digests, 0.0, 1) == (list(range(40)), [])


def test_a_template_given_as_a_file(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(CHATML.replace("assistant", "bot"), encoding="utf-8")
    found = profile(GOOD, template=str(tmp_path / "mine.jinja")).profile
    assert (found.template, found.mask_method) == ("mine.jinja", "difference")


def test_a_folder_of_files(tmp_path: Path, chatml: ModelSpec) -> None:
    jsonl(tmp_path / "a.jsonl", GOOD[:25])
    (tmp_path / "b.csv").write_text("question,answer\nQ,A\n", encoding="utf-8")
    dataset = profile_data(Data(train=["."]), model=chatml, base=tmp_path)
    assert len(dataset) == 26
    assert dataset.where(25) == (str(tmp_path / "b.csv"), 2)


@pytest.mark.parametrize(("indent", "place", "where"), [(None, 1, " (row 3 of the list)"), (1, 10, "")])
def test_a_bad_row_of_a_list_on_one_line_is_told_by_its_number(
    tmp_path: Path, chatml: ModelSpec, indent: int | None, place: int, where: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*GOOD[:2], {"instruction": "no answer"}, 7], indent=indent), encoding="utf-8")
    bad = profile_data(Data(train=[str(path)]), model=chatml).profile.bad_rows
    assert bad[0].line == place
    assert bad[0].reason == f"lacks the column 'output'{where}"
    assert bad[1].reason == f"is a number, not an object{where.replace('3', '4')}"
