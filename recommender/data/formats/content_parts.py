"""Content in parts: texts, reasoning, function calls and their results, in the formats of several APIs.

OpenAI and Mistral write {"type": "text", "text": …}, LLaMA-Factory's v1 {"type": "text", "value": …}, Anthropic
{"type": "thinking", …} and {"type": "tool_use", …}, Gemini {"text": …} and {"functionCall": …}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from recommender.data.formats.examples import RowProblem
from recommender.data.rows import kind

_TEXT: Final = {"text", "input_text", "output_text", "refusal", ""}
_REASONING: Final = {"reasoning", "thinking", "think", "thought"}
_CALL: Final = {"tool_call", "function_call", "tool_use"}
_RESULT: Final = {"tool_result", "function_response", "tool_response"}
_MEDIA: Final = ("image", "audio", "video", "file", "document", "inlinedata", "filedata", "media", "pdf")
_TEXT_KEYS: Final = ("text", "value", "content", "thinking", "reasoning", "refusal")


@dataclass
class Parts:
    """The content parts of one turn, by kind."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    """Function calls, as they are written."""
    results: list[tuple[str, str | None]] = field(default_factory=list)
    """Results of calls: text, and the call's id."""


def parts_of(content: Any, number: int) -> Parts:
    """The parts of a turn's content.

    Args:
        content: A text, a list of parts, one part, or nothing.
        number: The turn, from 1.

    Raises:
        RowProblem: A part is no text and nothing that text is made of.
    """
    found = Parts()
    if isinstance(content, str):
        found.texts.append(content)
    elif isinstance(content, Mapping):
        _take(content.get("parts", content), found, number)
    elif content is not None and not isinstance(content, list):
        raise RowProblem(f"turn {number} has {kind(content)} for content, not text")
    elif content is not None:
        _take(content, found, number)
    return found


def _take(content: Any, found: Parts, number: int) -> None:
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            found.texts.append(part)
        elif isinstance(part, Mapping):
            _take_part(part, found, number)
        else:
            raise RowProblem(f"turn {number} holds {kind(part)} among its parts, not text")


def _take_part(part: Mapping[str, Any], found: Parts, number: int) -> None:
    said = _type_of(part)
    if said in _TEXT:
        target = found.reasoning if part.get("thought") is True else found.texts
        target.append(_text(part, number, said))
    elif said in _REASONING:
        found.reasoning.append(_text(part, number, said))
    elif said in _CALL:
        found.calls.append(_call(part, number))
    elif said in _RESULT:
        found.results.append(_result(part, number))
    elif any(said.startswith(word) or said.endswith(word) for word in _MEDIA):
        raise RowProblem(f"turn {number} holds a part of type '{said}': this trains on text only")
    else:
        raise RowProblem(
            f"turn {number} holds a part of type '{said}', which is not known: known are text, reasoning, function "
            "calls and their results"
        )


def _type_of(part: Mapping[str, Any]) -> str:
    """The type of a part; Gemini's parts have none, and are told by their key."""
    if "type" in part:
        return str(part["type"]).lower()
    named = {"functionCall": "function_call", "functionResponse": "function_response"}
    media = next((key.lower() for key in part if key.lower() in _MEDIA), "")
    return next((said for key, said in named.items() if key in part), media)


def _text(part: Mapping[str, Any], number: int, said: str) -> str:
    for key in _TEXT_KEYS:
        if isinstance(part.get(key), str):
            return str(part[key])
        if isinstance(part.get(key), list | Mapping):
            return "".join(parts_of(part[key], number).texts)
    raise RowProblem(f"turn {number} holds a part of type '{said or 'unknown'}' without a text")


def _call(part: Mapping[str, Any], number: int) -> Any:
    """A call in the form {"name", "arguments"}, with its id where it has one."""
    held = part.get("functionCall") or part.get("function") or part.get("value") or part
    if isinstance(held, str):
        try:
            held = json.loads(held)
        except (ValueError, RecursionError):
            raise RowProblem(f"turn {number} has a function call that is not valid JSON") from None
    if not isinstance(held, Mapping) or "name" not in held:
        return held
    arguments: Any = next((held[key] for key in ("arguments", "input", "args", "parameters") if key in held), {})
    known = {"id": part["id"]} if isinstance(part.get("id"), str) else {}
    return {**known, "function": {"name": held["name"], "arguments": arguments}}


def _result(part: Mapping[str, Any], number: int) -> tuple[str, str | None]:
    held = next((part[key] for key in ("content", "output", "value", "text") if key in part), None)
    if held is None and isinstance(part.get("functionResponse"), Mapping):
        held = part["functionResponse"].get("response")
    call = next((part[key] for key in ("tool_use_id", "tool_call_id", "id") if isinstance(part.get(key), str)), None)
    if isinstance(held, Mapping) and "type" not in held and "text" not in held:
        return json.dumps(held, ensure_ascii=False), call
    return "".join(parts_of(held, number).texts), call
