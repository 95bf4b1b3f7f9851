"""Rows with several answers or with a mark: asked about, and the worse side never trained."""

from __future__ import annotations

from typing import Any

from benchmarks.row_shapes.case import Asked, Case, Outcome, Read, Refused, Row

USER = {"role": "user", "content": "Q?"}
RIGHT = ("u: Q?", "A: good")
BETTER = Asked("preference", RIGHT)


def _case(name: str, row: Row, right: Outcome, *more: Row, **settings: Any) -> Case:
    return Case(name, (row, *more), right, **settings)


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _talk(text: str) -> list[dict[str, str]]:
    return [USER, *_said(text)]


COMPARED: tuple[Case, ...] = (
    _case("TRL's preference", {"prompt": "Q?", "chosen": "good", "rejected": "bad"}, BETTER),
    _case("TRL's preference of turns", {"prompt": [USER], "chosen": _said("good"), "rejected": _said("bad")}, BETTER),
    _case("TRL's preference, implicit prompt", {"chosen": _talk("good"), "rejected": _talk("bad")}, BETTER),
    _case(
        "TRL's preference as plain text without a prompt",
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        Asked("preference"),
    ),
    _case(
        "TRL's preference with tools",
        {"prompt": [USER], "chosen": _said("good"), "rejected": _said("bad"), "tools": []},
        BETTER,
    ),
    _case(
        "the worse conversation first",
        {"conversation_rejected": _talk("bad"), "conversation_chosen": _talk("good")},
        BETTER,
    ),
    _case(
        "only the worse one is named", {"conversations_rejected": _talk("bad"), "conversations": _talk("good")}, BETTER
    ),
    _case(
        "OpenAI's preference",
        {
            "input": {"messages": [USER], "tools": [], "parallel_tool_calls": True},
            "preferred_output": _said("good"),
            "non_preferred_output": _said("bad"),
        },
        BETTER,
    ),
    _case(
        "HH-RLHF", {"chosen": "\n\nHuman: Q?\n\nAssistant: good", "rejected": "\n\nHuman: Q?\n\nAssistant: bad"}, BETTER
    ),
    _case(
        "UltraFeedback, binarised",
        {
            "prompt": "Q?",
            "chosen": _talk("good"),
            "rejected": _talk("bad"),
            "messages": _talk("good"),
            "score_chosen": 8.0,
            "score_rejected": 2.0,
        },
        BETTER,
    ),
    _case(
        "LLaMA-Factory's preference", {"instruction": "Q?", "input": "", "chosen": "good", "rejected": "bad"}, BETTER
    ),
    _case(
        "LLaMA-Factory's ranking in its index",
        {"instruction": "Q?", "chosen": "good", "rejected": "bad"},
        BETTER,
        index={"ranking": True, "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}},
    ),
    _case(
        "LLaMA-Factory's sharegpt preference",
        {
            "conversations": [{"from": "human", "value": "Q?"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        BETTER,
    ),
    _case("Axolotl's chatml.intel", {"system": "", "question": "Q?", "chosen": "good", "rejected": "bad"}, BETTER),
    _case(
        "Axolotl's chatml.icr, prompt and system",
        {"system": "Be brief.", "input": "Q?", "chosen": "good", "rejected": "bad"},
        Asked("preference", ("s: Be brief.", *RIGHT)),
    ),
    _case(
        "Axolotl's user_defined.default names",
        {"prompt": "Q?", "chosen_response": "good", "rejected_response": "bad"},
        BETTER,
    ),
    _case(
        "arena, the second has won",
        {
            "conversation_a": _talk("bad"),
            "conversation_b": _talk("good"),
            "winner": "model_b",
            "model_a": "x",
            "model_b": "y",
        },
        BETTER,
    ),
    _case("arena of texts", {"prompt": "Q?", "response_a": "good", "response_b": "bad", "winner": "a"}, BETTER),
    _case(
        "arena with a column for each outcome",
        {
            "prompt": "Q?",
            "response_a": "good",
            "response_b": "bad",
            "winner_model_a": 1,
            "winner_model_b": 0,
            "winner_tie": 0,
        },
        Asked("preference", RIGHT),
    ),
    _case(
        "the better one by number",
        {"prompt": "Q?", "response_0": "bad", "response_1": "good", "better_response_id": 1},
        BETTER,
    ),
    _case(
        "scores of two answers",
        {"history": "Q?", "human_ref_A": "x", "human_ref_B": "y", "score_A": 3, "score_B": 9},
        Asked("preference"),
    ),
    _case("better and worse", {"question": "Q?", "better": "good", "worse": "bad"}, BETTER),
    _case("a query with a positive and a negative", {"query": "Q?", "positive": "good", "negative": "bad"}, BETTER),
    _case("only a rejected answer", {"prompt": "Q?", "rejected": "bad"}, Refused("compares answers")),
    _case(
        "pairs, when the person says so",
        {"prompt": "Q?", "chosen": "good", "rejected": "bad"},
        Read(RIGHT),
        settings={"format": "preference"},
    ),
    _case(
        "turns told, sides not",
        {"conversation_rejected": _talk("bad"), "conversation_chosen": _talk("good")},
        BETTER,
        settings={"format": "messages"},
    ),
    _case(
        "TRL's unpaired preference",
        {"prompt": [USER], "completion": _said("good"), "label": True},
        Asked("marked_rows", RIGHT),
        {"prompt": [USER], "completion": _said("bad"), "label": False},
    ),
    _case(
        "TRL's unpaired preference of texts",
        {"prompt": "Q?", "completion": "good", "label": True},
        Asked("marked_rows", ("p: Q?", "C: good")),
    ),
    _case(
        "LLaMA-Factory's KTO",
        {"instruction": "Q?", "input": "", "output": "good", "kto_tag": True},
        Asked("marked_rows", RIGHT),
        {"instruction": "Q?", "input": "", "output": "bad", "kto_tag": False},
    ),
    _case("LLaMA-Factory's KTO of turns", {"messages": _talk("good"), "label": True}, Asked("marked_rows", RIGHT)),
    _case(
        "TRL's stepwise supervision",
        {"prompt": "Q?", "completions": ["a", "b"], "labels": [True, False]},
        Refused("steps with a verdict"),
    ),
    _case(
        "Axolotl's stepwise supervision",
        {"prompt": "Q?", "completions": ["a", "b"], "labels": [1, 0]},
        Refused("steps with a verdict"),
    ),
    _case(
        "multiple choice",
        {"question": "Q?", "option_a": "x", "option_b": "y", "answer": "good"},
        Read(RIGHT, told="'option_a' is not read"),
    ),
)
