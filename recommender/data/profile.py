"""DataProfile: what a data set is in tokens, exact for any max_length without tokenising again."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used."""

    file: str
    line: int
    """1-based line (JSONL, CSV) or row number (JSON, Parquet)."""
    reason: str
    start: str = ""
    """The first characters of the line."""


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
    """Why it was recognised as that, and how sure."""
    columns: dict[str, str]
    """Role to column as used."""
    lengths: Sequence[int]
    spans: Sequence[int]
    span_start: Sequence[int]
    bad_rows: tuple[BadRow, ...] = ()
    bad_row_count: int = 0
    tokenizer: str = "exact"
    """'exact', or 'bytes' when no tokenizer was at hand and lengths are estimated from bytes."""
    template: str = ""
    """Name of the chat template used ('model', 'chatml', 'none' …)."""
    trains_end_of_turn: bool | None = None
    """Whether the end-of-turn token is among the trained tokens; None where there is none (plain text)."""
    duplicates: int = 0
    """Rows that are exact copies of an earlier one."""
    empty_answers: int = 0
    """Rows of which no token is trained."""
    stops: tuple[str, ...] = ()
    """Why this data must not be trained on as it is."""
    warnings: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> int:
        """Usable rows."""
        return len(self.lengths)

    @cached_property
    def _sorted(self) -> array[int]:
        return array("q", sorted(self.lengths))

    @cached_property
    def _length_sums(self) -> array[int]:
        """Running sums of the sorted lengths, for token counts under any limit in O(log n)."""
        return array("q", accumulate(self._sorted, initial=0))

    @cached_property
    def _span_bounds(self) -> tuple[array[int], array[int], array[int], array[int]]:
        starts = array("q", sorted(self.spans[0::2]))
        ends = array("q", sorted(self.spans[1::2]))
        return starts, array("q", accumulate(starts, initial=0)), ends, array("q", accumulate(ends, initial=0))

    @property
    def total_tokens(self) -> int:
        """Tokens of all rows, uncut."""
        return self._length_sums[-1]

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return self._sorted[-1] if self.rows else 0

    def quantile(self, q: float) -> int:
        """Length in tokens that a share q of rows does not exceed (nearest rank)."""
        if not self.rows:
            return 0
        return self._sorted[min(self.rows - 1, max(0, -(-int(q * self.rows * 1_000_000) // 1_000_000) - 1))]

    def tokens_at(self, max_length: int) -> int:
        """Tokens that remain when every row is cut at max_length."""
        kept = bisect_right(self._sorted, max_length)
        return self._length_sums[kept] + (self.rows - kept) * max_length

    def rows_cut(self, max_length: int) -> int:
        """Rows longer than max_length."""
        return self.rows - bisect_right(self._sorted, max_length)

    def trained_at(self, max_length: int) -> int:
        """Trained tokens that remain when every row is cut: the sum of min(end, L) - min(start, L) over the spans."""
        starts, start_sums, ends, end_sums = self._span_bounds

        def clipped(values: array[int], sums: array[int]) -> int:
            kept = bisect_right(values, max_length)
            return sums[kept] + (len(values) - kept) * max_length

        return clipped(ends, end_sums) - clipped(starts, start_sums)

    @property
    def trained_tokens(self) -> int:
        """Trained tokens of all rows, uncut."""
        _, start_sums, _, end_sums = self._span_bounds
        return end_sums[-1] - start_sums[-1]

    @property
    def trained_share(self) -> float:
        """Trained tokens of all tokens, 0 to 1."""
        return self.trained_tokens / self.total_tokens if self.total_tokens else 0.0
