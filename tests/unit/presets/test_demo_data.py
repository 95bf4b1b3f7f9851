"""The shipped rows are many, distinct, true to their style and small enough for two cores."""

import json
import re

import pytest

from presets.demo import demo_data_path

STYLE = re.compile(r"Short answer: [^\n]+[.!]\nWhy: [^\n]+[.!]\nTry: [^\n]+[.!]")


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str]]:
    pairs = []
    for line in demo_data_path().read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert set(row) == {"messages"}
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert all(set(message) == {"role", "content"} for message in row["messages"])
        question, answer = (message["content"] for message in row["messages"])
        pairs.append((question, answer))
    return pairs


def test_there_are_enough_rows(rows: list[tuple[str, str]]) -> None:
    assert len(rows) >= 200


def test_no_question_and_no_sentence_of_an_answer_is_repeated(rows: list[tuple[str, str]]) -> None:
    questions = [question.casefold() for question, _ in rows]
    sentences = [line.split(": ", 1)[1].casefold() for _, answer in rows for line in answer.split("\n")]
    assert len(set(questions)) == len(questions)
    assert len(set(sentences)) == len(sentences)


def test_every_answer_has_the_house_style(rows: list[tuple[str, str]]) -> None:
    off = [question for question, answer in rows if not STYLE.fullmatch(answer)]
    assert off == []


def test_questions_are_one_clean_line(rows: list[tuple[str, str]]) -> None:
    off = [q for q, _ in rows if q != " ".join(q.split()) or not q.endswith(("?", ".")) or not q[0].isupper()]
    assert off == []


def test_answers_are_short(rows: list[tuple[str, str]]) -> None:
    # The demo must end within six minutes on two cores; four characters are about one token.
    lengths = [len(answer) for _, answer in rows]
    assert max(lengths) <= 340
    assert sum(lengths) + sum(len(question) for question, _ in rows) <= 75_000
