"""Column roles by name: the role of each column in a format, and the likeliest question and answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ROLES = {
    "alpaca": ("instruction", "input", "output", "history", "system"),
    "sharegpt": ("conversations", "group", "system", "tools"),
    "messages": ("messages", "group", "system", "tools"),
    "prompt-completion": ("prompt", "completion", "system", "tools"),
    "preference": ("prompt", "chosen", "rejected", "winner", "system", "tools"),
    "kto": ("label",),
    "text": ("text",),
}
"""Roles of each shape, the names that `data.columns` takes.

Preference and kto are only taken when the person says so, and so are conversations that are put together from rows
with a message each (group)."""
REQUIRED = {
    "alpaca": ("instruction", "output"),
    "sharegpt": ("conversations",),
    "messages": ("messages",),
    "prompt-completion": ("prompt", "completion"),
    "preference": ("chosen",),
    "kto": ("label",),
    "text": ("text",),
}
TOLD = frozenset({"group", "rejected", "winner"})
"""Roles that a column has only where the person says so."""
_ALIASES = {
    "system": ("system", "systemprompt", "systemmessage", "systeminstruction", "systeminstructions", "sysprompt"),
    "tools": ("tools", "functions"),
}
"""Other names of a role, without case and without what stands between words."""
_ASKS = ("question", "instruction", "prompt", "query", "input", "user", "human", "problem", "ask", "asked", "q",
         "source", "frage", "aufgabe", "eingabe", "pregunta", "domanda", "pergunta", "вопрос", "问题", "提问", "指令",
         "質問", "질문")  # fmt: skip
_ANSWERS = ("answer", "output", "response", "completion", "assistant", "reply", "said", "solution", "target", "bot",
            "a", "antwort", "ausgabe", "loesung", "lösung", "respuesta", "risposta", "resposta", "réponse", "reponse",
            "ответ", "答案", "回答", "输出", "答え", "답변")  # fmt: skip


def plain_name(column: str) -> str:
    """A column's name in lower case, without separators."""
    return re.sub(r"[\W_]+", "", column.lower())


def column_of(role: str, columns: Iterable[str]) -> str | None:
    """The column whose name fits a role; None where there is none."""
    there = list(columns)
    if role in there:
        return role
    return next((name for alias in _ALIASES.get(role, ()) for name in there if plain_name(name) == alias), None)


def roles_by_name(shape: str, columns: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """The roles of a shape whose columns are named as they are.

    Args:
        shape: Its name.
        columns: Every column.
        taken: Columns that have a role already.
    """
    free = [column for column in columns if column not in set(taken)]
    found = {role: column_of(role, free) for role in ROLES[shape] if role not in TOLD}
    return {role: column for role, column in found.items() if column is not None}


def likely_pairs(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[tuple[str, str]]:
    """Columns of text that may be question and answer, the likeliest pair first: by their names, then by their lengths.

    Args:
        rows: The first rows.
        columns: Every column.
    """
    texts = text_columns(rows, columns)
    pairs = [(ask, answer) for ask in texts for answer in texts if ask != answer]
    place = {column: number for number, column in enumerate(texts)}
    return sorted(pairs, key=lambda pair: (-_named(pair), place[pair[0]], place[pair[1]]))


def text_columns(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Columns that hold sentences: texts, of which some have a blank or are long, and that differ between rows."""
    found = []
    for column in columns:
        held = [value for row in rows if isinstance(value := row.get(column), str) and value.strip()]
        several = len(set(held)) > 1 or len(rows) == 1
        if held and several and (any(" " in value.strip() or len(value) > 24 for value in held) or _words(column)):
            found.append(column)
    return found


def _words(column: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", column.lower())) & {*_ASKS, *_ANSWERS}


def _named(pair: tuple[str, str]) -> int:
    """Number of the two columns whose names fit their role."""
    ask, answer = (_words(column) for column in pair)
    return bool(ask & set(_ASKS)) + bool(answer & set(_ANSWERS))
