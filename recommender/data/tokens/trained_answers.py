"""Choice of the answers that are trained: all, the last, or each in a row of its own (`data.answers`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from recommender.data.formats.examples import Chat, Example, Message

Answers = Literal["all", "last", "each"]


def rows_of(example: Example, answers: Answers) -> list[Example]:
    """The training rows of an example: one, unless each answer of a conversation has a row of its own.

    A row of one answer ends with it: a template then writes it as it writes the last, with all its reasoning, which is
    how the model is asked for it. Earlier answers are its context.
    """
    if not isinstance(example, Chat) or answers == "all":
        return [example]
    trained = _trained(example)
    if not trained:
        return [example]
    if answers == "last":
        last = trained[-1]
        turns = [turn if place == last else _context(turn) for place, turn in enumerate(example.messages)]
        return [replace(example, messages=tuple(turns))]
    return [_upto(example, place) for place in trained]


def _upto(chat: Chat, place: int) -> Chat:
    return replace(chat, messages=(*map(_context, chat.messages[:place]), chat.messages[place]))


def _trained(chat: Chat) -> Sequence[int]:
    return [
        place for place, turn in enumerate(chat.messages) if turn.role == "assistant" and turn.train and not turn.empty
    ]


def _context(turn: Message) -> Message:
    return replace(turn, train=False) if turn.role == "assistant" and turn.train else turn
