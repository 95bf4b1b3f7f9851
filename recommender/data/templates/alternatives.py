"""Settings under which a template trains rows differently, each tried on the rows before it is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from presets.errors import InputError
from presets.questions import Choice
from recommender.config.schema import Data
from recommender.data.formats.examples import Chat, RowProblem
from recommender.data.templates.choose import ChatTemplate
from recommender.data.templates.habits import Habits
from recommender.data.templates.render import TemplateProblem, variables_of
from recommender.data.templates.trl import PREFIX, originals, training_template
from recommender.data.tokens.answer_spans import RenderedChat, TurnFinder
from recommender.data.tokens.trained_answers import Answers, rows_of

TRIED = 32
"""Rows that each way is tried on."""
_SWITCH = re.compile(r"think|reason")
"""Variables of templates that have to do with reasoning: enable_thinking, clear_thinking, reasoning_effort …"""

Holds = Callable[[RenderedChat], bool]


class Way(NamedTuple):
    """A change of settings, and a finder that works by them."""

    choice: Choice
    finder: TurnFinder
    answers: Answers


def ways(turns: TurnFinder, data: Data, chats: Sequence[Chat], holds: Holds) -> Iterator[Choice]:
    """Give the changes under which all of these rows can be read and `holds` is true of each; the likeliest first.

    Args:
        turns: How rows are read now.
        data: The settings now.
        chats: Rows that are tried, TRIED of them at most.
        holds: What is wanted of each row.
    """
    tried = chats[:TRIED]
    given: list[Choice] = []
    for way in _candidates(turns, data, tried) if tried else ():
        # More settings than one that is enough are no further answer.
        if not any(choice.set.items() <= way.choice.set.items() for choice in given) and _works(way, tried, holds):
            given.append(way.choice)
            yield way.choice


def _works(way: Way, chats: Sequence[Chat], holds: Holds) -> bool:
    try:
        rows = [row for chat in chats for row in rows_of(chat, way.answers)]
        return all(holds(way.finder.render(row)) for row in rows if isinstance(row, Chat))
    except RowProblem:
        return False


def _candidates(turns: TurnFinder, data: Data, chats: Sequence[Chat]) -> Iterator[Way]:
    def changed(
        changes: Mapping[str, Any], text: str, template: ChatTemplate | None = None, answers: Answers = data.answers
    ) -> Way:
        variables = changes.get("data.chat_template_kwargs", turns.variables)
        reasoning = changes.get("data.reasoning", turns.reasoning)
        finder = TurnFinder(template or turns.template, turns.vocabulary, variables, reasoning)
        return Way(Choice(changes, text), finder, answers)

    for name in _twins(turns, chats):
        template = ChatTemplate(PREFIX + name, training_template(name))
        yield changed({"data.template": PREFIX + name}, "TRL's training template of this family.", template)
    switched = [
        ({"data.chat_template_kwargs": {**data.chat_template_kwargs, switch: value}}, switch)
        for switch, value in _switches(turns)
    ]
    for settings, switch in switched:
        yield changed(settings, f"The chat template's own switch {switch}.")
    if data.answers == "all":
        text = "A row for each answer, in which it stands last; earlier answers are its context."
        yield changed({"data.answers": "each"}, text, answers="each")
        for settings, switch in switched:
            both = {**settings, "data.answers": "each"}
            yield changed(both, f"The chat template's own switch {switch}, and a row for each answer.", answers="each")
    yield from (changed(*settings) for settings in _arrangements(turns, data))


def _arrangements(turns: TurnFinder, data: Data) -> Iterator[tuple[dict[str, Any], str, None, Answers]]:
    """Other settings of `data.reasoning` and `data.answers`, with their effects."""
    key = turns.habits.reasoning_key
    moved = f"Reasoning is given to the template as {key}, not in the text."
    if key and turns.reasoning == "auto":
        yield {"data.reasoning": "split"}, moved, None, data.answers
        if data.answers == "all":
            both = {"data.reasoning": "split", "data.answers": "each"}
            yield both, f"{moved} Each answer has a row in which it stands last.", None, "each"
    if turns.reasoning in {"auto", "split"}:
        yield (
            {"data.reasoning": "keep"},
            "Reasoning is written into each answer as the rows have it.",
            None,
            data.answers,
        )


def _twins(turns: TurnFinder, chats: Sequence[Chat]) -> Iterator[str]:
    """Training templates of TRL whose original writes these rows as the template in use does."""
    if turns.template.name.startswith(PREFIX):
        return
    known = {name: source for name, source in originals().items() if _likely(source, turns)}
    same = [name for name, source in known.items() if source.strip() == turns.template.source.strip()]
    yield from same or [name for name, source in known.items() if _writes_alike(source, turns, chats)]


def _likely(source: str, turns: TurnFinder) -> bool:
    """Whether a template names the tokens that end answers under the present one; most are excluded by that."""
    return all(token in source or token in turns.habits.stops for token in turns.end_of_turn)


def _writes_alike(source: str, turns: TurnFinder, chats: Sequence[Chat]) -> bool:
    try:
        habits = Habits(ChatTemplate("model", source), turns.vocabulary, turns.variables)
        same = habits.reasoning_key == turns.habits.reasoning_key and habits.prompt_header == turns.habits.prompt_header
        return same and all(_as_written(habits, turns, chat) == turns.render(chat).text for chat in chats)
    except (RowProblem, TemplateProblem, InputError):
        return False


def _as_written(habits: Habits, turns: TurnFinder, chat: Chat) -> str:
    given = [habits.given(turn.for_template()) for turn in turns.given(chat)]
    return habits.plain.render(given, tools=chat.tools, variables=chat.variables)


def _switches(turns: TurnFinder) -> Iterator[tuple[str, bool]]:
    """Variables that the template reads and nothing sets, with the values they may take."""
    sources = (turns.template.source, turns.template.with_tools)
    names = {name for source in sources if source for name in variables_of(source) if _SWITCH.search(name)}
    for name in sorted(names):
        for value in (True, False):
            if turns.variables.get(name) is not value:
                yield name, value
