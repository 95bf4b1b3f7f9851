"""Errors about row formats, which the person can answer by describing the rows."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.data.formats.role_names import RoleNames


class ShapeError(InputError):
    """Rows of an unusable or unknown format; the person can describe it.

    Attributes:
        columns: Every column of the first rows.
        first: The first row.
        turns: How turns are written in them.
        source: Which of the data sets it is, in the order in which they were given.
        key: Where those stand in the configuration: data.train or data.eval.
    """

    columns: tuple[str, ...] = ()
    first: Mapping[str, Any] = MappingProxyType({})
    turns: tuple[RoleNames, ...] = ()
    source: int = 0
    key: str = "data.train"


class ShapeQuestionError(ShapeError, QuestionError):
    """A question about rows that have several readings."""


def with_facts(
    error: InputError, columns: tuple[str, ...], turns: tuple[RoleNames, ...], first: Mapping[str, Any]
) -> ShapeError:
    """The error with the columns, turns and first row attached.

    Args:
        error: Why they are not taken.
        columns: Every column of the first rows.
        turns: How turns are written in them.
        first: The first row.
    """
    said = (
        ShapeQuestionError(error.question)
        if isinstance(error, QuestionError)
        else ShapeError(error.message, remedy=error.remedy, detail=error.detail)
    )
    said.columns, said.turns, said.first = columns, turns, first
    return said
