"""Constants that cannot be derived, fitted to public measurements: printed by `python benchmarks/fit_memory.py`.

Everything else in this room follows from what the libraries allocate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Spread:
    """Ends of the interval, as shares of the estimate.

    The 5th and 95th percentile of truth over estimate, each row's model left out, opened by half to two percent
    because they are quantiles of 49 rows.
    """

    low: float
    high: float


ResidueKind = Literal["plain", "scores", "varied"]
"""Without expandable segments: steps of one length, without and with a score matrix (eager attention); and batches of
varied length. The first two are of the T4's rows, the third of the A100's; neither depends on the card."""

RESIDUE: Mapping[ResidueKind, float] = {"plain": 1.0, "scores": 0.76, "varied": 0.52}
"""Share of a pool of blocks that stays cached and unused: see `recommender.memory.process.residue`."""

LEFT, LEFT_AT_MOST = 0.6, 0.97
"""Of the loss at the longest micro-batch times the earlier records (`recommender.memory.lengths`), what stays cached.
The first is what 42 public rows of five limits come to (benchmarks/reference/reports_more.csv), the second what the
simulated allocator keeps on traced steps (`python -m benchmarks.mixed_lengths`), which bounds it."""

SPREAD: Mapping[str, Spread] = {
    "turing": Spread(0.93, 1.07),
    "ampere": Spread(0.93, 1.07),
    "expandable": Spread(0.95, 1.08),
    "cpu": Spread(0.8, 1.25),
    "guess": Spread(0.8, 1.25),
}
"""By where the estimate comes from. 'ampere' has rows of two models only, so it takes the wider of the two. No public
row was measured with expandable segments: that interval joins the formula's own error (1.4 %, worst 3 %) and what is
not known of the context and the allocator. The CPU's is of this project's own measurements: docs/memory.md.
A guess by another recipe's formula takes the widest: no measurement stands behind it."""

EXPANDABLE: Mapping[ResidueKind, float] = {"plain": 0.075, "scores": 0.14}
"""Share of a step's activations and loss that is held beside them with expandable segments: pages of 2 and 20 MiB, and
free pages between live blocks. Of the trace's simulated allocator: `python -m benchmarks.formula_vs_trace`."""

CONTEXT_MIB = {7: 140.875, 8: 450, 9: 520, 10: 600, 12: 600}
"""CUDA context by major compute capability. 7: measured in every T4 row. The others are not measured here: what
nvidia-smi shows of a process that has only started PyTorch's kernels, to about 100 MiB."""

ENDS = 1.645
"""Standard deviations from the middle of a normal distribution to its 5th and 95th percentile."""

HOLES, LOSS_HOLES = 0.55, 0.2
"""On a CPU, shares of what layers take and give back in a step, and of the loss's smaller blocks, that the C library's
heap holds in vain (`recommender.memory.heap`). Of 36 worst steps of five models; each half of them alone gives 0.45 and
0.15, and 0.65 and 0.2."""

FORMULA = 6
"""Version of the formula: raised when a term changes, so that older measurements centre nothing but their own plan."""

REPEATED = Spread(0.97, 1.03)
"""Interval of a plan that was measured: the T4 rows that were measured twice differ by 1.1 and 1.5 %."""

REPEATED_CPU = 0.045
"""Standard deviation, as a share, of one plan's worst step measured again on a CPU: the C library's heap is cut up
otherwise each time. docs/memory.md has the repeats."""

OWN_GPU, OWN_CPU = 0.03, 0.08
"""Standard deviation, as a share, that each plan's error has of its own within one recipe on one machine. GPU: of two
rows of one recipe in the reference the logarithms of truth over estimate differ with 0.042, which is √2 of it. CPU: of
36 worst steps of five models (docs/memory.md)."""
