"""Unrequested effects of a chat template on answers, as questions or warnings with the ways that help."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from presets.questions import Choice, Question, QuestionError
from recommender.config.schema import Data
from recommender.data.dataset import DataSet
from recommender.data.formats.examples import Chat, Example, RowProblem, of_template
from recommender.data.formats.normalise import normalise
from recommender.data.open_file import OpenFile
from recommender.data.profile.flags import FlagCounts, RowFlag
from recommender.data.profile.profile import DataProfile
from recommender.data.rows import BadRow
from recommender.data.sources.readers import Raw
from recommender.data.sources.readers.base import excerpt
from recommender.data.templates.alternatives import TRIED, ways
from recommender.data.templates.default_system import own_system_told
from recommender.data.templates.habits import shared_length
from recommender.data.templates.lost_answers import NOTHING, Lost
from recommender.data.templates.reasoning import reasoning_of
from recommender.data.tokens.answer_spans import RenderedChat, TurnFinder
from recommender.data.tokens.tokenise import Tokeniser
from recommender.units import counted, percent
from recommender.warning import CodedWarning, warning

_NAMED = 2
"""Ways that a warning names."""
MIXED = 0.05
"""Share of rows with reasoning from which data is taken for a mixture of answers with and without it, as is usual."""
_SHOWN = 32
"""Characters of a prompt or an answer that are shown."""


def settle(dataset: DataSet, found: FlagCounts, data: Data, tokeniser: Tokeniser | None) -> DataSet:
    """The same data set, with warnings of what its template does to answers.

    Args:
        dataset: Rows as they were read.
        found: Counts over them.
        data: How they were read.
        tokeniser: By what; None where lengths are estimated.

    Raises:
        QuestionError: Reasoning that the rows give would not be trained, and nobody has said what is to be done.
    """
    if tokeniser is None or not found.chats:
        return dataset
    turns = tokeniser.turns
    if found.lost_reasoning:
        _ask(dataset, found, data, turns)
    found_warnings = [*_text_lost(dataset, found, data, turns), *_inline(dataset, found, data, turns)]
    found_warnings += [*_unasked(dataset, found, data, turns), *_unended(dataset, found, data, turns)]
    found_warnings += _empty_reasoning(dataset, found, data, turns)
    found_warnings += own_system_told(dataset, turns)
    stops = tuple(
        replace(stop, remedy=f"{stop.remedy}{_for_refused(dataset, data, turns)}") for stop in dataset.profile.stops[:1]
    )
    dataset.profile = replace(
        dataset.profile,
        warnings=(*dataset.profile.warnings, *found_warnings),
        stops=(*stops, *dataset.profile.stops[1:]),
    )
    if dataset.profile.ending_template:
        dataset.profile = _with_ending(dataset, data, turns)
    return dataset


def _with_ending(dataset: DataSet, data: Data, turns: TurnFinder) -> DataProfile:
    """The profile, which names TRL's training template where that ends each answer and the one in use does not."""
    profile = dataset.profile
    choices = ways(turns, data, _flagged(dataset, RowFlag.UNENDED), lambda row: row.ended == row.answers)
    better = next((choice.set["data.template"] for choice in choices if "data.template" in choice.set), "")
    if not better:
        return profile
    said, instead = (f"data.template: {name}" for name in (profile.ending_template, better))
    stops = tuple(replace(stop, remedy=stop.remedy.replace(said, instead)) for stop in profile.stops)
    return replace(profile, stops=stops, ending_template=better)


def refused_remedy(files: Sequence[OpenFile], bad: Sequence[BadRow], data: Data, tokeniser: Tokeniser | None) -> str:
    """The settings that let the template take the rows it refused, tried on them; empty where none is known."""
    if tokeniser is None:
        return ""
    return " or ".join(
        choice.options for choice in islice(_ways_for_refused(files, bad, data, tokeniser.turns), _NAMED)
    )


def _ask(dataset: DataSet, found: FlagCounts, data: Data, turns: TurnFinder) -> None:
    chats = _flagged(dataset, RowFlag.REASONING_LOST)
    file, line = dataset.where(_first(dataset, RowFlag.REASONING_LOST))
    share = percent(found.lost_reasoning / max(1, found.given_characters))
    reasoning = next(filter(None, map(reasoning_of, chats[0].messages)), "")
    text = (
        f"The chat template leaves out reasoning of the answers: {share} of what they say would not be trained "
        f"({found.reasoning_lost} of {counted(found.rows, 'row')}; the first, {file} line {line}, "
        f"reasons '{excerpt(reasoning, _SHOWN)}')."
    )
    raise _reasoning_lost(text, share, chats, data, turns)


