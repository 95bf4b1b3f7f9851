"""The refusal to price what has no formula yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from presets.errors import InputError

if TYPE_CHECKING:
    from recommender.memory.workload import Workload


class CannotLearn(InputError):
    """A recipe whose formula cannot be learned: its class does not trace, or the formula does not hold."""


class NotLearned(InputError):
    """A model of no hand-written family, for whose recipe no tape is at hand: it can be learned, or traced.

    Attributes:
        workload: What was to be priced, with its model: what a caller can have learned, to ask again.
    """

    def __init__(self, workload: Workload) -> None:
        super().__init__(
            f"The memory of {workload.model.name} ({workload.model.architecture}) has not been learned for this "
            "configuration yet.",
            remedy="`lora-wizard estimate CONFIG` learns it in some seconds.",
        )
        self.workload = workload
