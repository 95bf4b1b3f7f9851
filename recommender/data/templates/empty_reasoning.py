"""Reasoning that holds nothing, which a chat template writes in front of answers that have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from recommender.data.formats.examples import Message
from recommender.data.templates.habits import Habits
from recommender.data.templates.reasoning import reasoning_of, split_inline

Span = tuple[int, int]
ASKED_NOT_TO: Final = ("/no_think", "/nothink")
"""Words of a question that ask Qwen 3, SmolLM3 and GLM 4.5 for an answer without reasoning."""


def begins_empty(habits: Habits, text: str, span: Span, turn: Message) -> bool:
    """Return whether an empty reasoning block that the turn does not have is trained, whole or from inside it.

    Not where every prompt of the template brings the block: then the model is always asked to answer at once.

    Args:
        habits: What the template does.
        text: The conversation.
        span: What is trained of the answer.
        turn: The answer as it is given.
    """
    if habits.asks_closed or has_own(habits, turn):
        return False
    trained = text[span[0] : span[1]].lstrip()
    # The opening tag may stand in the prompt, or nowhere (GLM 4.7).
    return any(trained.removeprefix(opening).lstrip().startswith(closing) for opening, closing in habits.reasoning_tags)


def has_own(habits: Habits, turn: Message) -> bool:
    """Return whether an answer has reasoning, or a tag of it in front, by itself."""
    tags = tuple(tag for pair in habits.reasoning_tags for tag in pair)
    return bool(split_inline(turn.content) or reasoning_of(turn).strip()) or turn.content.lstrip().startswith(tags)


def asked_not_to(messages: Sequence[Message]) -> bool:
    """Return whether a question or the system message asks for answers without reasoning."""
    return any(word in turn.content for turn in messages if turn.role in {"user", "system"} for word in ASKED_NOT_TO)
