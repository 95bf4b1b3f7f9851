"""The quantities of a micro-batch in which learned formulas are linear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

TILE = 4096
"""Tokens that TRL's loss takes at a time."""
Quantity = Callable[[int, int, int], float]
"""A quantity of (rows, length, rank)."""

_POWERS = {
    "1": (0, 0, 0),
    "B": (1, 0, 0),
    "L": (0, 1, 0),
    "r": (0, 0, 1),
    "T": (1, 1, 0),
    "LL": (0, 2, 0),
    "Br": (1, 0, 1),
    "Tr": (1, 1, 1),
    "TL": (1, 2, 0),
}
"""Powers of rows, length and rank."""


def quantity(name: str) -> Quantity:
    """The quantity of a name.

    Products of B rows, L length, T = B·L tokens and r rank. 'M': tokens of a tile of TRL's loss, which takes those that
    have a successor. 'Bc64': B times the chunks of 64 tokens in a row; 'Bcc64': B times their square. 'C151': tokens of
    Liger's chunk where there are about 151 chunks.

    Raises:
        KeyError: There is none of that name.
    """
    if name in _POWERS:
        return _product(*_POWERS[name])
    if name == "M":
        return lambda rows, length, _: min(max(1, rows * (length - 1)), TILE)
    if name.startswith("Bcc"):
        square = int(name[3:])
        return lambda rows, length, _: rows * (-(-length // square)) ** 2
    if name.startswith("Bc"):
        step = int(name[2:])
        return lambda rows, length, _: rows * -(-length // step)
    if name.startswith("C"):
        chunks = int(name[1:])
        return lambda rows, length, _: liger_chunk(rows * length, chunks)
    raise KeyError(name)


def _product(rows_power: int, length_power: int, rank_power: int) -> Quantity:
    def product(rows: int, length: int, rank: int) -> float:
        found: int = rows**rows_power * length**length_power * rank**rank_power
        return found

    return product


def liger_chunk(tokens: int, chunks: int) -> int:
    """Tokens of one of Liger's chunks: a power of two (`fused_linear_cross_entropy.py`, Liger 0.8)."""
    return min(tokens, 1 << (max(1, -(-tokens // max(1, chunks))) - 1).bit_length())


def quantities(names: Sequence[str]) -> tuple[Quantity, ...]:
    """The quantities of several names."""
    return tuple(quantity(name) for name in names)
