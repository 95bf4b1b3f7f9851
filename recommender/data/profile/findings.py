"""Stops and warnings of a data set, from the flags that its rows raised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from recommender.config.schema import Data
from recommender.data.formats.unused_columns import unread_warnings, without_template
from recommender.data.open_file import OpenFile
from recommender.data.profile.flags import NAMED, FlagCounts
from recommender.data.rows import BadRow
from recommender.data.sources.readers.base import excerpt
from recommender.data.templates.choose import ChatTemplate
from recommender.data.tokens.tokenise import Tokeniser
from recommender.units import counted
from recommender.warning import CodedWarning, stop, warning

FEW_ROWS = 20
"""Below this a warning: LIMA (Zhou et al. 2023) used 1 000 rows; tens of rows are memorised rather than learned."""


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
    return f"{shown} …" if len(speakers) == NAMED else shown


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
