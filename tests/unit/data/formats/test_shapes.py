from __future__ import annotations

import json
from typing import Any

import pytest

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.data.formats.examples import Chat, Example, Message, Pair, RowProblem, Text, digest
from recommender.data.formats.normalise import normalise
from recommender.data.formats.recognise import recognise
from recommender.data.formats.role_names import MOST_WORDS, RoleMapping, role_names_in
from recommender.warning import texts
from tests.unit.data.conftest import Profile

TURNS = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
SHAREGPT = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
ASKED = Chat((Message("user", "Q"), Message("assistant", "A")))


def example(row: dict[str, Any], **options: Any) -> Any:
    return normalise(row, recognise([row], where="rows.jsonl", **options))


@pytest.mark.parametrize(
    ("row", "shape", "confidence", "becomes"),
    [
        ({"instruction": "Q", "output": "A"}, "alpaca", "high", ASKED),
        ({"instruction": "Q", "input": "", "output": "A"}, "alpaca", "high", ASKED),
        (
            {"instruction": "Q", "input": "X", "output": "A"},
            "alpaca",
            "high",
            Chat((Message("user", "Q\nX"), Message("assistant", "A"))),
        ),
        (
            {"instruction": "Q", "output": "A", "system": "S", "history": [["q", "a"]]},
            "alpaca",
            "high",
            Chat(
                (
                    Message("system", "S"),
                    Message("user", "q"),
                    Message("assistant", "a"),
                    Message("user", "Q"),
                    Message("assistant", "A"),
                )
            ),
        ),
        ({"question": "Q", "answer": "A"}, "alpaca", "medium", ASKED),
        (
            {"question": "Q", "context": "C", "answer": "A"},
            "alpaca",
            "medium",
            Chat((Message("user", "Q\nC"), Message("assistant", "A"))),
        ),
        ({"Prompt": "Q", "Response": "A"}, "alpaca", "medium", ASKED),
        (
            {"question": "2 + 2", "answer": 4},
            "alpaca",
            "medium",
            Chat((Message("user", "2 + 2"), Message("assistant", "4"))),
        ),
        ({"messages": TURNS}, "messages", "high", ASKED),
        ({"id": 1, "chat": TURNS}, "messages", "medium", ASKED),
        (
            {"messages": '[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]'},
            "messages",
            "high",
            ASKED,
        ),
        ({"conversations": SHAREGPT}, "sharegpt", "high", ASKED),
        (
            {"conversations": SHAREGPT, "system": "S"},
            "sharegpt",
            "high",
            Chat((Message("system", "S"), *ASKED.messages)),
        ),
        ({"prompt": "P", "completion": "C"}, "prompt-completion", "high", Pair("P", "C")),
        (
            {"prompt": TURNS, "completion": [{"role": "assistant", "content": "B"}]},
            "prompt-completion",
            "high",
            Chat(
                (Message("user", "Q", train=False), Message("assistant", "A", train=False), Message("assistant", "B"))
            ),
        ),
        ({"text": "T"}, "text", "high", Text("T")),
        ({"title": "x", "content": "T"}, "text", "medium", Text("T")),
        ({"sentence": "T"}, "text", "low", Text("T")),
    ],
)
def test_shapes_are_recognised_by_their_columns(row: dict[str, Any], shape: str, confidence: str, becomes: Any) -> None:
    found = recognise([row], where="rows.jsonl")
    assert (found.name, found.confidence) == (shape, confidence)
    assert f"(confidence {confidence})" in found.reason
    assert found.seen == tuple(row)
    assert normalise(row, found) == becomes


def test_a_column_that_only_later_rows_have_counts() -> None:
    shape = recognise(
        [{"instruction": "Q", "output": "A"}, {"instruction": "Q", "input": "X", "output": "A"}], where="f"
    )
    assert shape.columns == {"instruction": "instruction", "output": "output", "input": "input"}
    assert normalise({"instruction": "Q", "output": "A"}, shape) == ASKED


