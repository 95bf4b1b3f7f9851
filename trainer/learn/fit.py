"""Sizes of storages as exact sparse combinations of a micro-batch's quantities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from recommender.memory.learned.monomials import quantities

Form = NDArray[np.float64]
"""Coefficients, one a quantity of the basis."""
ALIKE_IN_ONE_ROW = {"B": "1", "L": "T", "LL": "TL", "Br": "r"}
"""Quantities that are another one where rows are one."""
FINEST = 8
"""Parts of a byte in which coefficients are whole: bits."""
LOOSE = ("1", "T", "r", "Tr", "B", "L", "TL")
"""Quantities of sums of many storages, beside chunks."""
CLOSE = 1e-3
"""Largest error of a fit by least squares, as a share of the largest level of the pass."""


class Basis:
    """The quantities that sizes may depend on, and their values at the points that were recorded.

    Args:
        names: Of `recommender.memory.learned.monomials`, the likeliest first.
        points: (rows, length, rank) of each.
    """

    def __init__(self, names: Sequence[str], points: Sequence[tuple[int, int, int]]) -> None:
        self.names = tuple(names)
        self.points = tuple(points)
        self.table = [[int(each(*point)) for point in points] for each in quantities(names)]
        self._known: dict[tuple[int, ...], Form | None] = {}
        self._loose: dict[tuple[int, ...], Form | None] = {}

    def zero(self) -> Form:
        """The form of nothing."""
        return np.zeros(len(self.names))

    def know(self, other: Basis, forms: Iterable[Form]) -> None:
        """Try the forms that sizes have in another regime before all others."""
        functions = quantities(other.names)
        amounts = np.array([[each(*point) for each in functions] for point in self.points], dtype=float)
        for form in forms:
            sizes = tuple(int(size) for size in np.round(amounts @ form))
            if sizes in self._known:
                continue
            mine = self._in_mine(other, form)
            if mine is not None:
                self._known[sizes] = mine

    def _in_mine(self, other: Basis, form: Form) -> Form | None:
        """A form of another basis in this one's quantities, where one row is all there is; None where it has others."""
        found = self.zero()
        for name, each in zip(other.names, form, strict=True):
            if not each:
                continue
            alias = name if name in self.names else ALIKE_IN_ONE_ROW.get(name, "")
            if alias not in self.names:
                return None
            found[self.names.index(alias)] += each
        return found

    def exact(self, sizes: tuple[int, ...]) -> Form | None:
        """The sparsest combination of at most three quantities that gives these sizes exactly; None where none does."""
        if sizes not in self._known:
            self._known[sizes] = self._exact(sizes)
        return self._known[sizes]

    def close(self, sizes: tuple[int, ...], scale: float) -> Form | None:
        """A combination that gives sums of many storages: exact where one is, else by least squares.

        None where the quantities do not describe them within `CLOSE` of `scale`, bytes.
        """
        if sizes not in self._loose:
            found = self.exact(sizes)
            self._loose[sizes] = found if found is not None else self._least_squares(sizes, scale)
        return self._loose[sizes]

    def _exact(self, sizes: tuple[int, ...]) -> Form | None:
        if not any(sizes):
            return self.zero()
        for count in (1, 2, 3):
            if count > len(sizes):
                return None
            found = [form for which in combinations(range(len(self.names)), count) if (form := self._of(sizes, which))]
            if found:
                plainest = self.zero()
                for index, coefficient in min(found, key=_plainness).items():
                    plainest[index] = float(coefficient)
                return plainest
        return None

    def _of(self, sizes: tuple[int, ...], which: tuple[int, ...]) -> dict[int, Fraction] | None:
        """The coefficients of these quantities that give the sizes; None where no plain ones do."""
        columns = [self.table[index] for index in which]
        solved = _solve(columns, sizes, len(which))
        if solved is None or any(not c or FINEST % c.denominator for c in solved):
            return None
        for point, size in enumerate(sizes):
            if sum(c * column[point] for c, column in zip(solved, columns, strict=True)) != size:
                return None
        return dict(zip(which, solved, strict=True))

    def _least_squares(self, sizes: tuple[int, ...], limit: float) -> Form | None:
        """The best combination of the quantities that loops over chunks of a row give rise to."""
        values = np.array(sizes, dtype=float)
        best: tuple[float, Form] | None = None
        chunked = [name for name in self.names if name.startswith("Bc") and not name.startswith("Bcc")]
        for chunks in ((), *((name,) for name in chunked)):
            chosen = [self.names.index(name) for name in (*LOOSE, *chunks) if name in self.names]
            if len(chosen) >= len(sizes):
                continue
            columns = np.array([self.table[index] for index in chosen], dtype=float).T
            scale = columns.max(axis=0)
            solution = np.linalg.lstsq(columns / scale, values, rcond=None)[0] / scale
            whole = np.round(solution * FINEST) / FINEST
            near, found = _error(columns, whole, values), _error(columns, solution, values)
            error, chosen_form = (near, whole) if near <= max(found, 1e-6 * limit) else (found, solution)
            if best is None or error < best[0] * 0.99:
                form = self.zero()
                form[chosen] = chosen_form
                best = error, form
        return None if best is None or best[0] > CLOSE * limit else best[1]


def _error(columns: Form, solution: Form, values: Form) -> float:
    return float(np.abs(columns @ solution - values).max())


def _solve(columns: Sequence[Sequence[int]], sizes: Sequence[int], count: int) -> tuple[Fraction, ...] | None:
    """Coefficients from the first points, exactly; None where the quantities do not differ there."""
    if count == 1:
        return (Fraction(sizes[0], columns[0][0]),) if columns[0][0] else None
    if count == 2:
        (a, b), (c, d) = (columns[0][:2], columns[1][:2])
        determinant = a * d - b * c
        if not determinant:
            return None
        first = Fraction(sizes[0] * d - sizes[1] * c, determinant)
        second = Fraction(a * sizes[1] - b * sizes[0], determinant)
        return first, second
    return _cramer([list(column[:3]) for column in columns], sizes)


def _cramer(columns: list[list[int]], sizes: Sequence[int]) -> tuple[Fraction, ...] | None:
    determinant = _determinant(columns)
    if not determinant:
        return None
    replaced = ([*columns[:index], list(sizes[:3]), *columns[index + 1 :]] for index in range(3))
    return tuple(Fraction(_determinant(each), determinant) for each in replaced)


def _determinant(columns: list[list[int]]) -> int:
    (a, b, c), (d, e, f), (g, h, i) = columns
    return a * (e * i - f * h) - d * (b * i - c * h) + g * (b * f - c * e)


def _plainness(form: dict[int, Fraction]) -> tuple[float, ...]:
    """Whole coefficients before broken ones, no difference before one, small before large."""
    broken = sum(c.denominator > 1 for c in form.values())
    negative = sum(c < 0 for c in form.values())
    return broken, negative, float(sum(abs(c) for c in form.values())), float(sum(form))
