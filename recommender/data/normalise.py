"""One row of a known shape to an example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, time
from decimal import Decimal
from typing import Any

from recommender.config.schema import TEMPLATE_ARGUMENTS
from recommender.data.examples import Chat, Example, Message, Pair, RowProblem, Text, marked
from recommender.data.readers.json_rows import kind
from recommender.data.shapes import Shape
from recommender.data.sides import side_named
from recommender.data.turn_forms import spread, transcript
from recommender.data.turn_words import Tags, role_of, turns_in

VARIABLES = "chat_template_kwargs"
"""Column with a row's own values of variables of the chat template."""
_KEPT = ("tool_calls", "tool_call_id", "name", "reasoning_content")
_REASONING = ("reasoning_content", "thinking", "reasoning")


def normalise(row: Mapping[str, Any], shape: Shape) -> Example:
    """The example that a row stands for.

    Raises:
        RowProblem: A column is missing or holds something else than text or turns.
    """
    example = _example(row, shape)
    if row.get(VARIABLES) is None or not isinstance(example, Chat):
        return example
    return replace(example, variables=_variables(row[VARIABLES]))


def _variables(given: Any) -> dict[str, Any]:
    """A row's values of variables of the chat template; a column of a Parquet file has nulls where it has none."""
    value = _listed(given) if isinstance(given, str) else given
    if not isinstance(value, Mapping):
        raise RowProblem(f"column '{VARIABLES}' is {kind(given)}, not an object of names and values")
    if taken := sorted(value.keys() & TEMPLATE_ARGUMENTS):
        raise RowProblem(f"column '{VARIABLES}' sets {taken[0]}, which comes from the row's own turns and tools")
    return {name: held for name, held in value.items() if held is not None}


def _example(row: Mapping[str, Any], shape: Shape) -> Example:
    if shape.flag and marked(row.get(shape.flag)) is not True:
        raise RowProblem(f"is not marked as a good example ('{shape.flag}' is {json.dumps(row.get(shape.flag))[:40]})")
    match shape.name:
        case "preference":
            return _chosen(row, shape)
        case "alpaca":
            return _alpaca(row, shape)
        case "text":
            return Text(_text(row, shape.columns["text"]))
        case "prompt-completion":
            return _pair(row, shape)
        case _:
            column = shape.columns["messages" if shape.name == "messages" else "conversations"]
            return _chat(row, shape, spread(_turns(row, column), shape.form))


