"""Flags of rows and their counts over a data set, made while it is read, and the stops and warnings that follow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from recommender.config.schema import Data
from recommender.data.formats.examples import Chat, Example, Pair, Text
from recommender.data.formats.unused_columns import unread_warnings, without_template
from recommender.data.open_file import OpenFile
from recommender.data.rows import BadRow
from recommender.data.sources.readers.base import excerpt
from recommender.data.templates.choose import ChatTemplate
from recommender.data.tokens.tokenise import Measured, Tokeniser
from recommender.units import counted
from recommender.warning import CodedWarning, stop, warning

FEW_ROWS = 20
"""Below this a warning: LIMA (Zhou et al. 2023) used 1 000 rows; tens of rows are memorised rather than learned."""


class RowFlag(IntFlag):
    """Peculiarities of one row, as bits."""

    DUPLICATE = 1
    EMPTY = 2
    UNENDED = 4
    DOUBLED_START = 8
    STRADDLES = 16
    DISORDERED = 32
    IMITATES = 64
    CONTROL = 128
    REPLACEMENT = 256
    LITERAL = 512
    STRANGER = 1024
    PLACEHOLDER = 2048
    REASONING_LOST = 4096
    TEXT_LOST = 8192
    UNASKED = 16384
    INLINE = 32768
    TWO_ANSWERS = 65536
    WEIGHTED = 131072
    EMPTY_REASONING = 262144


FLAG_TEXTS = {
    RowFlag.DUPLICATE: "an exact copy of an earlier row",
    RowFlag.EMPTY: "nothing of it is trained",
    RowFlag.UNENDED: "an answer is trained without an end-of-turn token",
    RowFlag.DOUBLED_START: "the BOS token stands twice",
    RowFlag.STRADDLES: "the first trained token also holds the end of the prompt",
    RowFlag.DISORDERED: "turns are out of order",
    RowFlag.IMITATES: "it contains the text of a special token",
    RowFlag.CONTROL: "it holds control characters",
    RowFlag.REPLACEMENT: "it holds replacement characters",
    RowFlag.STRANGER: "a turn has an unknown role",
    RowFlag.PLACEHOLDER: "it contains a placeholder such as {{name}}",
    RowFlag.REASONING_LOST: "the chat template leaves out reasoning of its answers",
    RowFlag.TEXT_LOST: "the chat template leaves out text of its answers",
    RowFlag.UNASKED: "an answer begins differently from the generation prompt",
    RowFlag.INLINE: "reasoning is trained as text, though the chat template has a place for it",
    RowFlag.TWO_ANSWERS: "two answers stand in a row",
    RowFlag.WEIGHTED: "a turn has a weight other than 0 and 1, which counts as 1",
    RowFlag.EMPTY_REASONING: "an empty reasoning block, which the chat template writes, is trained",
    RowFlag.LITERAL: "a cell or turn is nothing but 'nan', 'None' or 'null'",
}
"""Sentences for the screen."""
_NOTHING = RowFlag(0)
_NAMED = 3
"""Unknown speakers that are named."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PLACEHOLDER = re.compile(r"\{\{\s*[^\W\d]\w*\s*\}\}")
_LITERAL = frozenset({"nan", "none", "null", "<na>"})
"""Texts that programs write for an empty cell."""


def flag_texts(flags: int) -> tuple[str, ...]:
    """The flags of a row as sentences for a person."""
    return tuple(said for finding, said in FLAG_TEXTS.items() if flags & finding)


def _texts(example: Example) -> tuple[str, ...]:
    match example:
        case Text():
            return (example.text,)
        case Pair():
            return example.prompt, example.completion
        case Chat():
            return tuple(turn.content for turn in example.messages)


def _oddities(example: Example) -> RowFlag:
    """Flags of the text itself, in whatever language."""
    found = _NOTHING
    for text in _texts(example):
        if "\ufffd" in text:
            found |= RowFlag.REPLACEMENT
        if _CONTROL.search(text):
            found |= RowFlag.CONTROL
        if "{{" in text and _PLACEHOLDER.search(text):
            found |= RowFlag.PLACEHOLDER
        if len(text) < 12 and text.strip().lower() in _LITERAL:
            found |= RowFlag.LITERAL
    return found


