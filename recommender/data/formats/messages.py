"""Conversion of turns, as data sets write them, into messages for chat templates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recommender.data.formats.content_parts import Parts, parts_of
from recommender.data.formats.examples import Message, RowProblem
from recommender.data.formats.role_names import role_of
from recommender.data.rows import kind

_KEPT = ("tool_calls", "tool_call_id", "name", "reasoning_content")
_REASONING = ("reasoning_content", "thinking", "reasoning")
_WEIGHTS = ("weight", "loss_weight", "train", "loss")
"""Keys that say whether a turn is trained: OpenAI's, LLaMA-Factory's, Axolotl's and ms-swift's."""
_NO = {"false", "no", "0", "0.0", "off"}
_YES = {"true", "yes", "1", "1.0", "on"}


def messages_of(turns: Sequence[Any]) -> list[Message]:
    """The messages of some turns; call results within a user's turn become turns of their own.

    Raises:
        RowProblem: One is no turn, or holds something else than text.
    """
    return [message for number, turn in enumerate(turns, 1) for message in _messages(turn, number)]


def _messages(turn: Any, number: int) -> list[Message]:
    if not isinstance(turn, Mapping):
        raise RowProblem(f"turn {number} is {kind(turn)}, not an object")
    said = turn.get("role", turn.get("from"))
    if not isinstance(said, str):
        raise RowProblem(f"turn {number} has no role")
    role = role_of(said)
    content = next((turn[key] for key in ("content", "value", "parts") if turn.get(key) is not None), None)
    trained, weighted = _weight(turn, number)
    if role == "function_call":
        return [_called(content, number, trained)]
    parts = parts_of(content, number)
    extra = _extra(turn, parts, number)
    if content is None and not extra.get("tool_calls"):
        raise RowProblem(f"turn {number} has no content")
    results = [_answered(text, call, trained) for text, call in parts.results]
    text = "".join(parts.texts)
    if results and not text and not parts.calls:
        return results
    return [*results, Message(role, text, extra, trained, weighted)]


def _answered(text: str, call: str | None, trained: bool) -> Message:
    return Message("tool", text, {} if call is None else {"tool_call_id": call}, trained)


def _extra(turn: Mapping[str, Any], parts: Parts, number: int) -> dict[str, Any]:
    """The message's fields beside its content that templates read."""
    extra = {key: turn[key] for key in _KEPT if turn.get(key) is not None}
    reasoning = next((turn[key] for key in _REASONING if isinstance(turn.get(key), str)), "".join(parts.reasoning))
    if reasoning or any(isinstance(turn.get(key), str) for key in _REASONING):
        extra["reasoning_content"] = reasoning
    # The older way of OpenAI's has one call, and no list.
    called = extra.get("tool_calls") or turn.get("function_call") or None
    listed = [*(called if isinstance(called, list) else [called] if called else []), *parts.calls]
    extra.pop("tool_calls", None)
    return {**extra, "tool_calls": calls_of(listed, number)} if listed else extra


def _weight(turn: Mapping[str, Any], number: int) -> tuple[bool, bool]:
    """Whether a turn is trained, and whether it has a weight that is neither 0 nor 1.

    Raises:
        RowProblem: Only parts of it are to be trained, or it has a weight that is none.
    """
    if turn.get("train_detail"):
        raise RowProblem(f"turn {number} is to be trained in parts (train_detail), which is not done here")
    trained, weighted = True, False
    for key in _WEIGHTS:
        value = turn.get(key)
        if isinstance(value, str):
            word = value.strip().lower()
            value = False if word in _NO else True if word in _YES else value
        if value is None:
            continue
        if not isinstance(value, bool | int | float):
            raise RowProblem(f"turn {number} has {json.dumps(value, default=str)[:40]} as '{key}', not true or false")
        trained = trained and value != 0
        weighted = weighted or value not in {0, 1}
    return trained, weighted


def _called(content: Any, number: int, trained: bool) -> Message:
    """The calls of ShareGPT's function_call: JSON with name and arguments, or a list of such."""
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            raise RowProblem(f"turn {number} is a function call that is not valid JSON") from None
    calls = content if isinstance(content, list) else [content]
    return Message("assistant", "", {"tool_calls": calls_of(calls, number)}, trained)


def calls_of(calls: Sequence[Any], number: int) -> list[dict[str, Any]]:
    """Calls in the form that templates expect: arguments as an object and not as JSON text.

    Raises:
        RowProblem: One has no name, or arguments that are no JSON.
    """
    found = []
    for call in calls:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not (isinstance(function, Mapping) and isinstance(function.get("name"), str)):
            raise RowProblem(f"turn {number} has a function call without a name")
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments or "{}")
            except (ValueError, RecursionError):
                raise RowProblem(f"turn {number} has a function call whose arguments are not valid JSON") from None
        known = {key: value for key, value in call.items() if key == "id" and value is not None}
        found.append({**known, "type": "function", "function": {"name": function["name"], "arguments": arguments}})
    return found


def tools_of(value: Any, column: str) -> tuple[Any, ...]:
    """Tools as JSON schemas in the form {"type": "function", "function": …}, which templates expect.

    Args:
        value: A list of them, one, or either as JSON text; nothing.
        column: Where they stand.

    Raises:
        RowProblem: They are no descriptions of functions.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value or "[]")
        except (ValueError, RecursionError):
            raise RowProblem(f"column '{column}' is not valid JSON") from None
    if not value:
        return ()
    tools = value if isinstance(value, list) else [value]
    if not all(isinstance(tool, Mapping) for tool in tools):
        raise RowProblem(f"column '{column}' is not a list of function descriptions")
    return tuple(tool if "function" in tool else {"type": "function", "function": dict(tool)} for tool in tools)
