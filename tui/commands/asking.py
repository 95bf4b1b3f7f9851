"""Questions that are answered on a terminal: the same line again, with the answer's settings on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from presets.errors import InputError
from presets.questions import QuestionError
from tui.terminal.sanitize import clean_text

if TYPE_CHECKING:
    from presets.questions import Choice, Question

SET: Final = "--set"


def answering(arguments: Sequence[str], run: Callable[[Sequence[str]], int]) -> int:
    """Run a line; on a terminal what it asks is asked there, and the line runs again with the answer.

    Args:
        arguments: The command's name and what follows, as they were given.
        run: Runs such a line and returns its exit code.

    Returns:
        The last line's exit code.

    Raises:
        QuestionError: Nobody is there to answer.
        InputError: The person leaves it open.
    """
    line = list(arguments)
    while True:
        try:
            return run(line)
        except QuestionError as error:
            if not _somebody_is_there(line):
                raise
            line = with_answer(line, _ask(error.question))


def with_answer(arguments: Sequence[str], choice: Choice) -> list[str]:
    """The line with an answer's settings in the place of what it sets the same keys to."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept: list[str] = []
    items = iter(arguments[:end])
    for item in items:
        option, joined, value = item.partition("=")
        if option != SET:
            kept.append(item)
            continue
        value = value if joined else next(items, "")
        if value.partition("=")[0].strip() not in choice.set:
            kept += [SET, value]
    answer = [part for assignment in choice.assignments for part in (SET, assignment)]
    return [*kept, *answer, *arguments[end:]]


def _somebody_is_there(arguments: Sequence[str]) -> bool:
    """Whether a person reads the question and can type; a program asks with --json, or has no terminal."""
    return "--json" not in arguments and sys.stdin.isatty() and sys.stdout.isatty()


def _ask(question: Question) -> Choice:
    """Ask with numbered answers.

    Raises:
        InputError: The person leaves it open.
    """
    _say(f"question: {question.text}\n")
    for number, choice in enumerate(question.choices, 1):
        _say(f"  {number}  {choice.text}\n     {choice.options}\n")
    last = len(question.choices)
    while typed := _typed(f"Which one ({'1' if last == 1 else f'1 to {last}'}; enter alone leaves it open)?"):
        if typed.isdecimal() and 1 <= int(typed) <= last:
            chosen = question.choices[int(typed) - 1]
            _say(f"goes on with {chosen.options} (given on the command line, it is not asked)\n")
            return chosen
        _say(f"'{typed}' is none of these numbers.\n")
    raise InputError("The question is left open: nothing was started.", remedy="Each answer is an option above.")


def _typed(prompt: str) -> str:
    """A line that a person types, '' for none."""
    _say(f"{prompt}\n> ")
    line = sys.stdin.readline()
    if not line:
        _say("\n")
    return line.strip()


def _say(text: str) -> None:
    """Write to the person's terminal; to stderr if that is one too, so that stdout stays the answer's own."""
    stream = sys.stderr if sys.stderr.isatty() else sys.stdout
    stream.write(f"{clean_text(text)} " if text.endswith(" ") else clean_text(text))
    stream.flush()