@dataclass
class FlagCounts:
    """Numbers of rows, answers and flags over all rows."""

    rows: int = 0
    bad: int = 0
    chats: int = 0
    texts: int = 0
    answers: int = 0
    ended: int = 0
    answered_rows: int = 0
    """Rows in which an answer is trained."""
    ended_rows: int = 0
    """Of these, rows in which an answer is trained with its end."""
    empty: int = 0
    duplicates: int = 0
    doubled_start: int = 0
    straddles: int = 0
    disordered: int = 0
    strangers: int = 0
    imitates: int = 0
    control: int = 0
    replacement: int = 0
    literal: int = 0
    placeholders: int = 0
    reasoning_lost: int = 0
    text_lost: int = 0
    unasked: int = 0
    inline: int = 0
    empty_reasoning: int = 0
    empty_where_asked: int = 0
    """Of these, rows of which every answer begins where generation will."""
    reasoned: int = 0
    """Rows in which reasoning is trained."""
    given_characters: int = 0
    """Of all trained answers as they stand in the rows."""
    lost_reasoning: int = 0
    """Characters of reasoning that are not trained."""
    lost_text: int = 0
    """Characters of answers besides that are not trained."""
    two_answers: int = 0
    weighted: int = 0
    blank: int = 0
    """Rows without anything in them, which are passed over."""
    highest_id: int = 0
    nothing_trained: bool = False
    methods: set[str] = field(default_factory=set)
    speakers: list[str] = field(default_factory=list)
    """The first words for speakers that are not known."""

    def see(self, row: Measured, example: Example, *, duplicate: bool) -> RowFlag:
        """Count a usable row and return its flags."""
        self.rows += 1
        self.answers += row.answers
        self.ended += row.ended
        self.answered_rows += row.answers > 0
        self.ended_rows += row.ended > 0
        self.given_characters += row.lost.given
        self.lost_reasoning += row.lost.reasoning
        self.lost_text += row.lost.text
        self.chats += isinstance(example, Chat)
        self.texts += isinstance(example, Text)
        self.highest_id = max(self.highest_id, row.highest_id)
        if row.method and row.spans:
            self.methods.add(row.method)
        flags = _oddities(example)
        if isinstance(example, Chat) and (order := order_of(tuple([turn.role for turn in example.messages]))):
            flags |= order
            if order & RowFlag.STRANGER:
                self._meet(example)
        if isinstance(example, Chat) and any(turn.weighted for turn in example.messages):
            flags |= RowFlag.WEIGHTED
        if duplicate or not row.spans or row.ended < row.answers or row.doubled_start:
            flags |= RowFlag.DUPLICATE if duplicate else 0
            flags |= RowFlag.EMPTY if not row.spans else 0
            flags |= RowFlag.UNENDED if row.ended < row.answers else 0
            flags |= RowFlag.DOUBLED_START if row.doubled_start else 0
        if row.straddles or row.imitates:
            flags |= RowFlag.STRADDLES if row.straddles else 0
            flags |= RowFlag.IMITATES if row.imitates else 0
        self.reasoned += row.reasoned
        if row.lost.reasoning or row.lost.text or row.unasked or row.inline or row.empty_reasoning:
            flags |= RowFlag.EMPTY_REASONING if row.empty_reasoning else 0
            flags |= RowFlag.REASONING_LOST if row.lost.reasoning else 0
            flags |= RowFlag.TEXT_LOST if row.lost.text else 0
            flags |= RowFlag.UNASKED if row.unasked else 0
            flags |= RowFlag.INLINE if row.inline else 0
        if flags:
            self._count(flags)
        return flags

    def _meet(self, chat: Chat) -> None:
        """Keep the first unknown role names."""
        fresh = [turn.role for turn in chat.messages if turn.role not in _KNOWN and turn.role not in self.speakers]
        self.speakers += fresh[: _NAMED - len(self.speakers)]

    def _count(self, flags: RowFlag) -> None:
        self.duplicates += bool(flags & RowFlag.DUPLICATE)
        self.empty += bool(flags & RowFlag.EMPTY)
        self.doubled_start += bool(flags & RowFlag.DOUBLED_START)
        self.straddles += bool(flags & RowFlag.STRADDLES)
        self.disordered += bool(flags & RowFlag.DISORDERED)
        self.strangers += bool(flags & RowFlag.STRANGER)
        self.imitates += bool(flags & RowFlag.IMITATES)
        self.control += bool(flags & RowFlag.CONTROL)
        self.replacement += bool(flags & RowFlag.REPLACEMENT)
        self.literal += bool(flags & RowFlag.LITERAL)
        self.placeholders += bool(flags & RowFlag.PLACEHOLDER)
        self.reasoning_lost += bool(flags & RowFlag.REASONING_LOST)
        self.text_lost += bool(flags & RowFlag.TEXT_LOST)
        self.unasked += bool(flags & RowFlag.UNASKED)
        self.inline += bool(flags & RowFlag.INLINE)
        self.empty_reasoning += bool(flags & RowFlag.EMPTY_REASONING)
        self.empty_where_asked += flags & (RowFlag.EMPTY_REASONING | RowFlag.UNASKED) == RowFlag.EMPTY_REASONING
        self.two_answers += bool(flags & RowFlag.TWO_ANSWERS)
        self.weighted += bool(flags & RowFlag.WEIGHTED)

    @property
    def trains_end_of_turn(self) -> bool | None:
        """Whether answers are trained with their end; None where there are none."""
        if self.texts == self.rows or not self.answers:
            return None
        return self.ended > 0