def _text(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        raise RowProblem(f"lacks the column '{column}'")
    value = row[column]
    if isinstance(value, str):
        return value
    # Parquet's decimals, dates and times are written as they are printed, like numbers.
    if isinstance(value, int | float | Decimal | date | time) and not isinstance(value, bool):
        return str(value)
    raise RowProblem(f"column '{column}' is {kind(value)}, not text")


def _optional(row: Mapping[str, Any], shape: Shape, role: str) -> str:
    column = shape.columns.get(role)
    return _text(row, column) if column and row.get(column) is not None else ""


def _alpaca(row: Mapping[str, Any], shape: Shape) -> Chat:
    """Instruction and input are joined by a line end, as LLaMA-Factory joins them."""
    instruction = _text(row, shape.columns["instruction"])
    context = _optional(row, shape, "input")
    answer = _text(row, shape.columns["output"])
    turns: list[Message] = []
    if system := _optional(row, shape, "system"):
        turns.append(Message("system", system))
    column = shape.columns.get("history")
    history = (row.get(column) if column else None) or []
    if isinstance(history, str):
        history = _listed(history)
    if not isinstance(history, list | tuple):
        raise RowProblem(f"column '{column}' is {kind(history)}, not a list of pairs of question and answer")
    for past in history:
        if not (isinstance(past, list | tuple) and len(past) == 2 and all(isinstance(side, str) for side in past)):
            raise RowProblem(f"column '{column}' is not a list of pairs of question and answer")
        turns += [Message("user", past[0]), Message("assistant", past[1])]
    question = f"{instruction}\n{context}" if instruction and context else instruction or context
    if not question.strip():
        raise RowProblem(f"asks nothing: '{shape.columns['instruction']}' is empty")
    return Chat((*turns, Message("user", question), Message("assistant", answer)))


def _listed(text: str) -> Any:
    """What a table's cell holds as JSON; the text itself where it is none."""
    try:
        return json.loads(text) if text.strip() else []
    except (ValueError, RecursionError):
        return text


def _pair(row: Mapping[str, Any], shape: Shape) -> Example:
    prompt, completion = shape.columns["prompt"], shape.columns["completion"]
    if isinstance(row.get(completion), list):
        before = [_message(turn, number) for number, turn in enumerate(_turns(row, prompt), 1)]
        after = [_message(turn, number) for number, turn in enumerate(_turns(row, completion), 1)]
        context = [Message(turn.role, turn.content, turn.extra, train=False) for turn in before]
        return Chat((*context, *after), _tools(row, shape))
    return Pair(_text(row, prompt), _text(row, completion))


def _chosen(row: Mapping[str, Any], shape: Shape) -> Chat:
    """The chosen side of a preference pair: what was asked is context, and the answer that was preferred is trained."""
    column = _better(row, shape)
    if row.get(column) is None:
        raise RowProblem(f"lacks the column '{column}'")
    answer = _answer(row[column])
    asked, tools = ([], ()) if answer and answer[0].role in {"user", "system"} else _asked(row, shape)
    if not asked and not any(turn.role == "user" for turn in answer):
        raise RowProblem(f"has an answer in '{column}' and nothing that it answers")
    system = _optional(row, shape, "system")
    if system and (asked or answer)[0].role != "system":
        asked.insert(0, Message("system", system))
    return Chat((*asked, *answer), tools or _tools(row, shape))


def _better(row: Mapping[str, Any], shape: Shape) -> str:
    """The column of the answer that is trained: the chosen one, or the one that the row's verdict names."""
    chosen, verdict = shape.columns["chosen"], shape.columns.get("winner")
    if verdict is None:
        return chosen
    sides = (chosen, shape.columns.get("rejected", chosen))
    place = side_named(row.get(verdict), sides)
    if place is None:
        raise RowProblem(f"names no better side ('{verdict}' is {json.dumps(row.get(verdict), default=str)[:40]})")
    return sides[place]


def _answer(value: Any) -> list[Message]:
    """The turns of an answer: a text, one turn, a list of turns, or a conversation that is written out."""
    if isinstance(value, str) and (told := transcript(value)):
        return [Message(role, said) for role, said in told]
    if isinstance(value, str):
        value = turns_in(value) or value
    if isinstance(value, str):
        return [Message("assistant", value)]
    return [_message(turn, number) for number, turn in enumerate(value if isinstance(value, list) else [value], 1)]


def _asked(row: Mapping[str, Any], shape: Shape) -> tuple[list[Message], tuple[Any, ...]]:
    """What an answer answers, as context, and the tools that stand beside it (OpenAI's `input`)."""
    column = shape.columns.get("prompt")
    value = row.get(column) if column else None
    if column is None or value is None:
        return [], ()
    if isinstance(value, Mapping):
        inner = Shape("messages", {"messages": "messages", "tools": "tools"}, "high", "")
        turns, tools = _turns(value, "messages"), _tools(value, inner)
    elif isinstance(value, str) and not turns_in(value):
        return ([Message("user", value)] if value.strip() else []), ()
    else:
        turns, tools = _turns(row, column), ()
    asked = [_message(turn, number) for number, turn in enumerate(turns, 1)]
    return [Message(turn.role, turn.content, turn.extra, train=False) for turn in asked], tools


def _turns(row: Mapping[str, Any], column: str) -> list[Any]:
    if column not in row:
        raise RowProblem(f"lacks the column '{column}'")
    value = row[column]
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise RowProblem(f"column '{column}' is text, not a list of turns") from None
    if not isinstance(value, list):
        raise RowProblem(f"column '{column}' is {kind(value)}, not a list of turns")
    if not value:
        raise RowProblem(f"column '{column}' has no turn")
    return value


def _chat(row: Mapping[str, Any], shape: Shape, turns: list[Any]) -> Chat:
    messages = [_message(_retagged(turn, shape.tags), number) for number, turn in enumerate(turns, 1)]
    system = _optional(row, shape, "system")
    if system and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    if not any(message.role == "assistant" for message in messages):
        raise RowProblem("has no answer: no turn is the assistant's")
    return Chat(tuple(messages), _tools(row, shape))


def _retagged(turn: Any, tags: Tags | None) -> Any:
    """A turn in the words that are known here, where the file has said what its own mean."""
    if tags is None or not isinstance(turn, Mapping) or tags.role not in turn:
        return turn
    said = turn[tags.role]
    role = dict(tags.speakers).get(said, said) if isinstance(said, str) else said
    rest = {key: value for key, value in turn.items() if key not in {tags.role, tags.content}}
    return {**rest, "role": role, **({"content": turn[tags.content]} if tags.content in turn else {})}


def _message(turn: Any, number: int) -> Message:
    if not isinstance(turn, Mapping):
        raise RowProblem(f"turn {number} is {kind(turn)}, not an object")
    said = turn.get("role", turn.get("from"))
    if not isinstance(said, str):
        raise RowProblem(f"turn {number} does not say whose it is (no role)")
    role = role_of(said)
    content = turn["content"] if "content" in turn else turn.get("value")
    if role == "function_call":
        return _called(content, number)
    extra = {key: turn[key] for key in _KEPT if turn.get(key) is not None}
    if (reasoning := next((turn[key] for key in _REASONING if isinstance(turn.get(key), str)), None)) is not None:
        extra["reasoning_content"] = reasoning
    if "tool_calls" in extra:
        extra["tool_calls"] = _calls(extra["tool_calls"], number)
    if content is None and not extra.get("tool_calls"):
        raise RowProblem(f"turn {number} has no content")
    # OpenAI's weight 0, and Axolotl's train false, keep an answer as context only.
    trained = turn.get("weight") != 0 and turn.get("train") is not False
    return Message(role, _content(content, number), extra, trained)


def _content(content: Any, number: int) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RowProblem(f"turn {number} has {kind(content)} for content, not text")
    parts = []
    for part in content:
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str):
            what = part.get("type", "unknown") if isinstance(part, Mapping) else kind(part)
            raise RowProblem(f"turn {number} holds a part of type '{what}': this trains on text only")
        parts.append(text)
    return "".join(parts)


def _called(content: Any, number: int) -> Message:
    """ShareGPT's function_call: JSON with name and arguments, or a list of such."""
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            raise RowProblem(f"turn {number} is a function call that is not valid JSON") from None
    calls = content if isinstance(content, list) else [content]
    return Message("assistant", "", {"tool_calls": _calls(calls, number)})


def _calls(calls: Any, number: int) -> list[dict[str, Any]]:
    """Calls as templates expect them: arguments as an object and not as JSON text."""
    found = []
    for call in calls if isinstance(calls, list) else [calls]:
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


def _tools(row: Mapping[str, Any], shape: Shape) -> tuple[Any, ...]:
    """Tools as JSON schemas in the form {"type": "function", "function": …}, which templates expect."""
    column = shape.columns.get("tools")
    value = row.get(column) if column else None
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
