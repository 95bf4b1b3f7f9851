"""Rows that are nearly the same as an earlier one: a second pass over the text, with MinHash (Broder 1997).

A row's text, in lower case and without punctuation, is the set of its pieces of PIECE bytes, which needs no words and
so no language. Of 64 hash functions the least value over a row's pieces is kept; two rows agree in as many of these as
their sets have in common (their Jaccard similarity). Rows that agree in all four of at least one of 16 bands are
compared (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3): of pairs that are 0.8 alike all but
one in 4 500 meet there.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from recommender.data.dataset import DataSet
from recommender.data.formats.examples import Chat, Example, Pair, Text
from recommender.data.held_out import held_out_rows
from recommender.data.open_file import OpenFile
from recommender.data.profile.collect import Cancelled
from recommender.data.profile.profile import NearRows
from recommender.data.rows import BadRow
from recommender.data.split import split

if TYPE_CHECKING:
    import numpy as np

ALIKE = 0.8
"""Share of their pieces that near-identical rows have in common."""
PIECE = 16
"""Bytes of a piece."""
_BANDS, _DEPTH = 16, 4
_BETWEEN = re.compile(r"[\W_]+")
_TOLD_EVERY = 256
_PART = 16_384
"""Pieces that are hashed together."""
_SEED = 20_250_101


def near_duplicates(
    dataset: DataSet,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    fraction: float = 0.0,
    seed: int = 42,
) -> NearRows:
    """Rows that are nearly, and not exactly, the same as another one: within and across what is trained and held out.

    Args:
        dataset: Whose rows, and those of its held-out files; they are read again, one by one.
        on_progress: Told rows done and rows in all.
        cancelled: Asked now and then.
        fraction: `data.eval_fraction`: where there are no held-out files, so many rows are held out by the split.
        seed: `training.seed`, of that split.

    Raises:
        Cancelled: `cancelled` said so.
        InputError: A file was changed.
    """
    import numpy as np

    rows, facts = len(dataset), dataset.profile.held_out
    held = facts.rows if facts else 0
    signatures = np.empty((rows + held, _BANDS * _DEPTH), dtype=np.uint32)
    digests = array("Q", dataset.index.digest)
    hashing = _Hashing()
    done = 0

    def add_example(example: Example) -> None:
        nonlocal done
        if done % _TOLD_EVERY == 0:
            if cancelled():
                raise Cancelled
            on_progress(done, rows + held)
        signatures[done] = hashing.signature(text_of(example))
        done += 1

    for i in range(rows):
        add_example(dataset.example(i))
    places: list[tuple[str, int]] = []
    for file, line, found in islice(_usable(dataset), held):
        add_example(found[0])
        digests.append(found[1])
        places.append((str(file.reader.path), line))
    pairs = dict(_pairs(signatures[:done], digests))
    return _sided(pairs, dataset, digests, places) if dataset.held_out else _split(pairs, dataset, fraction, seed)


def _usable(dataset: DataSet) -> Iterator[tuple[OpenFile, int, tuple[Example, int]]]:
    for file, line, found in held_out_rows(dataset.held_out):
        if not isinstance(found, BadRow):
            yield file, line, found


def _sided(pairs: dict[int, int], dataset: DataSet, digests: array[int], places: list[tuple[str, int]]) -> NearRows:
    """The pairs where held-out rows stand in files of their own, behind the training rows."""
    rows = len(dataset)
    trained = set(dataset.index.digest)
    across = {held: row for held, row in pairs.items() if row < rows <= held and digests[held] not in trained}
    return NearRows(
        earlier={later: earlier for later, earlier in pairs.items() if later < rows},
        held_out={row: places[held - rows] for held, row in sorted(across.items(), reverse=True)},
        leaked=len(across),
        held_out_rows=len(places),
        held_out_copies=sum(earlier >= rows for earlier in pairs.values()),
    )


def _split(pairs: dict[int, int], dataset: DataSet, fraction: float, seed: int) -> NearRows:
    """The pairs where the split holds rows out: exact copies stay on one side, near ones need not."""
    held = set(split(dataset.digests, fraction, seed)[1])
    alike: dict[int, set[int]] = {}
    for later, earlier in pairs.items():
        alike.setdefault(earlier, {earlier}).add(later)
    leaked = {row for rows in alike.values() if not rows <= held for row in rows & held}
    return NearRows(earlier=pairs, leaked=len(leaked), held_out_rows=len(held))


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
        # A part at a time: each piece takes 512 bytes here, and a row may be a book.
        parts = [self._least(windows[at : at + _PART]) for at in range(0, len(windows), _PART)]
        least: np.ndarray[Any, Any] = np.minimum.reduce(parts)
        return least

    def _least(self, windows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        pieces = np.unique((windows.astype(np.uint64) * self._powers).sum(axis=1, dtype=np.uint64))
        mixed = pieces[:, None] * self._factors + self._added
        least: np.ndarray[Any, Any] = (mixed >> np.uint64(32)).min(axis=0).astype(np.uint32)
        return least


def _pairs(signatures: np.ndarray[Any, Any], digests: array[int]) -> Iterator[tuple[int, int]]:
    """Rows with the earliest row that they are like, band by band."""
    import numpy as np

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