_KNOWN = frozenset({"system", "user", "assistant", "tool"})


@lru_cache(maxsize=4096)
def order_of(roles: tuple[str, ...]) -> RowFlag:
    """Flags of the order of roles, judged once for each order: conversations have few.

    In order are system?, user, assistant, user, assistant … with tools between.
    """
    found = _NOTHING if set(roles) <= _KNOWN else RowFlag.STRANGER
    spoken = [role for role in roles if role != "system"]
    if any(pair == ("assistant", "assistant") for pair in pairwise(spoken)):
        found |= RowFlag.TWO_ANSWERS
    if "system" in roles[1:] or not spoken or spoken[0] != "user" or spoken[-1] != "assistant":
        return found | RowFlag.DISORDERED
    same = any(before == after == "user" for before, after in pairwise(spoken))
    return found | RowFlag.DISORDERED if same else found


def stops(
    found: FlagCounts, data: Data, bad: Sequence[BadRow], tokeniser: Tokeniser | None
) -> tuple[CodedWarning, ...]:
    """Return the reasons not to train on this data as it is, whatever the length limit."""
    return tuple(_stops(found, data, bad, tokeniser))


def _stops(found: FlagCounts, data: Data, bad: Sequence[BadRow], tokeniser: Tokeniser | None) -> Iterator[CodedWarning]:
    if found.bad and not data.skip_bad_rows:
        first = bad[0]
        yield stop(
            "bad_rows",
            f"{_rows(found.bad)} cannot be used; the first, {first.file} line {first.line}, {first.reason}.",
            "Repair them, or leave them out with data.skip_bad_rows: true.",
        )
    if found.nothing_trained:
        yield stop(
            "nothing_trained",
            "Nothing would be trained: no row has an answer.",
            "Check data.columns: which column holds the answer?",
        )
    elif found.trains_end_of_turn is False:
        yield stop(
            "no_end_of_turn",
            "The end-of-turn token is never among the trained tokens, so the tuned model would not learn to stop.",
            "Choose a template that writes one behind each answer, for example data.template: "
            f"{_ending_template(tokeniser)}.",
        )
    if tokeniser is not None and found.highest_id and found.highest_id >= tokeniser.embedding_rows:
        yield stop(
            "token_beyond_embedding",
            f"The tokenizer gives id {found.highest_id}, but the model's embedding has {tokeniser.embedding_rows} "
            "rows.",
            "Use a tokenizer that belongs to this model, or resize its embedding first.",
        )


def ending_template(found: FlagCounts, tokeniser: Tokeniser | None) -> str:
    """The template under which each answer ends with a trained token; empty where none is missing or helps."""
    helps = tokeniser is not None and found.trains_end_of_turn is False and found.chats and not found.nothing_trained
    return _ending_template(tokeniser) if helps else ""


def _ending_template(tokeniser: Tokeniser | None) -> str:
    has_chatml = tokeniser is not None and tokeniser.vocabulary.id_of("<|im_end|>") is not None
    return "chatml" if has_chatml else "alpaca"


def warnings(
    found: FlagCounts,
    data: Data,
    template: ChatTemplate | None,
    tokeniser: Tokeniser | None,
    files: Sequence[OpenFile],
    bad: Sequence[BadRow],
) -> tuple[CodedWarning, ...]:
    """Return the warnings that hold whatever the length limit."""
    return (
        *_of_template(template, tokeniser, files),
        *unread_warnings(files),
        *_counted(found),
        *_guessed(files),
        *_left_out(found, data, bad),
    )


def _of_template(
    template: ChatTemplate | None, tokeniser: Tokeniser | None, files: Sequence[OpenFile]
) -> Iterator[CodedWarning]:
    if tokeniser is None:
        yield warning(
            "no_tokenizer",
            "No tokenizer of the model is on this disk: lengths are estimated from the text (4 letters a token).",
        )
    if template is not None and template.warning:
        yield warning("template_substituted", template.warning)
    if tokeniser is not None and template is not None:
        for adapted in sorted(tokeniser.turns.notes):
            yield warning("conversation_adapted", adapted)
        yield from _generation_goes_on(tokeniser)
    if tokeniser is not None and not template and tokeniser.vocabulary.templates:
        yield from without_template(files)