def _reasoning_lost(text: str, share: str, chats: Sequence[Chat], data: Data, turns: TurnFinder) -> QuestionError:
    drop = Choice({"data.reasoning": "drop"}, f"Answers are trained without their reasoning: {share} is left out.")
    return QuestionError(Question("reasoning_lost", text, (*ways(turns, data, chats, _whole), drop)))


class Losing(NamedTuple):
    """A held-out row that loses reasoning."""

    file: str
    line: int
    example: Example
    lost: Lost


def held_out_reasoning(losing: Sequence[Losing], rows: int, data: Data, turns: TurnFinder) -> QuestionError:
    """The question what becomes of the reasoning of held-out rows.

    Args:
        losing: Rows that lose some.
        rows: Held-out rows in all.
        data: How they were read.
        turns: Renders them.
    """
    chats = [row.example for row in losing if isinstance(row.example, Chat)]
    lost = sum((row.lost for row in losing), NOTHING)
    share = percent(lost.reasoning / max(1, lost.given))
    text = (
        f"Of the held-out data (data.eval) the chat template leaves out reasoning of the answers, {share} of what they "
        f"say, in {len(losing)} of {counted(rows, 'row')} (the first, {losing[0].file} line {losing[0].line}). "
        "All data is read in one way: how is reasoning to be trained and evaluated?"
    )
    return _reasoning_lost(text, share, chats, data, turns)


def _whole(row: RenderedChat) -> bool:
    """Whether nothing of the answers is lost."""
    return not row.lost.reasoning and not row.lost.text


def _text_lost(dataset: DataSet, found: FlagCounts, data: Data, turns: TurnFinder) -> Iterator[CodedWarning]:
    if not found.lost_text:
        return
    chats = _flagged(dataset, RowFlag.TEXT_LOST)
    file, line = dataset.where(_first(dataset, RowFlag.TEXT_LOST))
    share = percent(found.lost_text / max(1, found.given_characters))
    beside = any(turn.content.strip() and turn.extra.get("tool_calls") for turn in chats[0].messages)
    what = " (the text beside a function call)" if beside else ""
    yield warning(
        "text_lost",
        f"The chat template leaves out {share} of what the answers say{what}: in {counted(found.text_lost, 'row')}, "
        f"the first {file} line {line}. It is not trained.{_named(ways(turns, data, chats, _whole))}",
    )


def _inline(dataset: DataSet, found: FlagCounts, data: Data, turns: TurnFinder) -> Iterator[CodedWarning]:
    if not found.inline or data.reasoning != "auto":
        return
    chats = _flagged(dataset, RowFlag.INLINE)
    choices = list(ways(turns, data, chats, lambda row: not row.inline and _whole(row)))
    split = [choice for choice in choices if choice.set.get("data.reasoning") == "split"]
    yield warning(
        "reasoning_as_text",
        f"In {counted(found.inline, 'row')} reasoning is trained as text between tags, though the chat template has a "
        f"place for it ({turns.habits.reasoning_key}).{_named(split or choices)}",
    )


def _unasked(dataset: DataSet, found: FlagCounts, data: Data, turns: TurnFinder) -> Iterator[CodedWarning]:
    """Answers that are trained where generation never stands."""
    if not found.unasked:
        return
    chats = _flagged(dataset, RowFlag.UNASKED)
    asked, trained = _meeting(turns, chats[0])
    choices = ways(turns, data, chats, lambda row: not row.unasked and _whole(row))
    unlearnt = _unlearns(found) and not found.empty_where_asked
    yield warning(
        "trained_where_unasked",
        f"In {counted(found.unasked, 'row')} answers are trained where generation never stands: the model will be "
        f"asked with {asked!r}, and what is trained there begins {trained!r}."
        f"{' That is reasoning which holds nothing: the model learns not to think.' if unlearnt else ''}"
        f"{_named(choices, ' Ask the tuned model with the same.')}",
    )


def _unlearns(found: FlagCounts) -> bool:
    """Whether empty reasoning is trained, and next to no reasoning beside it."""
    return found.empty_reasoning > 0 and found.reasoned < MIXED * (found.reasoned + found.empty_reasoning)


