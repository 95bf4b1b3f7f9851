"""OpenFile: a data file with its reader and the format of its rows."""

from __future__ import annotations

from dataclasses import dataclass

from recommender.data.formats.shape import Shape
from recommender.data.sources.readers import Reader
from recommender.data.stages.base import RowReader


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A data file with its reader and the shape its rows have."""

    reader: Reader
    shape: Shape
    rows: RowReader
    """Of the stage that is trained."""
    source: int = 0
    """Index of its data set, in the order in which they were given."""
    around: int = 0
    """Tokens that the chat template writes around a conversation, where lengths are estimated."""
