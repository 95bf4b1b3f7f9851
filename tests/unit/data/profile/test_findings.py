"""What is odd about single rows: counted, named, and found from any row on."""

from __future__ import annotations

import pytest

from recommender.warning import texts
from tests.unit.data.conftest import Profile

CLEAN = [{"instruction": f"Question {i}?", "output": f"Answer {i}."} for i in range(20)]


@pytest.mark.parametrize(
    ("row", "says", "warns"),
    [
        ({"instruction": "Q \x07?", "output": "A"}, "control characters", "control characters"),
        ({"instruction": "Q", "output": "caf\ufffd"}, "replacement characters", "decoded wrongly"),
        ({"instruction": "Q", "output": "NaN"}, "nothing but 'nan'", "most likely it was empty"),
        ({"instruction": "Q", "output": "I am {{ name }}."}, "a placeholder such as", "a placeholder such as"),
        ({"instruction": "Q", "output": ""}, "nothing of it is trained", "the answer is empty"),
        (CLEAN[3], "exact copy", ""),
    ],
)
def test_an_odd_row_is_counted_named_and_found(profile: Profile, row: dict[str, str], says: str, warns: str) -> None:
    dataset = profile([*CLEAN, row])
    assert any(says in said for said in dataset.sample(20, 1000).findings)
    assert any(warns in warning for warning in texts(dataset.profile.warnings)) or not warns
    assert (dataset.next_finding(0, 1, 1000), dataset.next_finding(0, -1, 1000)) == (20, 20)
    assert dataset.sample(1, 1000).findings == ()


def test_words_that_hold_nan_are_not_odd(profile: Profile) -> None:
    rows = [
        {"instruction": "Is nan a number?\tNo line\r\nends", "output": "None of these is {{}}, {{ 1 }} or {{{a: b}}}."}
    ]
    assert profile(rows).findings(0) == ()
    assert profile(rows).next_finding(0, 1, 1000) is None


def test_a_row_whose_answer_the_limit_cuts_is_found(profile: Profile) -> None:
    dataset = profile([*CLEAN, {"instruction": "Q", "output": "word " * 90}])
    assert dataset.next_finding(5, 1, 1000) is None
    assert dataset.next_finding(5, 1, 60) == 20
    assert "the limit cuts" in dataset.sample(20, 60).findings[0]


def test_speakers_that_are_not_known_are_named(profile: Profile) -> None:
    def spoken(word: str) -> dict[str, object]:
        turns = [("user", "Q"), (word, "N"), ("assistant", f"A {word}")]
        return {"messages": [{"role": role, "content": text} for role, text in turns]}

    dataset = profile([*(spoken("tool") for _ in range(20)), *map(spoken, ["narrator", "bob", "narrator", "x", "y"])])
    warned = [one.text for one in dataset.profile.warnings if one.code == "unknown_roles"]
    assert warned == ["In 5 rows turns have unknown roles ('narrator', 'bob', 'x' …): map them in data.columns."]
    assert dataset.findings(20) == ("a turn has an unknown role",)
    assert dataset.profile.duplicates == 20


def test_a_chat_that_is_written_already_is_told_to_be_trained_whole(profile: Profile) -> None:
    chat = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    dataset = profile([{"text": chat}, *({"text": f"Only text {i}."} for i in range(30))])
    (said,) = dataset.profile.warnings
    assert said.code == "special_token_text" and "messages" in said.text
    assert dataset.findings(0) == ("it contains the text of a special token",) and not dataset.findings(1)
