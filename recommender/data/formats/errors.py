"""Errors of rows that are not taken as they are: the person can say how they are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.data.formats.role_names import RoleNames


class ShapeError(InputError):
    """The rows of a file are not taken as they are: the person can say how they are to be read.

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
    """The rows can be read in several ways, and nobody has said which."""


def with_facts(
    error: InputError, columns: tuple[str, ...], turns: tuple[RoleNames, ...], first: Mapping[str, Any]
) -> ShapeError:
    """The error as one of rows, with what is known of them.

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
