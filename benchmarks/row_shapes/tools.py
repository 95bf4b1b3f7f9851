"""Function calls, their results, and the descriptions of the functions."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.row_shapes.case import Case, Outcome, Read, Refused, Row

USER = {"role": "user", "content": "Q?"}
RESULT = {"role": "tool", "content": "3 m"}
ANSWER = {"role": "assistant", "content": "Yes."}
SAYS = ("u: Q?", 'A:  [look {"x": 1}]', "t: 3 m", "A: Yes.")
SCHEMA = {"name": "look", "description": "", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}


def _case(name: str, row: Row, right: Outcome, *more: Row, **settings: Any) -> Case:
    return Case(name, (row, *more), right, **settings)


def _called(call: Any, **more: Any) -> dict[str, Any]:
    turn = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": call}]}
    return {"messages": [USER, turn, RESULT, ANSWER], **more}


def _river(name: str) -> dict[str, Any]:
    """A row whose call has another argument than its neighbour's."""
    call = {"name": "look", "arguments": {name: "Elbe"}}
    tool = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {name: {"type": "string"}}}},
    }
    return _called(call, tools=[tool])


TOOLS: tuple[Case, ...] = (
    _case(
        "OpenAI's tool_calls",
        _called({"name": "look", "arguments": '{"x": 1}'}, tools=[{"type": "function", "function": SCHEMA}]),
        Read(SAYS, tools=("look",)),
    ),
    _case("TRL's tool_calls with an object", _called({"name": "look", "arguments": {"x": 1}}), Read(SAYS)),
    _case(
        "a null that is an argument, in JSON",
        _called({"name": "look", "arguments": {"x": None}}),
        Read(("u: Q?", 'A:  [look {"x": null}]', "t: 3 m", "A: Yes.")),
    ),
    _case(
        "Parquet's nulls are no arguments",
        _river("lake"),
        Read(("u: Q?", 'A:  [look {"lake": "Elbe"}]', "t: 3 m", "A: Yes."), tools=("look",)),
        _river("river"),
        kind="parquet",
    ),
    _case(
        "Arrow's nulls are no arguments",
        _river("lake"),
        Read(("u: Q?", 'A:  [look {"lake": "Elbe"}]', "t: 3 m", "A: Yes."), tools=("look",)),
        _river("river"),
        kind="arrow",
    ),
    _case(
        "arguments as JSON text in Parquet keep their null",
        _called({"name": "look", "arguments": '{"x": null}'}),
        Read(("u: Q?", 'A:  [look {"x": null}]', "t: 3 m", "A: Yes.")),
        kind="parquet",
    ),
    _case(
        "OpenAI's older function_call",
        {
            "messages": [
                USER,
                {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"x": 1}'}},
                {"role": "function", "name": "look", "content": "3 m"},
                ANSWER,
            ],
            "functions": [SCHEMA],
        },
        Read(SAYS, tools=("look",)),
    ),
    _case(
        "LLaMA-Factory's function_call and observation",
        {
            "conversations": [
                {"from": "human", "value": "Q?"},
                {"from": "function_call", "value": '{"name": "look", "arguments": {"x": 1}}'},
                {"from": "observation", "value": "3 m"},
                {"from": "gpt", "value": "Yes."},
            ],
            "tools": json.dumps([SCHEMA]),
        },
        Read(SAYS, tools=("look",)),
    ),
    _case(
        "LLaMA-Factory's v1 tool_call",
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_call", "value": '{"name": "look", "arguments": {"x": 1}}'}],
                },
                {"role": "tool", "content": [{"type": "text", "value": "3 m"}]},
                ANSWER,
            ]
        },
        Read(SAYS),
    ),
    _case(
        "Anthropic's tool_use and tool_result",
        {
            "messages": [
                USER,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "3 m"}]},
                ANSWER,
            ]
        },
        Read(SAYS),
    ),
    _case(
        "Gemini's functionCall",
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Q?"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"x": 1}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"m": 3}}}]},
                {"role": "model", "parts": [{"text": "Yes."}]},
            ]
        },
        Read(("u: Q?", 'A:  [look {"x": 1}]', 't: {"m": 3}', "A: Yes.")),
    ),
    _case(
        "a call with words before it",
        {
            "messages": [
                USER,
                {
                    "role": "assistant",
                    "content": "I look.",
                    "tool_calls": [{"function": {"name": "look", "arguments": {}}}],
                },
                RESULT,
                ANSWER,
            ]
        },
        Read(("u: Q?", "A: I look. [look {}]", "t: 3 m", "A: Yes.")),
    ),
    _case("a call without a name", _called({"arguments": {}}), Refused("a function call without a name")),
    _case("arguments that are no JSON", _called({"name": "look", "arguments": "{x"}), Refused("not valid JSON")),
    _case(
        "xLAM: a query with calls for answers",
        {"query": "Q?", "answers": [{"name": "look", "arguments": {"x": 1}}], "tools": [SCHEMA]},
        Refused("no known shape"),
    ),
    _case(
        "OpenAI's parallel_tool_calls",
        _called({"name": "look", "arguments": {"x": 1}}, parallel_tool_calls=False),
        Read(SAYS),
    ),
)
