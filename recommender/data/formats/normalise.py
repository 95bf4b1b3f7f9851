"""Conversion of a row of a known format into an example."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, time
from decimal import Decimal
from typing import Any

from recommender.config.schema import TEMPLATE_ARGUMENTS
from recommender.data.formats.content_parts import parts_of
from recommender.data.formats.conversation_forms import spread, transcript
from recommender.data.formats.examples import Chat, Example, Message, Pair, RowProblem, Text, marked
from recommender.data.formats.messages import messages_of, tools_of
from recommender.data.formats.rated_answers import side_named
from recommender.data.formats.role_names import RoleMapping, turns_in
from recommender.data.formats.shape import VARIABLES, Shape
from recommender.data.rows import kind


def normalise(row: Mapping[str, Any], shape: Shape) -> Example:
    """The example of a row.

    Raises:
        RowProblem: A column is missing or holds something else than text or turns.
    """
    example = _example(row, shape)
    if row.get(VARIABLES) is None or not isinstance(example, Chat):
        return example
    return replace(example, variables=_variables(row[VARIABLES]))


def _variables(given: Any) -> dict[str, Any]:
    """A row's own chat template variables; nulls, which a Parquet column has where a row sets none, are left out."""
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


def _system(row: Mapping[str, Any], shape: Shape) -> str:
    """The system message of a row: a text, or parts as in turns."""
    column = shape.columns.get("system")
    value = row.get(column) if column else None
    return "".join(parts_of(value, 0).texts) if isinstance(value, list | Mapping) else _optional(row, shape, "system")


def _tools(row: Mapping[str, Any], shape: Shape) -> tuple[Any, ...]:
    column = shape.columns.get("tools")
    return tools_of(row.get(column), column) if column else ()


def _alpaca(row: Mapping[str, Any], shape: Shape) -> Chat:
    """The messages of an Alpaca row: instruction and input are joined by a line end, as LLaMA-Factory joins them."""
    instruction = _text(row, shape.columns["instruction"])
    context = _optional(row, shape, "input")
    answer = _text(row, shape.columns["output"])
    turns: list[Message] = []
    if system := _system(row, shape):
        turns.append(Message("system", system))
    column = shape.columns.get("history")
    history = (row.get(column) if column else None) or []
    if isinstance(history, str):
        history = _listed(history)
    if not isinstance(history, list | tuple):
        raise RowProblem(f"column '{column}' is {kind(history)}, not a list of pairs of question and answer")
    turns += _past(history, column or "")
    question = f"{instruction}\n{context}" if instruction and context else instruction or context
    if not question.strip():
        raise RowProblem(f"has no question: '{shape.columns['instruction']}' is empty")
    return Chat((*turns, Message("user", question), Message("assistant", answer)))


def _past(history: Sequence[Any], column: str) -> list[Message]:
    """The turns of a history: pairs of question and answer, or turns with a role."""
    if history and all(isinstance(past, Mapping) for past in history):
        return messages_of(history)
    turns: list[Message] = []
    for past in history:
        if not (isinstance(past, list | tuple) and len(past) == 2 and all(isinstance(side, str) for side in past)):
            raise RowProblem(f"column '{column}' is not a list of pairs of question and answer")
        turns += [Message("user", past[0]), Message("assistant", past[1])]
    return turns


def _listed(text: str) -> Any:
    """The JSON value of a table's cell; the text itself where it is none."""
    try:
        return json.loads(text) if text.strip() else []
    except (ValueError, RecursionError):
        return text


def _pair(row: Mapping[str, Any], shape: Shape) -> Example:
    """A prompt with its completion as they are; a conversation where one of them holds turns."""
    prompt, completion = shape.columns["prompt"], shape.columns["completion"]
    if not any(isinstance(held, list | Mapping) or _is_listed(held) for held in (row.get(prompt), row.get(completion))):
        return Pair(_text(row, prompt), _text(row, completion))
    if row.get(completion) is None:
        raise RowProblem(f"lacks the column '{completion}'")
    asked, tools = _asked(row, prompt)
    return _with_context(row, shape, asked, _answer(row[completion]), tools)


def _is_listed(value: Any) -> bool:
    """Whether a cell of a table holds turns, written as JSON."""
    turns = turns_in(value)
    return bool(turns) and all(isinstance(turn, Mapping) for turn in turns)


def _with_context(
    row: Mapping[str, Any], shape: Shape, asked: list[Message], answer: list[Message], tools: tuple[Any, ...] = ()
) -> Chat:
    """The question as context and its answer, behind the row's system message where it has one."""
    system = _system(row, shape)
    if system and (asked or answer)[0].role != "system":
        asked = [Message("system", system), *asked]
    return Chat((*asked, *answer), tools or _tools(row, shape))


def _chosen(row: Mapping[str, Any], shape: Shape) -> Chat:
    """The chosen side of a preference pair: the question is context, the preferred answer is trained."""
    column = _better(row, shape)
    if row.get(column) is None:
        raise RowProblem(f"lacks the column '{column}'")
    answer = _answer(row[column])
    asked, tools = (
        ([], ()) if answer and answer[0].role in {"user", "system"} else _asked(row, shape.columns.get("prompt"))
    )
    if not asked and not any(turn.role == "user" for turn in answer):
        raise RowProblem(f"has an answer in '{column}' and no question")
    return _with_context(row, shape, asked, answer, tools)


def _better(row: Mapping[str, Any], shape: Shape) -> str:
    """The column of the trained answer: the chosen one, or the one that the row's verdict names."""
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
    return messages_of(value if isinstance(value, list) else [value])


def _asked(row: Mapping[str, Any], column: str | None) -> tuple[list[Message], tuple[Any, ...]]:
    """The question as context, and the tools that stand beside it (OpenAI's `input`)."""
    value = row.get(column) if column else None
    if column is None or value is None:
        return [], ()
    if isinstance(value, Mapping):
        turns, tools = _turns(value, "messages"), tools_of(value.get("tools"), "tools")
    elif isinstance(value, str) and not turns_in(value):
        return ([Message("user", value)] if value.strip() else []), ()
    else:
        turns, tools = _turns(row, column), ()
    return [replace(turn, train=False) for turn in messages_of(turns)], tools


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
    messages = messages_of([_retagged(turn, shape.role_mapping) for turn in turns])
    system = _system(row, shape)
    if system and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    if not any(message.role == "assistant" for message in messages):
        speakers = ", ".join(f"'{role}'" for role in dict.fromkeys(message.role for message in messages))
        raise RowProblem(f"has no answer: no turn is the assistant's, they are of {speakers}")
    return Chat(tuple(messages), _tools(row, shape))


def _retagged(turn: Any, role_mapping: RoleMapping | None) -> Any:
    """A turn with standard keys and role names, by the file's role mapping."""
    if role_mapping is None or not isinstance(turn, Mapping) or role_mapping.role not in turn:
        return turn
    said = turn[role_mapping.role]
    role = dict(role_mapping.speakers).get(said, said) if isinstance(said, str) else said
    rest = {key: value for key, value in turn.items() if key not in {role_mapping.role, role_mapping.content}}
    return {**rest, "role": role, **({"content": turn[role_mapping.content]} if role_mapping.content in turn else {})}