@pytest.mark.parametrize(
    ("row", "options", "becomes"),
    [
        ({"ask": "Q", "say": "A"}, {"given": {"instruction": "ask", "output": "say"}}, ASKED),
        ({"body": "T", "text": "no"}, {"given": {"text": "body"}}, Text("T")),
        ({"prompt": "Q", "completion": "A"}, {"given": {"instruction": "prompt", "output": "completion"}}, ASKED),
        ({"prompt": "Q", "completion": "A"}, {"wanted": "prompt-completion"}, Pair("Q", "A")),
        ({"text": "T", "question": "Q", "answer": "A"}, {"wanted": "text"}, Text("T")),
        ({"question": "Q", "answer": "A"}, {"wanted": "alpaca"}, ASKED),
        ({"q": "Q", "answer": "A"}, {"wanted": "alpaca", "given": {"instruction": "q", "output": "answer"}}, ASKED),
        ({"dialog": TURNS}, {"given": {"messages": "dialog"}}, ASKED),
        (
            {"instruction": "Q", "output": "A", "x": "X"},
            {"given": {"input": "x"}},
            Chat((Message("user", "Q\nX"), Message("assistant", "A"))),
        ),
    ],
)
def test_what_the_person_says_goes_first(row: dict[str, Any], options: dict[str, Any], becomes: Any) -> None:
    assert example(row, **options) == becomes


@pytest.mark.parametrize(
    ("row", "options", "says", "remedy"),
    [
        ({"conversations": SHAREGPT, "images": ["a.png"]}, {}, "text only", "rows of text"),
        ({"foo": 1, "bar": [2]}, {}, "no known shape. Columns: foo, bar", "data.columns.instruction"),
        ({"question": "Q", "answer": "A"}, {"wanted": "alpacca"}, "'alpacca' is not known", "'alpaca'"),
        ({"question": "Q"}, {"wanted": "alpaca"}, "lacks a column for 'instruction'", "data.columns.instruction"),
        ({"question": "Q"}, {"given": {"text": "questoin"}}, "has no column 'questoin'", "'question'"),
        ({"question": "Q"}, {"given": {"txt": "question"}}, "role 'txt'", "'text'"),
        ({"a": {"file_name": "a.json"}, "b": {"hf_hub_url": "b"}}, {}, "index of data sets", "data files"),
        (
            {"translation": {"en": "Hello", "de": "Hallo"}},
            {},
            "no known shape",
            "'translation' holds objects with en, de",
        ),
        ({"query": "Q", "answers": [{"name": "f", "arguments": {}}]}, {}, "no known shape", "Say which column is what"),
        ({"tags": ["a", "b"]}, {}, "no known shape", "Say which column is what"),
    ],
)
def test_what_cannot_be_used_is_explained(row: dict[str, Any], options: dict[str, Any], says: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        recognise([row], where="rows.jsonl", **options)
    assert says in caught.value.message
    assert remedy in caught.value.remedy


def test_a_label_that_is_no_verdict_is_an_ordinary_column() -> None:
    assert recognise([{"text": "T", "label": True}], where="f").name == "text"


CALLED = [
    {"from": "human", "value": "Q"},
    {"from": "function_call", "value": '{"name": "look", "arguments": {"x": 1}}'},
    {"from": "observation", "value": "found"},
    {"from": "gpt", "value": "A"},
]
CALL = {"type": "function", "function": {"name": "look", "arguments": {"x": 1}}}


def test_function_calls_of_both_dialects_become_the_same() -> None:
    tools = '[{"name": "look", "description": "", "parameters": {}}]'
    schema = {"type": "function", "function": {"name": "look", "description": "", "parameters": {}}}
    found = example({"conversations": CALLED, "tools": tools})
    assert found.tools == (schema,)
    assert found.messages[1:3] == (Message("assistant", "", {"tool_calls": [CALL]}), Message("tool", "found"))
    openai = [
        {"role": "user", "content": "Q"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}}],
        },
        {"role": "tool", "content": "found"},
        {"role": "assistant", "content": "A"},
    ]
    assert example({"messages": openai, "tools": [schema]}) == found


def test_content_in_parts_and_reasoning_and_weight() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Q"}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": "no", "weight": 0},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "yes", "reasoning": "because"},
    ]
    found = example({"messages": messages})
    assert [turn.content for turn in found.messages] == ["Q?", "no", "again", "yes"]
    assert [turn.train for turn in found.messages] == [True, False, True, True]
    assert found.messages[3].extra == {"reasoning_content": "because"}


