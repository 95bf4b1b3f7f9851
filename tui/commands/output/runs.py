"""The list of runs as a table in a plain terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tui.terminal.sanitize import as_markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from trainer.history.listing import RunSummary


def show_runs(runs: Sequence[RunSummary], console: Console) -> None:
    """Print every run with state, step, losses and age."""
    from rich.table import Table

    from recommender.units import duration

    if not runs:
        console.print("no runs yet")
        return
    table = Table(pad_edge=False)
    for heading in ("run", "status", "step", "loss", "eval_loss", "age", "reason"):
        table.add_column(heading, no_wrap=heading != "reason")
    for run in runs:
        steps = f"{run.step or 0}/{run.total_steps}" if run.total_steps else ""
        table.add_row(
            as_markup(run.id),
            run.status,
            steps,
            f"{run.loss:.3f}" if run.loss is not None else "",
            f"{run.eval_loss:.3f}" if run.eval_loss is not None else "",
            duration(time.time() - run.started) if run.started else "",
            as_markup(run.reason or ""),
        )
    console.print(table)
