"""The turn keys and role names of a file: its own words for who speaks.

`data.columns` takes them beside columns: `role` and `content` with the keys of a turn, and a speaker with the file's
word for it, or with several words and commas between them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SPEAKERS = ("user", "assistant", "system", "tool", "function_call")
"""The roles of a conversation."""
TURN_KEYS = ("role", "content")
"""The standard keys of a turn: role and content."""
MOST_WORDS = 12
"""A key with more distinct texts does not say who speaks."""
_LONGEST_WORD = 40
_KNOWN_KEYS = (("role", "content"), ("from", "value"))
_DIALECT = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
    "developer": "system",
    "function_call": "function_call",
    "tool_call": "function_call",
    "observation": "tool",
    "tool": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "function": "tool",
    "ipython": "tool",
}
"""Role names of ShareGPT and similar data sets, to the roles of chat templates."""


@dataclass(frozen=True, slots=True)
class RoleMapping:
    """The turn keys and role names of a file, given by the file itself (LLaMA-Factory's tags) or by the person."""

    role: str
    """Key of a turn that says who speaks."""
    content: str
    """Key of what is said."""
    speakers: tuple[tuple[str, str], ...] = ()
    """The file's word for a speaker, and the role that it stands for."""


@dataclass(frozen=True, slots=True)
class RoleNames:
    """The turn keys and role names seen in one column of the first rows, for the person to choose from."""

    column: str
    keys: tuple[str, ...]
    """Keys of a turn, in the order of their first appearance."""
    words: tuple[tuple[str, tuple[str, ...]], ...]
    """Keys whose texts may say who speaks, each with these texts."""

    def usual(self) -> tuple[str, str]:
        """The likeliest keys of role and content, by their names."""
        for pair in _KNOWN_KEYS:
            if set(pair) <= set(self.keys):
                return pair
        known = [key for key, words in self.words if any(word.lower() in _DIALECT for word in words)]
        role = next((key for key in (*known, *(key for key, _ in self.words))), self.keys[0])
        return role, next((key for key in self.keys if key != role), role)


def role_of(word: str) -> str:
    """The standard role of a file's role name; an unknown name stands for itself."""
    return _DIALECT.get(word.lower(), word)


def role_names_in(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> tuple[RoleNames, ...]:
    """The turn keys and role names of each column that holds turns."""
    return tuple(
        _words_of(column, turns)
        for column in columns
        if (turns := [turn for row in rows for turn in turns_in(row.get(column)) if isinstance(turn, Mapping) and turn])
    )


def _words_of(column: str, turns: Sequence[Mapping[str, Any]]) -> RoleNames:
    keys = tuple(dict.fromkeys(str(key) for turn in turns for key in turn))
    words = []
    for key in keys:
        said = dict.fromkeys(turn.get(key) for turn in turns if isinstance(turn.get(key), str))
        found = tuple(text for text in said if text and len(text) <= _LONGEST_WORD)
        if len(found) == len(said) and 0 < len(found) <= MOST_WORDS:
            words.append((key, found))
    return RoleNames(column, keys, tuple(words))


def turns_in(value: Any) -> list[Any]:
    """The turns of a value: a list, also as JSON text in a table's cell; empty for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []


def split_columns(
    given: Mapping[str, str], columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, str], RoleMapping | None]:
    """Split `data.columns` into column roles and the mapping of turns; 'system' is a column where one has that name."""
    words = {role: word for role, word in given.items() if role in (*SPEAKERS, *TURN_KEYS)}
    if words.get("system") in columns:
        del words["system"]
    if not words.keys() - {"system"}:
        return dict(given), None
    usual = next((held.usual() for held in role_names_in(rows, columns)), TURN_KEYS)
    speakers = tuple((word, role) for role in words if role in SPEAKERS for word in _several(words[role]))
    role_mapping = RoleMapping(words.get("role", usual[0]), words.get("content", usual[1]), speakers)
    return {role: column for role, column in given.items() if role not in words}, role_mapping


def _several(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def as_columns(role_mapping: RoleMapping) -> dict[str, str]:
    """The mapping in the form that `data.columns` takes."""
    spoken: dict[str, list[str]] = {}
    for word, role in role_mapping.speakers:
        spoken.setdefault(role, []).append(word)
    return {"role": role_mapping.role, "content": role_mapping.content} | {
        role: ", ".join(words) for role, words in spoken.items()
    }
