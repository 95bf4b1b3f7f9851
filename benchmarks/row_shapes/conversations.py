"""Conversations: lists of turns in every dialect, and rows with one message each."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.row_shapes.case import Asked, Case, Outcome, Read, Refused, Row

ASKED = ("u: Q?", "A: Yes.")
TURNS = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "Yes."}]
SHAREGPT = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "Yes."}]
SYSTEM = {"role": "system", "content": "Be brief."}
TAGS = {"role_tag": "who", "content_tag": "says", "user_tag": "HUMAN", "assistant_tag": "BOT"}


def _case(name: str, row: Row, right: Outcome | tuple[str, ...], *more: Row, **settings: Any) -> Case:
    return Case(name, (row, *more), Read(right) if isinstance(right, tuple) else right, **settings)


def _answer(**more: Any) -> list[dict[str, Any]]:
    return [TURNS[0], {**TURNS[1], **more}]


def _parts(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [TURNS[0], {"role": "assistant", "content": list(parts), **more}]}


FORMS = (
    _case("OpenAI's messages", {"messages": TURNS}, ASKED),
    _case("OpenAI's messages with a system turn", {"messages": [SYSTEM, *TURNS]}, ("s: Be brief.", *ASKED)),
    _case("a developer's turn", {"messages": [{**SYSTEM, "role": "developer"}, *TURNS]}, ("s: Be brief.", *ASKED)),
    _case("ShareGPT", {"conversations": SHAREGPT}, ASKED),
    _case(
        "LLaMA-Factory's sharegpt with system and tools",
        {"conversations": SHAREGPT, "system": "Be brief.", "tools": '[{"name": "look", "parameters": {}}]'},
        Read(("s: Be brief.", *ASKED), tools=("look",)),
    ),
    _case(
        "LLaMA-Factory's tags",
        {"talk": [{"who": "HUMAN", "says": "Q?"}, {"who": "BOT", "says": "Yes."}]},
        ASKED,
        index={"formatting": "sharegpt", "columns": {"messages": "talk"}, "tags": TAGS},
    ),
    _case(
        "LLaMA-Factory's openai format",
        {"messages": [SYSTEM, *TURNS]},
        ("s: Be brief.", *ASKED),
        index={
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
        },
    ),
    _case(
        "Axolotl's pygmalion",
        {"conversations": [{"role": "user", "value": "Q?"}, {"role": "assistant", "value": "Yes."}]},
        ASKED,
    ),
    _case("conversations with role and content", {"conversations": TURNS}, ASKED),
    _case("a conversation under another name", {"id": 1, "chat": TURNS}, ASKED),
    _case("turns as JSON text in a table", {"messages": json.dumps(TURNS)}, ASKED, kind="csv"),
    _case("UltraChat: the first prompt beside the turns", {"prompt": "Q?", "prompt_id": "x", "messages": TURNS}, ASKED),
    _case(
        "a system message in a column of its own",
        {"messages": TURNS, "system_prompt": "Be brief."},
        ("s: Be brief.", *ASKED),
    ),
    _case(
        "Amazon's system in parts",
        {
            "system": [{"text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"text": "Q?"}]},
                {"role": "assistant", "content": [{"text": "Yes."}]},
            ],
        },
        ("s: Be brief.", *ASKED),
    ),
    _case(
        "Gemini's contents",
        {
            "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "Q?"}]}, {"role": "model", "parts": [{"text": "Yes."}]}],
        },
        ("s: Be brief.", *ASKED),
    ),
    _case("LIMA: texts in turn", {"conversations": ["Q?", "Yes."], "source": "x"}, ASKED),
    _case("DailyDialog: texts in turn", {"dialog": ["Q?", "Yes.", "And?", "No."]}, (*ASKED, "u: And?", "A: No.")),
    _case(
        "Capybara: exchanges",
        {"conversation": [{"input": "Q?", "output": "Yes."}, {"input": "And?", "output": "No."}]},
        (*ASKED, "u: And?", "A: No."),
    ),
    _case("turns as Parquet", {"messages": TURNS}, ASKED, kind="parquet"),
    _case("turns as Arrow", {"messages": TURNS}, ASKED, kind="arrow"),
    _case(
        "OpenAI's fine-tuning of several turns",
        {"messages": [SYSTEM, *TURNS, {"role": "user", "content": "And?"}, {"role": "assistant", "content": "No."}]},
        ("s: Be brief.", *ASKED, "u: And?", "A: No."),
    ),
)

WEIGHTS = (
    _case("OpenAI's weight 0", {"messages": [*_answer(weight=0), *TURNS]}, ("u: Q?", "a: Yes.", *ASKED)),
    _case("OpenAI's weight 1", {"messages": _answer(weight=1)}, ASKED),
    _case("a weight of 0.0 as text", {"messages": [*_answer(weight="0.0"), *TURNS]}, ("u: Q?", "a: Yes.", *ASKED)),
    _case(
        "Axolotl's train false",
        {"conversations": [*SHAREGPT[:1], {**SHAREGPT[1], "train": False}, *SHAREGPT]},
        ("u: Q?", "a: Yes.", *ASKED),
    ),
    _case("train 0", {"messages": [*_answer(train=0), *TURNS]}, ("u: Q?", "a: Yes.", *ASKED)),
    _case("train as the word false", {"messages": [*_answer(train="False"), *TURNS]}, ("u: Q?", "a: Yes.", *ASKED)),
    _case(
        "train true on the person's turn changes nothing", {"messages": [{**TURNS[0], "train": True}, TURNS[1]]}, ASKED
    ),
    _case(
        "Axolotl's train_detail",
        {"messages": _answer(train_detail=[{"begin_offset": 0, "end_offset": 1, "train": False}])},
        Refused("trained in parts (train_detail)"),
    ),
    _case(
        "LLaMA-Factory's loss_weight 0", {"messages": [*_answer(loss_weight=0.0), *TURNS]}, ("u: Q?", "a: Yes.", *ASKED)
    ),
    _case(
        "a loss_weight of one half",
        {"messages": _answer(loss_weight=0.5)},
        Read(ASKED, told="a weight other than 0 and 1"),
    ),
    _case("ms-swift's loss false", {"messages": [*_answer(loss=False), *TURNS]}, ("u: Q?", "a: Yes.", *ASKED)),
    _case("a weight that is none", {"messages": _answer(weight="heavy")}, Refused("not true or false")),
    _case(
        "a weight for each row",
        {"question": "Q?", "answer": "Yes.", "weight": 0.3},
        Read(ASKED, told="'weight' is not read"),
    ),
)

PARTS = (
    _case("content in parts", _parts({"type": "text", "text": "Yes."}), ASKED),
    _case(
        "LLaMA-Factory's v1 parts",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "value": "Q?"}], "loss_weight": 0.0},
                {"role": "assistant", "content": [{"type": "text", "value": "Yes."}], "loss_weight": 1.0},
            ]
        },
        ASKED,
    ),
    _case(
        "LLaMA-Factory's v1 reasoning",
        _parts({"type": "reasoning", "value": "Hm."}, {"type": "text", "value": "Yes."}),
        ("u: Q?", "A: Yes. (Hm.)"),
    ),
    _case(
        "Anthropic's thinking",
        _parts({"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": "Yes."}),
        ("u: Q?", "A: Yes. (Hm.)"),
    ),
    _case("OpenAI's output_text", _parts({"type": "output_text", "text": "Yes."}), ASKED),
    _case("reasoning_content", {"messages": _answer(reasoning_content="Hm.")}, ("u: Q?", "A: Yes. (Hm.)")),
    _case("TRL's Harmony: thinking", {"messages": _answer(thinking="Hm.")}, ("u: Q?", "A: Yes. (Hm.)")),
    _case("reasoning", {"messages": _answer(reasoning="Hm.")}, ("u: Q?", "A: Yes. (Hm.)")),
    _case(
        "an image among the parts",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, TURNS[1]]},
        Refused("'image_url': this trains on text only"),
    ),
    _case("a part of no known type", _parts({"type": "hologram", "x": 1}), Refused("'hologram', which is not known")),
    _case("columns of images", {"conversations": SHAREGPT, "images": ["a.png"]}, Refused("images, audio or video")),
    _case("columns of sound", {"conversations": SHAREGPT, "audios": ["a.wav"]}, Refused("images, audio or video")),
    _case("columns of video", {"conversations": SHAREGPT, "videos": ["a.mp4"]}, Refused("images, audio or video")),
    _case("a column of images that is empty", {"conversations": SHAREGPT, "images": []}, ASKED),
)

ROW = {"conversation_id": "c1", "role": "user", "content": "Q?"}
SAID = {"conversation_id": "c1", "role": "assistant", "content": "Yes."}
NEXT = (
    {"conversation_id": "c2", "role": "user", "content": "And?"},
    {"conversation_id": "c2", "role": "assistant", "content": "No."},
)

ODD = (
    _case("one message a row", ROW, Asked("one_message_a_row", ASKED), SAID, *NEXT),
    _case("one message a row, as text", ROW, Asked("one_message_a_row", ("T: Q?",), answer=1), SAID, *NEXT),
    _case(
        "one message a row, without an id",
        {"role": "user", "text": "Q?"},
        Asked("one_message_a_row", ("T: Q?",)),
        {"role": "assistant", "text": "Yes."},
    ),
    _case(
        "one message a row, unknown speakers",
        {"thread": 1, "speaker": "Ann", "text": "Q?"},
        Asked("one_message_a_row", ASKED),
        {"thread": 1, "speaker": "Ben", "text": "Yes."},
        {"thread": 2, "speaker": "Ann", "text": "And?"},
        {"thread": 2, "speaker": "Ben", "text": "No."},
    ),
    _case("one message a row as a table", ROW, Asked("one_message_a_row", ASKED), SAID, *NEXT, kind="csv"),
    _case(
        "a conversation that goes on behind another",
        ROW,
        Refused("goes on behind another"),
        *NEXT,
        SAID,
        settings={"columns": {"group": "conversation_id", "role": "role", "content": "content"}},
    ),
    _case(
        "two answers in a row",
        {"messages": [*TURNS, {"role": "assistant", "content": "No."}]},
        Read((*ASKED, "A: No."), told="two answers stand in a row"),
    ),
    _case(
        "speakers of no known word",
        {"conversation": [{"role": "Ann", "content": "Q?"}, {"role": "Ben", "content": "Yes."}]},
        Asked("speakers", ASKED),
    ),
    _case(
        "keys and speakers of no known word",
        {"talk": [{"who": "Ann", "line": "Q?"}, {"who": "Ben", "line": "Yes."}]},
        Asked("speakers", ASKED),
    ),
    _case(
        "keys of no known word",
        {"talk": [{"who": "user", "line": "Q?"}, {"who": "assistant", "line": "Yes."}]},
        Asked("turn_keys", ASKED),
    ),
    _case(
        "a third speaker of no known word",
        {"messages": [*TURNS, {"role": "critic", "content": "Hm."}]},
        Read((*ASKED, "critic: Hm."), told="'critic'"),
    ),
    _case("no answer", {"messages": TURNS[:1]}, Refused("no turn is the assistant's, they are of 'user'")),
    _case("TRL's prompt-only conversation", {"prompt": TURNS[:1]}, Refused("no turn is the assistant's")),
    _case("a turn without a role", {"messages": [*TURNS, {"content": "x"}]}, Refused("has no role")),
    _case("an empty conversation", {"messages": []}, Refused("no turn"), {"messages": TURNS}),
    _case(
        "two columns of conversations",
        {
            "messages": TURNS,
            "messages_de": [{"role": "user", "content": "F?"}, {"role": "assistant", "content": "Ja."}],
        },
        Asked("which_turns", ("u: F?", "A: Ja."), answer=1),
    ),
    _case("TRL's prompt-completion of turns", {"prompt": TURNS[:1], "completion": TURNS[1:]}, ASKED),
    _case(
        "TRL's prompt-completion of turns with a system column",
        {"prompt": TURNS[:1], "completion": TURNS[1:], "system": "Be brief."},
        ("s: Be brief.", *ASKED),
    ),
    _case(
        "a list as prompt with a text for an answer", {"input": TURNS[:1], "output": "Yes.", "category": "chat"}, ASKED
    ),
    _case(
        "messages with the answer in a column of its own",
        {"messages": [SYSTEM, TURNS[0]], "completion": "Yes."},
        ("s: Be brief.", *ASKED),
    ),
    _case(
        "a prompt of turns that holds answers",
        {
            "prompt": [*TURNS, {"role": "user", "content": "And?"}],
            "completion": [{"role": "assistant", "content": "No."}],
        },
        ("u: Q?", "a: Yes.", "u: And?", "A: No."),
    ),
    _case("OpenAI's evals: input and ideal", {"context": TURNS[:1], "ideal": "Yes."}, ASKED),
)

CONVERSATIONS: tuple[Case, ...] = (*FORMS, *WEIGHTS, *PARTS, *ODD)
