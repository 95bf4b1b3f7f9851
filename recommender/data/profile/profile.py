"""DataProfile: token counts of a data set, exact for any max_length without tokenising again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from recommender.data.formats.role_names import RoleMapping, RoleNames
from recommender.data.profile.tally import Runs, Tally, WholeRows
from recommender.data.rows import BadRow
from recommender.data.split import contents_by_copies, count_held_out, wanted_rows
from recommender.units import count, counted
from recommender.warning import CodedWarning, stop, warning

NEVER = 2**32 - 1
"""Tokens before the first trained one of a row that has none."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One of several data sets that are trained on together."""

    name: str
    """As the person gave it."""
    shape: str
    rows: int
    """Usable rows as they are taken: twice as many for a weight of 2."""
    weight: float
    tokens: int
    columns: dict[str, str] = field(default_factory=dict)
    """Role to column as used."""
    unconfirmed: bool = False
    """Whether these were taken for question and answer by their names, and nobody has confirmed it."""
    columns_seen: tuple[str, ...] = ()
    turns_seen: tuple[RoleNames, ...] = ()
    """Turn keys and role names, column by column."""
    role_mapping: RoleMapping | None = None
    """Their mapping to standard roles, where one was given."""


@dataclass(frozen=True, slots=True)
class HeldOutFacts:
    """Facts about the files of `data.eval`."""

    rows: int
    """Usable rows."""
    copies: int
    """Of these, exact copies of an earlier one of them."""
    also_trained: int
    """Of these, rows that are trained on too."""
    bad_row_count: int
    bad_rows: tuple[BadRow, ...] = ()
    """The first of them; they are among the profile's own too."""
    first_trained: tuple[tuple[str, Sequence[int]], ...] = ()
    """Of each file, its name and, row by row, the tokens before the first one that is trained (`NEVER`: none is)."""

    def answerless(self, max_length: int) -> list[tuple[str, int, int]]:
        """(name, rows without an answer at a length, rows) of each file that has such rows."""
        lost = [
            (name, sum(first >= max_length for first in firsts), len(firsts)) for name, firsts in self.first_trained
        ]
        return [(name, cut, rows) for name, cut, rows in lost if cut]

    def stops_at(self, max_length: int) -> tuple[CodedWarning, ...]:
        """Return the stop where no row of any file keeps an answer at a length, so that nothing could be evaluated."""
        lost = self.answerless(max_length)
        if not self.rows or sum(cut for _, cut, _ in lost) < self.rows:
            return ()
        names = ", ".join(name for name, _, _ in lost)
        rows = "The one held-out row" if self.rows == 1 else f"{self.rows} of {self.rows} held-out rows"
        return (
            stop(
                "held_out_all_cut",
                f"{rows} of {names} {'keeps' if self.rows == 1 else 'keep'} no answer at max_length {max_length}: "
                "nothing could be evaluated.",
                "Raise data.max_length, or give other rows as data.eval.",
            ),
        )

    def warnings_at(self, max_length: int) -> tuple[CodedWarning, ...]:
        """Return a warning for each file with rows that keep no answer at a length, where others do."""
        lost = self.answerless(max_length)
        if sum(cut for _, cut, _ in lost) == self.rows:
            return ()
        return tuple(
            warning(
                "held_out_some_cut",
                f"{cut} of {rows} held-out rows of {name} {'keeps' if cut == 1 else 'keep'} no answer at max_length "
                f"{max_length}: eval_loss is taken over the others.",
            )
            for name, cut, rows in lost
        )


@dataclass(frozen=True, slots=True)
class NearRows:
    """Rows that are nearly, and not exactly, the same as another one."""

    earlier: Mapping[int, int] = field(default_factory=dict)
    """Training row to the earlier one that it is like."""
    held_out: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """Training row to the file and line of a row of the held-out files that is like it."""
    leaked: int = 0
    """Held-out rows, in files of their own or by the split, that are like a row that is trained on."""
    held_out_rows: int = 0
    """Held-out rows in all."""
    held_out_copies: int = 0
    """Rows of the held-out files that are like an earlier one of them."""

    def __contains__(self, row: int) -> bool:
        return row in self.earlier or row in self.held_out

    def of(self, row: int) -> tuple[str, ...]:
        """The near-duplicates of a training row, in words."""
        found = [f"nearly the same as row {self.earlier[row] + 1}"] if row in self.earlier else []
        if row in self.held_out:
            file, line = self.held_out[row]
            found.append(f"nearly the same as a held-out row ({Path(file).name}, line {line})")
        return tuple(found)

    @property
    def warnings(self) -> tuple[CodedWarning, ...]:
        """The warnings about near-duplicates."""
        said = []
        if self.earlier:
            are = "row is" if len(self.earlier) == 1 else "rows are"
            said.append(
                warning("near_duplicates", f"{count(len(self.earlier))} {are} nearly the same as an earlier one")
            )
        if self.leaked:
            said.append(
                warning(
                    "near_held_out",
                    f"{count(self.leaked)} of {count(self.held_out_rows)} held-out rows "
                    f"{'is' if self.leaked == 1 else 'are'} nearly the same as a row that is trained on: eval_loss "
                    "would look better than it is",
                )
            )
        if self.held_out_copies:
            said.append(
                warning(
                    "near_held_out_duplicates",
                    f"{count(self.held_out_copies)} of {count(self.held_out_rows)} held-out rows "
                    f"{'is' if self.held_out_copies == 1 else 'are'} nearly the same as an earlier one of them",
                )
            )
        return tuple(said)


