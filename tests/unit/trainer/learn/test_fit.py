"""Sizes of storages as exact sparse combinations of quantities."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.memory.learned.monomials import quantities
from trainer.learn.fit import Basis
from trainer.learn.points import CHUNKS, ONE_ROW, PLAIN, basis_of, looped_points, points_between

NAMES = (*PLAIN, *CHUNKS, "M")
POINTS = points_between(0, None, one_row=False)


def sizes(form: dict[str, float], points: tuple[tuple[int, int, int], ...]) -> tuple[int, ...]:
    """The sizes that a form gives at some points."""
    functions = dict(zip(form, quantities(tuple(form)), strict=True))
    return tuple(round(sum(each * functions[name](*point) for name, each in form.items())) for point in points)


@pytest.mark.parametrize(
    "form",
    [
        {"1": 4096},
        {"T": 4096},
        {"Tr": 2},
        {"r": 57344},
        {"TL": 64},
        {"LL": 1},
        {"Bc128": 128 * 64 * 4},
        {"T": 8192, "B": -8192},
        {"T": 8192, "r": 16384},
        {"Bcc64": 4096, "T": 24},
        {"M": 65536},
    ],
    ids=str,
)
def test_a_form_is_found_from_three_points(form: dict[str, float]) -> None:
    basis = Basis(NAMES, POINTS)
    found = basis.exact(sizes(form, POINTS))
    assert found is not None
    assert {NAMES[index]: float(found[index]) for index in np.nonzero(found)[0]} == form


def test_points_tell_every_two_quantities_apart() -> None:
    """No quantity is a multiple of another at the points that are traced, of many rows or of one."""
    every = (
        (NAMES, POINTS),
        ((*ONE_ROW, "M"), points_between(0, None, one_row=True)),
        ((*PLAIN, *CHUNKS), points_between(4096, None, one_row=False)),
        (NAMES, points_between(300, 8192, one_row=False)),
        (tuple(name for name in NAMES if "256" not in name), looped_points(one_row=False)),
    )
    for names, points in every:
        table = np.array(Basis(names, points).table, dtype=float)
        table /= np.linalg.norm(table, axis=1, keepdims=True)
        alike = table @ table.T - np.eye(len(names))
        assert alike.max() < 1 - 1e-9


def test_points_keep_to_their_side_of_a_window() -> None:
    assert all(point.length <= 700 for point in points_between(256, 700, one_row=False))
    assert all(point.length > 256 for point in points_between(256, 700, one_row=False))
    assert all(point.length > 4096 for point in points_between(4096, None, one_row=True))


def test_sums_of_a_loop_over_chunks_are_found_by_least_squares() -> None:
    points = looped_points(one_row=False)
    form = {"T": 303684.0, "r": 172160.0, "Tr": 16.0, "B": -4145152.0, "Bc64": 17072256.0, "1": 20608.0}
    found = Basis(NAMES, points).close(sizes(form, points), scale=1e9)
    assert found is not None
    assert {NAMES[index]: float(found[index]) for index in np.nonzero(found)[0]} == form


def test_what_is_no_combination_is_not_fitted() -> None:
    points = looped_points(one_row=False)
    odd = tuple(10**9 + 10**8 * (index * 7919 % 13) for index in range(len(points)))
    assert Basis(NAMES, points).close(odd, scale=1e9) is None


def test_a_known_form_is_tried_first_where_rows_are_one() -> None:
    """Tokens that have a successor, T - B, are T - 1 in one row."""
    many = Basis(NAMES, POINTS)
    form = many.exact(sizes({"T": 8192, "B": -8192}, POINTS))
    assert form is not None
    names = basis_of("fused", one_row=True, full=False, chunks=1)
    points = points_between(0, None, one_row=True)[:2]
    one = Basis(names, points)
    one.know(many, [form])
    found = one.exact(sizes({"T": 8192, "B": -8192}, points))
    assert found is not None
    assert {names[index]: float(found[index]) for index in np.nonzero(found)[0]} == {"T": 8192, "1": -8192}
