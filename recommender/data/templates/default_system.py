"""The system prompt that a chat template adds by itself: it is trained with every row that has none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from recommender.data.dataset import DataSet
from recommender.data.formats.examples import Chat, Message, RowProblem
from recommender.data.sources.readers.base import excerpt
from recommender.data.tokens.answer_spans import TurnFinder
from recommender.warning import CodedWarning, warning

_QUESTION = "Qzxj"
"""A question that no template writes."""
_LOOKED_AT = 64
"""Rows that are looked through for one without a system message."""
_SHOWN = 80
_WORDS = 4
"""Words from which what stands before the first question is a prompt and not the names of roles."""
_MARKS = re.compile(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,20}\]|<<?/?SYS>>?|#{2,}")
_ROLE = re.compile(r"^(system|developer)\b[\s:]*|[\s:]*\b(user|human|instruction)\b[\s:]*$", re.IGNORECASE)


def own_system(turns: TurnFinder) -> str:
    """Return the prompt that the template writes before a conversation without one; empty where it writes none."""
    try:
        text = turns.prompt(Chat((Message("user", _QUESTION),)))
    except RowProblem:
        return ""
    before, asked, _ = text.partition(_QUESTION)
    said = _MARKS.sub(" ", before).strip()
    said = _ROLE.sub("", _ROLE.sub("", said)).strip()
    return " ".join(said.split()) if asked and len(re.findall(r"[^\W\d_]{2,}", said)) >= _WORDS else ""


def own_system_told(dataset: DataSet, turns: TurnFinder) -> Iterator[CodedWarning]:
    """Yield a warning about that prompt where rows get it."""
    lacking = next((row for row in islice(range(len(dataset)), _LOOKED_AT) if _lacks(dataset, row)), None)
    if lacking is None or not (said := own_system(turns)):
        return
    file, line = dataset.where(lacking)
    yield warning(
        "own_system_prompt",
        "The chat template writes a system prompt of its own into rows that have none (the first, "
        f"{Path(file).name} line {line}): '{excerpt(said, _SHOWN)}'.",
        "Ask the tuned model with the same, or give the rows one of yours.",
    )


def _lacks(dataset: DataSet, row: int) -> bool:
    example = dataset.example(row)
    return isinstance(example, Chat) and all(turn.role not in ("system", "developer") for turn in example.messages)