@pytest.mark.parametrize(
    ("first", "row", "reason"),
    [
        ({"instruction": "Q", "output": "A"}, {"instruction": "Q"}, "lacks the column 'output'"),
        (
            {"instruction": "Q", "output": "A"},
            {"instruction": "Q", "output": None},
            "column 'output' is null, not text",
        ),
        ({"instruction": "Q", "output": "A"}, {"instruction": " ", "output": "A"}, "has no question"),
        ({"instruction": "Q", "output": "A"}, {"instruction": "Q", "output": ["A"]}, "is a list, not text"),
        ({"text": "T"}, {"text": True}, "is true or false, not text"),
        ({"messages": TURNS}, {"messages": []}, "has no turn"),
        ({"messages": TURNS}, {"messages": "hello"}, "is text, not a list of turns"),
        ({"messages": TURNS}, {"messages": TURNS[:1]}, "has no answer"),
        ({"messages": TURNS}, {"messages": [*TURNS, {"content": "x"}]}, "turn 3 has no role"),
        ({"messages": TURNS}, {"messages": [*TURNS, {"role": "user"}]}, "turn 3 has no content"),
        (
            {"messages": TURNS},
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, TURNS[1]]},
            "turn 1 holds a part of type 'image_url': this trains on text only",
        ),
        (
            {"conversations": SHAREGPT},
            {"conversations": [SHAREGPT[0], {"from": "function_call", "value": "look()"}]},
            "turn 2 is a function call that is not valid JSON",
        ),
        (
            {"instruction": "Q", "output": "A", "history": []},
            {"instruction": "Q", "output": "A", "history": [["q"]]},
            "not a list of pairs",
        ),
    ],
)
def test_a_row_of_another_kind_is_a_problem_of_that_row(
    first: dict[str, Any], row: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RowProblem, match=reason):
        normalise(row, recognise([first], where="f"))


def test_equal_content_has_equal_digests_and_other_content_others() -> None:
    same = digest(example({"messages": TURNS}))
    assert digest(example({"conversations": SHAREGPT})) == same == digest(example({"question": "Q", "answer": "A"}))
    others: list[Example] = [
        Text("Q"),
        Pair("Q", "A"),
        Pair("QA", ""),
        Chat((Message("user", "Q"), Message("assistant", "A", train=False))),
    ]
    assert len({same, *map(digest, others)}) == 5


def test_half_a_character_is_a_problem() -> None:
    with pytest.raises(RowProblem, match="lone surrogate"):
        digest(Text("x\ud800"))


def test_the_words_of_a_conversation_are_mapped_by_hand(profile: Profile) -> None:
    rows = [
        {"dialog": [{"speaker": "Customer", "said": f"Ask {i}"}, {"speaker": "Agent", "said": f"Say {i}"}]}
        for i in range(30)
    ]
    words = {"role": "speaker", "content": "said", "user": "Customer", "assistant": "Agent"}
    with pytest.raises(QuestionError, match="'Customer', 'Agent'") as caught:
        profile(rows)
    assert caught.value.question.choices[0].set["data.columns"] == {**words, "conversations": "dialog"}
    dataset = profile(rows, columns=words)
    assert (dataset.profile.rows, dataset.profile.shape) == (30, "sharegpt")
    assert dataset.sample(3, 100).text.startswith("<|im_start|>user\nAsk 3<|im_end|>")
    assert dataset.answer_text(3) == "Say 3"
    assert profile(rows, columns={**words, "conversations": "dialog"}).profile.rows == 30
    with pytest.raises(InputError, match="no column of turns with 'who' and 'said'"):
        profile(rows, columns={**words, "role": "who"})


def test_several_words_stand_for_one_speaker_and_the_keys_of_a_turn_are_found(profile: Profile) -> None:
    rows = [
        {"dialog": [{"from": "alice", "value": f"Ask {i}"}, {"from": "oracle", "value": f"Say {i}"}]}
        if i % 2
        else {"dialog": [{"from": "bob", "value": f"Ask {i}"}, {"from": "oracle", "value": f"Say {i}"}]}
        for i in range(30)
    ]
    dataset = profile(rows, columns={"user": "alice, bob", "assistant": "oracle"})
    assert dataset.profile.rows == 30 and not dataset.profile.bad_row_count
    assert [dataset.question_text(i) for i in (0, 1)] == ["Ask 0", "Ask 1"]
    (source,) = dataset.profile.sources
    assert source.turns_seen[0].keys == ("from", "value")
    assert dict(source.turns_seen[0].words)["from"] == ("bob", "oracle", "alice")
    assert source.role_mapping == RoleMapping(
        "from", "value", (("alice", "user"), ("bob", "user"), ("oracle", "assistant"))
    )


