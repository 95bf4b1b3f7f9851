"""The measured pace of this machine's worst steps against the formula's seconds.

A measured worst step says how long the same plan takes here, whatever the reason: slower cores, other programs. Another
plan of the same recipe is moved by part of that: the logarithm of measured over predicted seconds is taken apart as
that of memory is (`recommender.memory.measured`), into what recipe and machine have in common and what is a plan's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recommender.memory.fitted import ENDS
from recommender.memory.measured import COMPARABLE, Measurement, plan_key, recipe_key, shrunk
from recommender.memory.workload import Workload
from recommender.units import counted, duration

OWN = 0.2
"""Standard deviation of a plan's own part, as a share: what a median error of 13 % on the T4's rows makes of
a normal distribution."""
REPEATED = (0.75, 1.33)
"""Interval of a plan whose step was measured: another moment of the same machine."""
TOLD = 1.25
"""Measured over predicted time, or the other way round, from which on the difference is said."""
BUSY = 1.5
"""Load a core while a step was measured from which on other programs are named as a reason."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The measured correction of the formula's seconds. Ends of the interval are shares of the corrected time."""

    factor: float
    low: float
    high: float
    same_plan: bool = False
    """Whether a step of this very plan was measured."""
    others: int = 0
    """Measured plans of the same recipe that moved it."""
    note: str = ""
    """A sentence on the measurement and its difference; empty where there is none."""


def pace_of(workload: Workload, predicted: float, ends: tuple[float, float], known: Sequence[Measurement]) -> Pace:
    """The pace of a plan, by what was measured on its machine.

    The same plan: its last measurement, which is how the machine is now. Else the plans of its recipe whose predicted
    seconds are within a factor of 4, each by its last measurement.

    Args:
        workload: What is priced.
        predicted: The formula's seconds of its worst step.
        ends: The interval's ends without any measurement, as shares of the estimate.
        known: Measurements of this machine, oldest first.
    """
    plan, recipe = plan_key(workload), recipe_key(workload)
    latest = {one.plan: one for one in known if one.recipe == recipe and one.ratio_of_seconds is not None}
    if (same := latest.get(plan)) is not None and same.ratio_of_seconds is not None:
        return Pace(same.ratio_of_seconds, *REPEATED, same_plan=True, note=_note(same))
    ratios = [
        math.log(one.ratio_of_seconds)
        for one in latest.values()
        if one.ratio_of_seconds and one.predicted_seconds and _alike(one.predicted_seconds, predicted)
    ]
    if not ratios:
        return Pace(1.0, *ends)
    common = max(0.0, (math.log(ends[1] / ends[0]) / (2 * ENDS)) ** 2 - OWN**2)
    weight, half = shrunk(len(ratios), common, OWN**2)
    factor = math.exp(weight * sum(ratios) / len(ratios))
    note = ""
    if not 1 / TOLD < factor < TOLD:
        steps = counted(len(ratios), "measured step")
        note = f"Time: {factor:.2g} times the formula's, by {steps} of this recipe on this machine."
    return Pace(factor, math.exp(-half), math.exp(half), others=len(ratios), note=note)


def _alike(one: float, other: float) -> bool:
    return max(one, other) <= COMPARABLE * min(one, other)


def _note(one: Measurement) -> str:
    ratio = one.ratio_of_seconds
    if ratio is None or one.measured_seconds is None or one.predicted_seconds is None or 1 / TOLD < ratio < TOLD:
        return ""
    how = f"{ratio:.2g} times slower" if ratio > 1 else f"{1 / ratio:.2g} times faster"
    why = ""
    if ratio > 1 and one.load is not None and one.load >= BUSY:
        why = (
            f": other programs kept the processor busy then (load {one.load:.1f} a core); measure again once it is idle"
        )
    return (
        f"Time is that of this plan's measured step: {duration(one.measured_seconds)}, "
        f"{how} than the formula's {duration(one.predicted_seconds)}{why}."
    )
