"""Rows that are nearly the same as an earlier one: a second pass over the text, with MinHash (Broder 1997).

A row's text, in lower case and without punctuation, is the set of its pieces of PIECE bytes, which needs no words and
so no language. Of 64 hash functions the least value over a row's pieces is kept; two rows agree in as many of these as
their sets have in common (their Jaccard similarity). Rows that agree in all four of at least one of 16 bands are
compared (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3): of pairs that are 0.8 alike all but
one in 4 500 meet there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from recommender.data.dataset import DataSet
from recommender.data.examples import Chat, Example, Pair, Text
from recommender.data.gather import Cancelled

if TYPE_CHECKING:
    import numpy as np

ALIKE = 0.8
"""Share of their pieces that near-identical rows have in common."""
PIECE = 16
"""Bytes of a piece."""
_BANDS, _DEPTH = 16, 4
_BETWEEN = re.compile(r"[\W_]+")
_TOLD_EVERY = 256
_SEED = 20_250_101


def near_duplicates(
    dataset: DataSet,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[int, int]:
    """Rows that are nearly, and not exactly, the same as an earlier one, each with that one.

    Args:
        dataset: Whose rows; they are read again, one by one.
        progress: Told rows done and rows in all.
        cancelled: Asked now and then.

    Raises:
        Cancelled: `cancelled` said so.
        InputError: A file was changed.
    """
    import numpy as np

    rows = len(dataset)
    signatures = np.empty((rows, _BANDS * _DEPTH), dtype=np.uint32)
    hashing = _Hashing()
    for i in range(rows):
        if i % _TOLD_EVERY == 0:
            if cancelled():
                raise Cancelled
            progress(i, rows)
        signatures[i] = hashing.signature(text_of(dataset.example(i)))
    return dict(_pairs(signatures, dataset))


def text_of(example: Example) -> str:
    """All that a row says."""
    match example:
        case Text():
            return example.text
        case Pair():
            return f"{example.prompt} {example.completion}"
        case Chat():
            return " ".join(turn.content for turn in example.messages)


class _Hashing:
    """The hash functions, made once."""

    def __init__(self) -> None:
        import numpy as np

        rng = np.random.default_rng(_SEED)
        count = _BANDS * _DEPTH
        self._powers = np.array([pow(0x9E3779B97F4A7C15, k + 1, 2**64) for k in range(PIECE)], dtype=np.uint64)
        self._factors = (rng.integers(0, 2**63, count, dtype=np.uint64) << np.uint64(1)) | np.uint64(1)
        self._added = rng.integers(0, 2**63, count, dtype=np.uint64)

    def signature(self, text: str) -> np.ndarray[Any, Any]:
        """The least value of each hash function over the pieces of a text."""
        import numpy as np

        data = np.frombuffer(_BETWEEN.sub(" ", text.lower()).strip().encode("utf-8", "replace"), dtype=np.uint8)
        if len(data) < PIECE:
            data = np.pad(data, (0, PIECE - len(data)))
        windows = np.lib.stride_tricks.sliding_window_view(data, PIECE)
        pieces = np.unique((windows.astype(np.uint64) * self._powers).sum(axis=1, dtype=np.uint64))
        mixed = pieces[:, None] * self._factors + self._added
        least: np.ndarray[Any, Any] = (mixed >> np.uint64(32)).min(axis=0).astype(np.uint32)
        return least


def _pairs(signatures: np.ndarray[Any, Any], dataset: DataSet) -> Iterator[tuple[int, int]]:
    """Rows with the earliest row that they are like, band by band."""
    import numpy as np

    digests = dataset.index.digest
    found: dict[int, int] = {}
    for band in range(_BANDS):
        part = np.ascontiguousarray(signatures[:, band * _DEPTH : (band + 1) * _DEPTH])
        keys = part.view([("", part.dtype)] * _DEPTH).ravel()
        order = np.argsort(keys, kind="stable")
        same = np.concatenate(([False], keys[order][1:] == keys[order][:-1]))
        first = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
        for place in np.flatnonzero(same):
            later, earlier = int(order[place]), int(order[first[place]])
            if digests[later] == digests[earlier] or found.get(later, len(digests)) <= earlier:
                continue
            if float((signatures[later] == signatures[earlier]).mean()) >= ALIKE:
                found[later] = earlier
    yield from sorted(found.items())