def test_a_system_column_stays_one_beside_words_of_turns(profile: Profile) -> None:
    rows = [
        {"rules": "Be brief.", "dialog": [{"who": "Q", "says": f"Ask {i}"}, {"who": "A", "says": f"Say {i}"}]}
        for i in range(30)
    ]
    words = {"role": "who", "content": "says", "user": "Q", "assistant": "A"}
    dataset = profile(rows, columns={**words, "system": "rules"})
    assert "Be brief." in dataset.sample(0, 100).text
    assert "Be brief." not in profile(rows, columns=words).sample(0, 100).text


def test_turns_are_described_only_where_their_words_are_few(profile: Profile) -> None:
    turns = [{"role": f"r{i}", "content": "x" * 50, "n": i} for i in range(MOST_WORDS + 1)]
    (seen,) = role_names_in([{"a": 1, "b": turns}], ["a", "b"])
    assert (seen.column, seen.keys, seen.words) == ("b", ("role", "content", "n"), ())
    (seen,) = role_names_in([{"b": json.dumps(turns[:2])}], ["b"])
    assert dict(seen.words) == {"role": ("r0", "r1")} and seen.usual() == ("role", "content")
    assert role_names_in([{"a": "[]", "b": ["text"], "c": [{}]}], ["a", "b", "c"]) == ()


@pytest.mark.parametrize(
    ("row", "column", "why"),
    [
        ({"dialog": ["Q", "A", "q", "a"]}, "dialog", "texts, the person's and the assistant's in turn"),
        ({"conversations": ["Q", "A", "q", "a"], "source": "x"}, "conversations", "texts"),
        (
            {"source": "x", "conversation": [{"input": "Q", "output": "A"}, {"input": "q", "output": "a"}]},
            "conversation",
            "input and output",
        ),
    ],
    ids=["texts", "texts under ShareGPT's name", "exchanges"],
)
def test_turns_that_do_not_say_whose_they_are_are_read_and_to_be_confirmed(
    row: dict[str, Any], column: str, why: str
) -> None:
    said = (("user", "Q"), ("assistant", "A"), ("user", "q"), ("assistant", "a"))
    wanted = Chat(tuple(Message(role, text) for role, text in said))
    shape = recognise([row], where="rows.jsonl")
    assert (shape.name, shape.confidence, shape.guessed, shape.columns["conversations"]) == (
        "sharegpt",
        "medium",
        True,
        column,
    )
    assert why in shape.why
    assert normalise(row, shape) == wanted
    confirmed = recognise([row], where="rows.jsonl", given={"conversations": column})
    assert (confirmed.confidence, confirmed.guessed) == ("high", False)
    assert normalise(row, confirmed) == wanted


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"dialog": ["Q", 2]}, "turn 2 is a number, not an object"),
        ({"dialog": ["Q"]}, "has no answer"),
        ({"dialog": []}, "has no turn"),
    ],
)
def test_a_row_that_is_not_as_the_first_ones_is_told(row: dict[str, Any], reason: str) -> None:
    shape = recognise([{"dialog": ["Q", "A"]}], where="rows.jsonl")
    with pytest.raises(RowProblem, match=reason):
        normalise(row, shape)


def test_an_exchange_without_its_answer_is_told() -> None:
    shape = recognise([{"conversation": [{"input": "Q", "output": "A"}]}], where="rows.jsonl")
    with pytest.raises(RowProblem, match="turn 1 has no role"):
        normalise({"conversation": [{"input": "Q"}]}, shape)


def test_what_was_guessed_of_turns_is_said_with_how_to_confirm_it(profile: Profile) -> None:
    dataset = profile([{"dialog": [f"Question {n}?", f"Answer {n}."]} for n in range(12)])
    assert dataset.profile.unconfirmed
    assert any(
        "texts" in said and "data.columns: {conversations: dialog}" in said for said in texts(dataset.profile.warnings)
    )
    assert dataset.answer_text(0) == "Answer 0."
