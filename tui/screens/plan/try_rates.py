"""Offer to settle the learning rate: the rates to try, the time that it takes, and the command."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from recommender.units import duration, small
from tui.screens.popup import ConfirmPopup
from tui.widgets.rows import Row, row

if TYPE_CHECKING:
    from recommender.plan.types import Plan

STEPS = 50
RATE = "training.learning_rate"


def command(plan: Plan, path: str) -> str:
    """Command that trains each rate briefly, as a shell takes it."""
    from recommender.rules.rate import to_try

    rates = ",".join(small(rate) for rate in to_try(plan.config.training.learning_rate))
    return f"lora-wizard try {shlex.quote(path)} --set {RATE}={rates} --steps {STEPS}"


def try_rows(plan: Plan) -> list[Row]:
    """Rows of the trial: what it does, with what, and for how long."""
    from recommender.rules.rate import to_try

    rates = to_try(plan.config.training.learning_rate)
    reason = plan.reasons.get(RATE)
    sure = reason.confidence if reason is not None else "low"
    rows = [
        row((f"The rate's confidence is {sure}: ", "plain"), ("your own rows can settle it.", "plain")),
        row(),
        row(("rates ", "label"), (" · ".join(small(rate) for rate in rates), "bright"), indent=6),
        row(("each ", "label"), (f"{STEPS} steps on the same rows, ranked by held-out loss", "plain"), indent=6),
    ]
    time = plan.estimate.time
    if time is not None:
        took = duration(len(rates) * STEPS * time.step_seconds)
        rows.append(row(("time ", "label"), (f"about {took} in all, and loading", "plain"), indent=6))
    return [
        *rows,
        row(),
        row(("Give this, here or in another terminal:", "label")),
        row((command(plan, "FILE"), "accent"), indent=2),
        row(),
        row(("Short runs flatter high rates: take the winner as a direction.", "quiet")),
    ]


def try_popup(plan: Plan) -> ConfirmPopup:
    """Popup of the trial; answers 'yes' when the configuration is to be saved for it."""
    return ConfirmPopup("try learning rates", try_rows(plan), yes="save the configuration")