def _empty_reasoning(dataset: DataSet, found: FlagCounts, data: Data, turns: TurnFinder) -> Iterator[CodedWarning]:
    """Answers without reasoning before which the template writes an empty reasoning block that is trained."""
    if not _unlearns(found) or not found.empty_where_asked:
        return
    chats = _flagged(dataset, RowFlag.EMPTY_REASONING)
    none = found.empty_reasoning == found.rows
    yield warning(
        "empty_reasoning_trained",
        f"In {'all ' if none else ''}{counted(found.empty_reasoning, 'row')}{'' if none else f' of {found.rows}'} the "
        "chat template writes an empty reasoning block before an answer, and it is trained: the model learns not to "
        f"think. To keep its reasoning,{_block_given(data, turns, chats)} give the rows reasoning.",
    )


def _block_given(data: Data, turns: TurnFinder, chats: Sequence[Chat]) -> str:
    """Settings with which the block is part of the prompt and not trained, tried on rows; empty where none are."""
    if data.train_on == "all":
        return ""

    def given(row: RenderedChat) -> bool:
        closed = all(turns.habits.closed(row.text[:start]) for start, _ in row.spans)
        return closed and not row.empty_reasoning and not row.unasked and _whole(row)

    choice = next(iter(ways(turns, data, chats, given)), None)
    return (
        f" set {choice.said} (the block is then part of the prompt: ask for such answers with the same), or"
        if choice
        else ""
    )


def _meeting(turns: TurnFinder, chat: Chat) -> tuple[str, str]:
    """The end of the generation prompt for the first answer trained elsewhere, and the text there instead."""
    for place, turn in enumerate(chat.messages):
        if turn.role != "assistant" or not turn.train:
            continue
        upto = replace(chat, messages=chat.messages[: place + 1])
        asked, text = turns.prompt(upto), turns.render(upto).text
        if not text.startswith(asked):
            shared = shared_length([asked, text])
            begins = max(asked.rfind("\n", 0, shared) + 1, shared - _SHOWN // 2)
            return asked[begins:][:_SHOWN], text[begins:][:_SHOWN]
    return turns.prompt(chat)[-_SHOWN:], chat.messages[-1].content[:_SHOWN]


def _unended(dataset: DataSet, found: FlagCounts, data: Data, turns: TurnFinder) -> Iterator[CodedWarning]:
    """Answers that are trained without the token that ends them, beside others that have it."""
    if not found.ended or found.ended == found.answers:
        return
    chats = _flagged(dataset, RowFlag.UNENDED)
    choices = ways(turns, data, chats, lambda row: row.ended == row.answers and _whole(row))
    yield warning(
        "answers_unended",
        f"{found.answers - found.ended} of {found.answers} answers are trained without an end-of-turn token: the chat "
        f"template writes none behind them at which generation stops.{_named(choices)}",
    )


def _for_refused(dataset: DataSet, data: Data, turns: TurnFinder) -> str:
    profile = dataset.profile
    if data.skip_bad_rows or not profile.bad_rows:
        return ""
    return _named(_ways_for_refused(dataset.files, profile.bad_rows, data, turns))


def _ways_for_refused(
    files: Sequence[OpenFile], bad: Sequence[BadRow], data: Data, turns: TurnFinder
) -> Iterator[Choice]:
    refused = [row for row in bad if of_template(row.reason)]
    return ways(turns, data, list(islice(_refused(files, refused), TRIED)), _whole)


def _refused(files: Sequence[OpenFile], bad: Sequence[BadRow]) -> Iterator[Chat]:
    """The conversations of rows that could not be used, read again."""
    for file in files:
        lines = {row.line for row in bad if row.file == str(file.reader.path)}
        if not lines:
            continue
        for row in file.reader.rows():
            if isinstance(row, Raw) and row.line in lines:
                lines.discard(row.line)
                with suppress(RowProblem):
                    example = normalise(row.values, file.shape)
                    if isinstance(example, Chat):
                        yield example
            if not lines:
                break


def _first(dataset: DataSet, flag: RowFlag) -> int:
    return next(row for row, flags in enumerate(dataset.index.flags) if flags & flag)


def _flagged(dataset: DataSet, flag: RowFlag) -> list[Chat]:
    """The first conversations with a finding."""
    rows = (row for row, flags in enumerate(dataset.index.flags) if flags & flag)
    examples = (dataset.example(row) for row in islice(rows, TRIED))
    return [example for example in examples if isinstance(example, Chat)]


def _named(choices: Iterable[Choice], then: str = "") -> str:
    """The first ways as the end of a sentence, tried on these rows; nothing where there is none."""
    named = " or ".join(choice.said for choice in islice(choices, _NAMED))
    return f" It helps to set {named}.{then}" if named else ""
