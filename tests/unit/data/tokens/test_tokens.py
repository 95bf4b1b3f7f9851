"""Rows as tokens: ids of plain tokenisation, masks to the token, and the same rows for the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from presets.errors import InputError
from recommender.data.dataset import DataSet
from recommender.data.tokens.vocabulary import load_vocabulary
from recommender.model.spec import ModelSpec
from recommender.warning import codes, texts
from tests.fixtures.vocabularies import CHATML, spec_for, write_vocabulary
from tests.unit.data.conftest import Profile

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Grüße, 你好?"},
    {"role": "assistant", "content": "  Héllo 世界 😀 "},
    {"role": "user", "content": "More"},
    {"role": "assistant", "content": "End."},
]


def trained_text(dataset: DataSet, i: int = 0) -> str:
    return "".join(piece.text for piece in dataset.sample(i, 10_000).pieces if piece.trained)


def bos_model(folder: Path, **options: Any) -> ModelSpec:
    return spec_for(write_vocabulary(folder, bos="<s>", eos="</s>", special=(), adds_bos=True, **options))


def test_ids_are_those_of_plain_tokenisation_of_the_whole(profile: Profile, chatml: ModelSpec) -> None:
    from tokenizers import Tokenizer

    dataset = profile([{"messages": CHAT}])
    assert chatml.path is not None
    plain = Tokenizer.from_file(str(chatml.path / "tokenizer.json"))
    row = dataset.tokenised(0)
    assert row.ids.tolist() == plain.encode(row.text, add_special_tokens=False).ids
    assert row.text == "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in CHAT)


def test_the_trained_tokens_are_the_answers_with_their_end(profile: Profile) -> None:
    dataset = profile([{"messages": CHAT}])
    assert trained_text(dataset) == "  Héllo 世界 😀 <|im_end|>End.<|im_end|>"
    assert dataset.sample(0, 10_000).text == dataset.tokenised(0).text
    assert dataset.profile.trains_end_of_turn is True


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=3))
def test_any_text_is_masked_to_the_character(profile: Profile, turns: list[tuple[str, str]]) -> None:
    messages = [
        turn
        for question, answer in turns
        for turn in ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    ]
    dataset = profile([{"messages": messages}], skip_bad_rows=True)
    expected = "".join(f"{answer}<|im_end|>" for _, answer in turns if answer.strip())
    sample = dataset.sample(0, 10_000)
    assert trained_text(dataset) == expected
    assert sample.text == dataset.tokenised(0).text
    assert sample.trained == sum(dataset.tokens(0)[1]) == dataset.profile.trained_tokens
    assert sample.length == len(dataset.tokens(0)[0]) == dataset.profile.lengths[0]


def test_text_gets_bos_and_eos_once_and_is_trained_whole(profile: Profile, tmp_path: Path) -> None:
    model = bos_model(tmp_path / "m")
    dataset = profile([{"text": "Hello."}, {"text": "<s>Hello.</s>"}], model)
    first, second = dataset.tokenised(0), dataset.tokenised(1)
    vocabulary = load_vocabulary(model.path)
    assert vocabulary is not None
    assert first.ids.tolist() == second.ids.tolist()
    assert (first.ids[0], first.ids[-1]) == (vocabulary.bos, vocabulary.eos)
    assert all(first.mask)
    assert dataset.sample(0, 100).text == "<s>Hello.</s>"
    assert dataset.profile.trains_end_of_turn is None


def test_a_pair_trains_its_completion_and_the_eos_behind(profile: Profile, tmp_path: Path) -> None:
    dataset = profile([{"prompt": "Q: hi", "completion": " A: yes"}], bos_model(tmp_path / "m"))
    assert dataset.sample(0, 100).text == "<s>Q: hi A: yes</s>"
    assert trained_text(dataset) == " A: yes</s>"
    assert dataset.profile.trains_end_of_turn is True
    assert dataset.prompt_text(0) == "Q: hi"
    assert dataset.tokenised(0).ids.tolist()[: len(dataset.prompt_ids(0))] == dataset.prompt_ids(0)


def test_a_token_over_the_border_is_trained_and_counted(profile: Profile) -> None:
    dataset = profile([{"prompt": "You are a help", "completion": "ful assistant."}])
    assert trained_text(dataset) == " helpful assistant.<|endoftext|>"
    assert "token_straddles" in codes(dataset.profile.warnings)


@pytest.mark.parametrize("settings", [{}, {"add_bos_token": False}, {"add_bos_token": True}])
@pytest.mark.parametrize("built", [True, False])
def test_the_bos_token_is_added_as_tokenizer_json_builds_it(
    tmp_path: Path, settings: dict[str, Any], built: bool
) -> None:
    folder = write_vocabulary(tmp_path, bos="<s>", eos="</s>", special=(), adds_bos=built, **settings)
    vocabulary = load_vocabulary(folder)
    assert vocabulary is not None
    assert [vocabulary.added[index] for index in vocabulary.prefix] == (["<s>"] if built else [])


def test_a_template_that_writes_the_bos_token_does_not_get_a_second(profile: Profile, tmp_path: Path) -> None:
    model = bos_model(tmp_path / "m", template="{{ bos_token }}" + CHATML)
    dataset = profile([{"messages": CHAT}], model)
    assert dataset.sample(0, 1000).text.count("<s>") == 1
    assert "bos_twice" not in codes(dataset.profile.warnings)
    doubled = profile([{"messages": [{"role": "user", "content": "x"}, CHAT[-1]]}],
                      bos_model(tmp_path / "d", template="{{ bos_token + bos_token }}" + CHATML))  # fmt: skip
    assert any("In 1 row the BOS token stands twice" in said for said in texts(doubled.profile.warnings))


def test_train_on_all_trains_every_token(profile: Profile) -> None:
    dataset = profile([{"messages": CHAT}], train_on="all")
    assert all(dataset.tokens(0)[1])
    assert dataset.profile.trained_share == 1.0
    assert dataset.profile.trains_end_of_turn is True


ROWS = [{"question": "Give three tips", "answer": "Sleep. " * size} for size in (1, 30, 3, 80)]


def test_training_rows_are_the_rows_that_were_shown(profile: Profile) -> None:
    dataset = profile(ROWS)
    rows = list(dataset.training_rows(range(4), 10_000))
    for i, row in enumerate(rows):
        ids, mask = dataset.tokens(i)
        assert row["input_ids"] == ids.tolist()
        assert row["labels"] == [index if trained else -100 for index, trained in zip(ids, mask, strict=True)]


def test_rows_are_cut_and_those_with_nothing_left_are_left_out_and_counted(profile: Profile) -> None:
    long_question = {"question": "Give three tips " * 40, "answer": "No."}
    dataset = profile([*ROWS, long_question])
    handed = dataset.training_rows([0, 1, 3, 4], 40)
    rows = list(handed)
    assert [len(row["input_ids"]) for row in rows] == [min(40, dataset.profile.lengths[i]) for i in (0, 1, 3)]
    assert (handed.left_out, handed.cut) == (1, 3)
    assert handed.trained == sum(label != -100 for row in rows for label in row["labels"])
    assert handed.tokens == sum(len(row["labels"]) for row in rows)
    assert list(handed) == rows
    assert handed.left_out == 1


def test_what_the_rows_train_is_what_the_profile_says(profile: Profile) -> None:
    dataset = profile(ROWS)
    for limit in (20, 50, 1000):
        handed = dataset.training_rows(range(4), limit)
        assert [*handed]
        assert handed.trained == dataset.profile.trained_at(limit)


def test_nothing_left_at_all_is_an_error(profile: Profile) -> None:
    dataset = profile([{"question": "Give three tips " * 40, "answer": "No."}])
    with pytest.raises(InputError, match="Nothing would be trained"):
        list(dataset.training_rows([0], 16))


def test_a_sample_strikes_out_what_the_limit_cuts(profile: Profile) -> None:
    dataset = profile(ROWS)
    sample = dataset.sample(3, 30)
    assert [piece.cut for piece in sample.pieces] == [position >= 30 for position in range(sample.length)]
    assert sample.trained_cut == sum(piece.trained and piece.cut for piece in sample.pieces) > 0
    assert sample.trained == sum(piece.trained and not piece.cut for piece in sample.pieces)
    assert {piece.text for piece in sample.pieces if piece.special} == {"<|im_start|>", "<|im_end|>"}
    assert sample.line == 4


def test_longest_rows_for_the_preflight(profile: Profile) -> None:
    assert profile(ROWS).longest(2) == [3, 1]


def test_the_prompt_for_a_sample_is_the_row_up_to_its_last_answer(profile: Profile) -> None:
    dataset = profile([{"messages": CHAT}])
    prompt = dataset.prompt_text(0)
    assert prompt.endswith("<|im_start|>user\nMore<|im_end|>\n<|im_start|>assistant\n")
    assert dataset.tokenised(0).ids.tolist()[: len(dataset.prompt_ids(0))] == dataset.prompt_ids(0)
    assert (dataset.question_text(0), dataset.answer_text(0)) == ("More", "End.")
    behind = dataset.tokenised(0).ids.tolist()[len(dataset.prompt_ids(0)) :]
    assert dataset.decode(behind) == "End.\n"
    vocabulary = load_vocabulary(dataset._tokeniser.vocabulary.folder) if dataset._tokeniser else None
    assert vocabulary is not None
    assert set(dataset.stop_ids) == {vocabulary.id_of("<|im_end|>"), vocabulary.eos}


def test_without_a_tokenizer_lengths_are_estimated_and_said_to_be(profile: Profile) -> None:
    dataset = profile(
        [{"question": "x" * 400, "answer": "y" * 400}, {"question": "世" * 100, "answer": "界" * 100}], None
    )
    assert dataset.profile.tokenizer == "bytes"
    assert list(dataset.profile.lengths) == [2 * (100 + 6), 2 * (60 + 6)]
    assert dataset.profile.trained_tokens == 101 + 61
    sample = dataset.sample(0, 150)
    assert "".join(piece.text for piece in sample.pieces if piece.trained) == "y" * 400
    assert {piece.token_id for piece in sample.pieces} == {None}
    assert any(piece.cut for piece in sample.pieces)
    with pytest.raises(InputError, match="no tokenizer"):
        dataset.training_rows([0], 100)
    with pytest.raises(InputError, match="no tokenizer"):
        dataset.prompt_ids(0)


def test_a_tokenizer_with_truncation_and_padding_baked_in_does_neither(profile: Profile, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = write_vocabulary(tmp_path / "m")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert profile(ROWS, spec_for(folder)).profile.lengths == profile(ROWS).profile.lengths


def test_a_broken_tokenizer_is_explained(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="not a tokenizer that can be read"):
        load_vocabulary(tmp_path)
    assert load_vocabulary(tmp_path / "nowhere") is None