def _guessed(files: Sequence[OpenFile]) -> Iterator[CodedWarning]:
    """Columns that were taken by their contents, to be confirmed."""
    for columns, why in {(tuple(file.shape.columns.items()), file.shape.why) for file in files if file.shape.guessed}:
        held = dict(columns)
        taken = (
            f"By their names '{held['instruction']}' was taken for the question and '{held['output']}' for the answer."
            if "instruction" in held
            else f"Guessed: {why}."
        )
        confirmed = ", ".join(f"{role}: {column}" for role, column in columns)
        yield warning("columns_guessed", taken, f"To confirm: data.columns: {{{confirmed}}}.")


def _left_out(found: FlagCounts, data: Data, bad: Sequence[BadRow]) -> Iterator[CodedWarning]:
    """Rows that are passed over, and rows that are too few."""
    if found.blank:
        yield warning("empty_rows", f"Skipped: {counted(found.blank, 'empty row')}.")
    if found.bad and data.skip_bad_rows:
        first = f"; the first, {Path(bad[0].file).name} line {bad[0].line}, {bad[0].reason}" if bad else ""
        yield warning("rows_left_out", f"Left out: {_rows(found.bad)}{first}.")
    if found.rows < FEW_ROWS:
        what = "it by heart" if found.rows == 1 else "them by heart rather than what they have in common"
        yield warning("few_rows", f"Only {_rows(found.rows)}: the model will learn {what}.")


def _counted(found: FlagCounts) -> Iterator[CodedWarning]:
    """Yield the warnings about flags, with their numbers of rows."""
    found_in = (
        ("bos_twice", found.doubled_start, "the BOS token stands twice: the text brings its own"),
        ("token_straddles", found.straddles, "the first trained token also holds the end of the prompt"),
        (
            "turns_out_of_order",
            found.disordered,
            "turns are out of order (not user, assistant, user, assistant …)",
        ),
        (
            "two_answers",
            found.two_answers,
            "two answers stand in a row: the model learns to end after the first, and what is written between them is "
            "not trained. Where they are one answer, join them",
        ),
        (
            "turn_weights",
            found.weighted,
            "a turn has a weight other than 0 and 1: it is trained in full, since a token is trained here or not",
        ),
        (
            "unknown_roles",
            found.strangers,
            f"turns have unknown roles ({_named(found.speakers)}): map them in data.columns",
        ),
        ("special_token_text", found.imitates, f"the text of a special token is {_imitated(found)}"),
        ("empty_answers", found.empty, "the answer is empty: nothing is trained"),
        ("control_characters", found.control, "there are control characters"),
        (
            "replacement_characters",
            found.replacement,
            "there are replacement characters (\ufffd): the text was decoded wrongly before",
        ),
        (
            "placeholders",
            found.placeholders,
            "there is a placeholder such as {{name}}: if it should have been filled in, the model learns it as it is",
        ),
        (
            "literal_null",
            found.literal,
            "a whole cell or turn is 'nan', 'None' or 'null': most likely it was empty",
        ),
    )
    for code, count, what in found_in:
        if count:
            yield warning(code, f"In {_rows(count)} {what}.")


def _imitated(found: FlagCounts) -> str:
    """The clause on the place of text that looks like a special token, and its effect."""
    if found.texts < found.rows:
        return "in a turn and becomes that token"
    return (
        "in plain text and becomes that token. A chat that a template has written already is trained whole, its "
        "questions too: give its turns (messages) to train the answers alone"
    )


def _named(speakers: Sequence[str]) -> str:
    shown = ", ".join(f"'{excerpt(word, 24)}'" for word in speakers)
    return f"{shown} …" if len(speakers) == _NAMED else shown


def _generation_goes_on(tokeniser: Tokeniser) -> Iterator[CodedWarning]:
    """Yield the warning that the template's end of turn is no stop token of the model's settings."""
    vocabulary = tokeniser.vocabulary
    for token in tokeniser.turns.end_of_turn[:1]:
        if vocabulary.stop_ids and vocabulary.id_of(token) not in vocabulary.stop_ids:
            yield warning(
                "generation_goes_on",
                f"Answers end with {token}, at which this model's generation does not stop by itself: "
                "add it to eos_token_id of generation_config.json where the tuned model is used.",
            )


def _rows(count: int) -> str:
    return counted(count, "row")