@dataclass(frozen=True)
class DataProfile:
    """Rows and token lengths of a data set under one tokenizer, template and `train_on`.

    `lengths[i]` is row i's number of tokens. Trained tokens of row i are the half-open spans
    `spans[2k], spans[2k+1]` for k in `span_start[i] .. span_start[i+1]-1`, in token positions, so that what a limit
    cuts is exact.
    """

    files: tuple[Path, ...]
    shape: str
    """'alpaca', 'sharegpt', 'messages', 'prompt-completion', 'text', or 'synthetic'."""
    shape_reason: str
    """The reason for this format, with the confidence."""
    columns: dict[str, str]
    """Role to column as used."""
    lengths: Sequence[int]
    spans: Sequence[int]
    span_start: Sequence[int]
    bad_rows: tuple[BadRow, ...] = ()
    bad_row_count: int = 0
    tokenizer: str = "exact"
    """'exact', 'bytes' when no tokenizer was at hand and lengths are estimated, 'assumed' for ."""
    template: str = ""
    """Name of the chat template used ('model', 'chatml', 'none' …)."""
    trains_end_of_turn: bool | None = None
    """Whether the end-of-turn token is among the trained tokens; None where there is none (plain text)."""
    answered_rows: int = 0
    """Rows in which an answer is trained."""
    ended_rows: int = 0
    """Of these, rows in which one is trained with its end-of-turn token."""
    unended_answers: int = 0
    """Trained answers without an end-of-turn token."""
    answers_lost: float = 0.0
    """Share of the answers' characters, as the rows give them, that the template leaves out: 0 to 1."""
    duplicates: int = 0
    """Rows that are exact copies of an earlier one."""
    empty_answers: int = 0
    """Rows of which no token is trained."""
    stops: tuple[CodedWarning, ...] = ()
    """The reasons not to train on this data as it is, whatever the length limit; see `stops_at`."""
    warnings: tuple[CodedWarning, ...] = ()
    """Warnings that hold whatever the length limit; see `warnings_at`."""
    columns_seen: tuple[str, ...] = field(default=())
    unread: tuple[str, ...] = ()
    """Columns that nothing reads."""
    mask_method: str = ""
    """The method that found the trained tokens: 'generation marks', 'prefix', 'difference' …, for the screen."""
    end_of_turn: str = ""
    """The token that ends an answer, as text; empty where there is none."""
    skipped_rows: int = 0
    """Bad rows that are left out because `data.skip_bad_rows` says so."""
    turns: Sequence[int] = ()
    """Turns of each row that is a conversation, 0 of others."""
    sources: tuple[SourceFacts, ...] = ()
    """The data sets, in the order in which they were given."""
    unconfirmed: bool = False
    """Whether columns were taken for question and answer by their names, and nobody has confirmed it."""
    ending_template: str = ""
    """`data.template` with which the end-of-turn token would be trained, where it is not; else empty."""
    new_tokens: tuple[str, ...] = ()
    """Special tokens of the template that the model may never have trained: an adapter leaves them as they are."""
    held_out: HeldOutFacts | None = None
    """Facts about `data.eval`; None where rows are held out by the split."""
    digests: Sequence[int] = ()
    """Content digest of each row; empty where rows are made up, which are no copies of each other."""

    @property
    def rows(self) -> int:
        """Usable rows."""
        return len(self.lengths)

    @cached_property
    def known(self) -> dict[tuple[Any, ...], Any]:
        """Memo of derived counts, keyed by query. Valid because a profile is immutable; a plan asks a hundred times."""
        return {}

    def held_out_by_split(self, fraction: float, seed: int) -> int:
        """Rows that `recommender.data.split.split` holds out of these.

        Args:
            fraction: `data.eval_fraction`.
            seed: `training.seed`, which matters where rows have copies.
        """
        if not self.digests or fraction <= 0:
            return wanted_rows(self.rows, fraction)
        asked = "held out", fraction, seed
        if asked not in self.known:
            self.known[asked] = count_held_out(self.digests, self._contents_by_copies, fraction, seed)
        return int(self.known[asked])

    @cached_property
    def _contents_by_copies(self) -> dict[int, int]:
        return contents_by_copies(self.digests)

    @property
    def end_of_turn_share(self) -> str:
        """Rows whose end-of-turn token is trained, in words; 'trained' where it is behind every answer."""
        if not self.unended_answers:
            return "trained"
        every = "" if self.ended_rows < self.answered_rows else ", not behind every answer"
        return f"trained in {count(self.ended_rows)} of {counted(self.answered_rows, 'row')}{every}"

    @cached_property
    def length_tally(self) -> Tally:
        """Rows by length."""
        return Tally.of(self.lengths)

    @cached_property
    def _span_bounds(self) -> tuple[Tally, Tally]:
        if isinstance(self.spans, WholeRows):
            return Tally.of(Runs((0,), (self.rows,))), self.length_tally
        return Tally.of(self.spans[0::2]), Tally.of(self.spans[1::2])

    @cached_property
    def _turns(self) -> Tally:
        return Tally.of(self.turns)

    @property
    def turns_median(self) -> int:
        """Median of turns in a conversation; 0 without conversations."""
        return self._turns.ranked((len(self.turns) + 1) // 2) if self.turns else 0

    @property
    def turns_most(self) -> int:
        """Turns of the longest conversation."""
        return self._turns.values[-1] if self.turns else 0

    @property
    def total_tokens(self) -> int:
        """Tokens of all rows, uncut."""
        return self.length_tally.total

    @property
    def longest(self) -> int:
        """Tokens of the longest row; 0 without rows."""
        return self.length_tally.values[-1] if self.rows else 0

    def quantile(self, q: float) -> int:
        """Length in tokens that a share q of rows (0 to 1) does not exceed: the nearest rank, ceil(q × rows)."""
        if not self.rows:
            return 0
        return self.length_tally.ranked(min(self.rows, max(1, ceil(round(q * self.rows, 6)))))

    def tokens_at(self, max_length: int) -> int:
        """Tokens that remain when every row is cut at max_length."""
        return self.length_tally.clipped(max_length)

    def rows_cut(self, max_length: int) -> int:
        """Rows longer than max_length."""
        return self.length_tally.above(max_length)

    def trained_at(self, max_length: int) -> int:
        """Trained tokens that remain when every row is cut: the sum of min(end, L) - min(start, L) over the spans."""
        starts, ends = self._span_bounds
        return ends.clipped(max_length) - starts.clipped(max_length)

    @property
    def trained_tokens(self) -> int:
        """Trained tokens of all rows, uncut."""
        starts, ends = self._span_bounds
        return ends.total - starts.total

    @property
    def trained_share(self) -> float:
        """Trained tokens of all tokens, 0 to 1."""
        return self.trained_tokens / self.total_tokens if self.total_tokens else 0.0

    def stops_at(self, max_length: int) -> tuple[CodedWarning, ...]:
        """Return `stops`, with the one at this length: every row cut before its answer."""
        held_out = self.held_out.stops_at(max_length) if self.held_out else ()
        if self.trained_tokens and not self.trained_at(max_length):
            return (
                *self.stops,
                *held_out,
                stop(
                    "every_answer_cut",
                    f"Every row is cut before its answer begins at max_length {max_length}: nothing would be trained.",
                    f"Raise data.max_length (p50 is {self.quantile(0.5)} tokens, the longest row {self.longest}).",
                ),
            )
        return (*self.stops, *held_out)

    def first_trained(self, row: int) -> int:
        """Tokens of a row before the first one that is trained; `NEVER` where none is."""
        first = self.span_start[row]
        return self.spans[2 * first] if first < self.span_start[row + 1] else NEVER

    def warnings_at(self, max_length: int, *, split: bool = False) -> tuple[CodedWarning, ...]:
        """Return `warnings`, with the one at this length: the limit cuts more than 1 % of the trained tokens.

        Args:
            max_length: Tokens of a row at most.
            split: Rows are packed and split where they are too long: nothing is cut.
        """
        kept = self.trained_at(max_length)
        held_out = self.held_out.warnings_at(max_length) if self.held_out else ()
        if not split and self.trained_tokens and 0 < kept < 0.99 * self.trained_tokens:
            share = 1 - kept / self.trained_tokens
            return (
                *self.warnings,
                *held_out,
                warning(
                    "length_cuts",
                    f"max_length {max_length} cuts {100 * share:.1f} % of the trained tokens "
                    f"(rows cut: {self.rows_cut(max_length)}); {self.quantile(0.99)} tokens keep 99 % of the rows "
                    "whole.",
                ),
            )
        return (*self.warnings, *held_out)
