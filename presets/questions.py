"""Questions that only the person can answer: raised in any room, answered by settings.

Nothing is assumed in the person's place: on the command line a question ends with exit code 2, each answer as ready
`--set` options (`tui.terminal.errors`); in the wizard it is asked on the screen.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from presets.errors import InputError


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer.

    Attributes:
        set: Settings that give this answer, by their keys in the configuration: `{"data.reasoning": "keep"}`.
        text: What follows from it, in one short sentence.
    """

    set: Mapping[str, Any]
    text: str

    @property
    def said(self) -> str:
        """The settings as they stand in a sentence: `data.reasoning: keep`."""
        return ", ".join(f"{key}: {_value(value)}" for key, value in self.set.items())

    @property
    def assignments(self) -> tuple[str, ...]:
        """The settings as `--set` takes them: `data.reasoning=keep`."""
        return tuple(f"{key}={_value(value)}" for key, value in self.set.items())

    @property
    def options(self) -> str:
        """The settings as options of a command line, quoted for a shell."""
        return " ".join(f"--set {shlex.quote(each)}" for each in self.assignments)


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the person, with all its answers.

    Attributes:
        code: Stable name of the kind of question, for scripts: `reasoning_lost`.
        text: The question in one or two sentences, with the evidence it rests on.
        choices: The answers, the likeliest first.
    """

    code: str
    text: str
    choices: tuple[Choice, ...]

    def document(self) -> dict[str, Any]:
        """The `question` of `--json` (docs/architecture.md, JSON documents)."""
        return {
            "code": self.code,
            "text": self.text,
            "choices": [{"set": dict(choice.set), "text": choice.text} for choice in self.choices],
        }


class QuestionError(InputError):
    """A question that must be answered first, and is not (exit code 2)."""

    def __init__(self, question: Question) -> None:
        super().__init__(question.text, remedy="Answer with one of:", detail=_answers(question.choices))
        self.question = question


def _answers(choices: Sequence[Choice]) -> str:
    return "\n".join(line for choice in choices for line in (choice.options, f"    {choice.text}"))


def _value(value: Any) -> str:
    """A value as `--set` takes it: text bare, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
