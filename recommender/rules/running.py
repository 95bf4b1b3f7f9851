"""Evaluation and checkpoints."""

from __future__ import annotations

from recommender.data.profile.profile import DataProfile
from recommender.data.split import wanted_rows
from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values
from recommender.rules.reason import Reason
from recommender.steps import EVAL_SHARE, plan_steps
from recommender.units import count, counted, gib, percent

MOST = 1000
"""Held-out rows beyond which the loss gets no clearer but evaluation gets longer."""
FEW = 400
ENOUGH_HELD = 30
"""Held-out rows from which the mean of their losses is within a fifth of the rows' spread (1 / sqrt(30))."""
SHARE, SHARE_OF_FEW = 0.05, 0.1


EVAL_FILES = "data.eval names the rows that are evaluated: no share of the training rows is held out."


def recommended_eval_fraction(rows: int | None) -> float:
    """Share of rows to hold out: a twentieth; a tenth of few rows; at most 1 000 rows of many."""
    if rows is None:
        return SHARE
    if rows < FEW:
        return SHARE_OF_FEW
    return float(f"{min(SHARE, MOST / rows):.2g}")


def evaluation(context: Context) -> Values:
    """Share of rows held out, and intervals of evaluation and saving."""
    rows = context.data.rows if context.data is not None else None
    return {"data.eval_fraction": recommended_eval_fraction(rows), "run.eval_steps": "auto", "run.save_steps": "auto"}


def explain_evaluation(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for the share held out, and for the intervals of evaluation and saving."""
    data, value = context.data, values["data.eval_fraction"]
    held = ENOUGH_HELD if data is None else data.held_out_by_split(value, context.config.training.seed)
    planned = plan_steps(context.all_cards, data)
    every, often = "", ""
    if planned is not None and planned.eval_every is not None:
        every = f" Here: {_each(planned.eval_every)}, {counted(planned.evaluations, 'time')}."
    if planned is not None:
        often = f" Here: {_each(planned.save_every)}."
    return {
        "data.eval_fraction": Reason(
            value,
            _why_held(data, value, held) if context.config.data.eval is None else EVAL_FILES,
            "LLaMA-Factory's walk-through: a tenth or less",
            "medium" if held >= ENOUGH_HELD else "low",
            others="Guides that hold nothing out cannot see overfitting.",
            costs="The time of one forward pass over them at each evaluation.",
        ),
        "run.eval_steps": Reason(
            values["run.eval_steps"],
            f"Spread evenly over the run, so that evaluation takes at most {percent(EVAL_SHARE)} of the time.{every}",
            "this project",
            "medium",
            costs="none beyond evaluation's own time",
        ),
        "run.save_steps": Reason(
            values["run.save_steps"],
            _when_saved(judged=planned is None or planned.eval_every is not None) + often,
            "this project",
            "medium",
            costs="Disk: the adapter and its optimizer states, for as many as are kept.",
        ),
    }


def _why_held(data: DataProfile | None, value: float, held: int) -> str:
    """Return the reason for the number of rows held out, with their use."""
    if data is None:
        return f"{percent(value)} of the rows are held out, at random but always the same."
    if data.rows < 2:
        return "Nothing can be held out of a single row."
    if not held:
        return (
            f"None of {count(data.rows)} rows can be held out: copies of a row stay on one side, and every row has "
            f"more than {percent(value)} of all."
        )
    judged = (
        "enough to see the loss turn, few enough to be quick"
        if held >= ENOUGH_HELD
        else "so few that their loss only says which way it goes, and more would be missed in training"
    )
    share = f"{'At most ' if held < wanted_rows(data.rows, value) else ''}{percent(value)}"
    return (
        f"{share} of {count(data.rows)} rows, {count(held)}, {'is' if held == 1 else 'are'} held out: {judged}. Copies "
        "of a row stay on one side."
    )


def _each(steps: int) -> str:
    return "every step" if steps == 1 else f"every {count(steps)} steps"


def _when_saved(*, judged: bool) -> str:
    """Return the reason for the interval of checkpoints: with each evaluation, or as often without any."""
    if judged:
        return "A checkpoint at each evaluation, so that the best one can be kept and little is lost when the run dies."
    return "Nothing is held out, so no checkpoint can be judged: they are for a run that dies, and the last one counts."


def logging(_: Context) -> Values:
    """Logging of every step; two checkpoints kept."""
    return {"run.logging_steps": 1, "run.save_total_limit": 2}


def explain_logging(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for the logging interval and the number of checkpoints kept, with their size."""
    room = f" {gib(context.estimate.checkpoint_bytes)} each, {context.config.run.save_total_limit} are kept."
    return {
        "run.logging_steps": Reason(
            values["run.logging_steps"],
            "A line a step costs nothing that can be measured, and shows a spike when it happens.",
            "this project",
            "high",
            others="Transformers logs every 500 steps by default.",
            costs="none",
        ),
        "run.save_total_limit": Reason(
            values["run.save_total_limit"],
            "The last checkpoint and the best one, which may be the same.",
            "this project",
            "high",
            costs=f"Disk:{room}",
        ),
    }


RULES = (
    Rule("evaluation", ("data.eval_fraction", "run.eval_steps", "run.save_steps"), evaluation, explain_evaluation),
    Rule("logging", ("run.logging_steps", "run.save_total_limit"), logging, explain_logging),
)
