"""Effect of packing on a data set: padding saved, sequences made, and the strategy that loses nothing.

TRL's strategies (1.16, `trl.data_utils.pack_dataset`): 'bfd' packs whole rows, longest first, each where it fits best,
and cuts what is longer than a sequence; 'bfd_split' splits those and packs the parts; 'wrapped' fills every sequence
and lets rows run across its ends. Rows with answers stay whole, and plain text is split: nothing of it is lost, and no
row runs into another.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.stages import stage_of

Strategy = Literal["bfd", "bfd_split"]
TOGETHER = 1000
"""Rows that TRL packs at a time (the batch size of `datasets.Dataset.map`)."""
_ROUNDING = 1e-9
_TRIED = 5
"""Such batches that are packed here to know how full sequences become."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Padded batches against packed ones."""

    strategy: Strategy
    padding_share: float
    """Padding among the tokens of padded batches, as expected of shuffled rows."""
    sequences: int
    """Packed sequences of `max_length` tokens, about."""
    empty_share: float
    """The empty share of them. It is no padding: TRL joins the sequences of a batch without any (`padding_free`)."""
    rows_in_sequence: float
    """Rows in one on average."""


def strategy_for(profile: DataProfile) -> Strategy:
    """The packing strategy of this data: text is split where it is too long, rows with answers are kept whole."""
    return "bfd_split" if profile.shape == "text" else "bfd"


def packed_tokens(profile: DataProfile, max_length: int) -> int:
    """Tokens read in packed rows: all of plain text, of other rows those within the limit."""
    return profile.total_tokens if strategy_for(profile) == "bfd_split" else profile.tokens_at(max_length)


def packing(profile: DataProfile, max_length: int, batch: int) -> Packing:
    """The effect of packing.

    Args:
        profile: The data, at least one row.
        max_length: Tokens of a row at most, and of a packed sequence.
        batch: Rows, or sequences, of one forward pass.
    """
    strategy = strategy_for(profile)
    sequences = sequences_of(profile, max_length)
    empty = 1 - fullness(profile, max_length)
    return Packing(strategy, padding_share(profile, max_length, batch), sequences, empty, profile.rows / sequences)


def sequences_of(profile: DataProfile, max_length: int, rows: int | None = None) -> int:
    """Number of packed sequences of `max_length` tokens made of so many rows, or of all."""
    share = 1.0 if rows is None else rows / profile.rows
    tokens = packed_tokens(profile, max_length) * share
    return max(1, ceil(tokens / (max_length * fullness(profile, max_length))))


def fullness(profile: DataProfile, max_length: int) -> float:
    """The filled share of packed sequences."""
    asked = "fullness", max_length
    if asked not in profile.known:
        profile.known[asked] = _fullness(profile, max_length)
    return float(profile.known[asked])


def padding_share(profile: DataProfile, max_length: int, batch: int) -> float:
    """Expected padding among the tokens of batches of shuffled rows, each padded to its longest.

    The longest of b rows is at most v with chance F(v)^b, F being the share of rows of length v or less.
    """
    tally = profile.length_tally
    rows = tally.counts[-1]
    longest = below = 0.0
    for value, count in zip(tally.values, tally.counts[1:], strict=True):
        upto = (count / rows) ** batch
        longest += min(value, max_length) * (upto - below)
        below = upto
    mean = tally.clipped(max_length) / rows
    share = 1 - mean / longest if longest else 0.0
    # Where no row is padded, rounding leaves a little more or less than nothing.
    return share if share > _ROUNDING else 0.0


def _fullness(profile: DataProfile, max_length: int) -> float:
    """The filled share, by packing some batches: neighbours in file order, or evenly drawn of made-up rows."""
    lengths, strategy = profile.lengths, strategy_for(profile)
    batches = max(1, len(lengths) // TOGETHER)
    tokens = sequences = 0
    for number in range(0, batches, max(1, batches // _TRIED)):
        drawn = slice(number * TOGETHER, (number + 1) * TOGETHER)
        some = _pieces(lengths[drawn if profile.digests else slice(number, None, batches)], max_length, strategy)
        tokens += sum(some)
        sequences += best_fit_decreasing(some, max_length)
    return tokens / (sequences * max_length) if sequences else 1.0


def _pieces(lengths: Sequence[int], max_length: int, strategy: Strategy) -> list[int]:
    """Rows as they are packed: cut at max_length, or in parts of it."""
    if strategy == "bfd":
        return [min(length, max_length) for length in lengths if length]
    whole = [max_length for length in lengths for _ in range(length // max_length)]
    return whole + [length % max_length for length in lengths if length % max_length]


def best_fit_decreasing(lengths: Sequence[int], size: int) -> int:
    """Number of bins of a size for the items, each put, longest first, where it leaves the least space."""
    room: list[int] = []
    for length in sorted(lengths, reverse=True):
        place = bisect_left(room, length)
        insort(room, (room.pop(place) if place < len(room) else size) - length)
    return len(room)


def packs(config: FinetuneConfig) -> bool:
    """Whether rows are packed: 'auto' only with flash attention, where nothing else changes.

    Under SDPA a packed batch needs a length² mask and a slower kernel. Some stages' rows cannot be packed at all.
    """
    if not stage_of(config).packs:
        return False
    if config.data.packing == "auto":
        return config.training.attn_implementation.startswith("flash")
    return config.data.packing


def splits(profile: DataProfile, config: FinetuneConfig) -> bool:
    """Whether rows that are too long are packed in parts and not cut."""
    return packs(config) and strategy_for(profile) == "bfd_split"


def limit_of(profile: DataProfile, config: FinetuneConfig) -> int:
    """The length at which rows are cut; rows packed in parts are not cut at all."""
    return sys.maxsize if splits(profile, config) else config.data.max_length
