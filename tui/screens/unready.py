"""Steps that stand between a person and a plan, or its start: failed, at work, or not done yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from presets.questions import QuestionError
from tui.screens.progress import progress_rows
from tui.terminal.sanitize import clean
from tui.widgets.rows import Row, row
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from presets.errors import WizardError
    from tui.wizard.state import WizardState


def failure_rows(step: Step, error: WizardError) -> list[Row]:
    """Rows that name a step that failed or asks, its reason and what to do about it."""
    from recommender.data.formats.recognise import ShapeError

    asks = isinstance(error, QuestionError)
    remedy, way = clean(error.remedy), " goes there"
    if asks:
        # Its remedy and its detail are options of the command line.
        remedy, way = "", " answers it"
    elif isinstance(error, ShapeError) and error.columns:
        remedy, way = "", ", then f, says which column is what"
    return [
        row((f"{_failure(step, error)}: ", "bad"), (clean(error.message), "bright"), indent=2),
        row(("→ ", "accent"), f"{remedy} " if remedy else "", (str(step.value), "accent"), (way, "label"), indent=2),
    ]


def _failure(step: Step, error: WizardError) -> str:
    mark, does = ("?", "asks") if isinstance(error, QuestionError) else ("✗", "did not work")
    return f"{mark} step {step.value} {step.title} {does}"


def waiting_rows(state: WizardState) -> list[Row]:
    """Rows that say what the plan waits for, and how far it is."""
    for step in (Step.MACHINE, Step.MODEL, Step.DATA, Step.PLAN):
        if step in state.working:
            return progress_rows(state.working[step], 60)
    if failed := state.failed:
        return [row(("no plan: ", "label"), (_failure(step, error), "bad")) for step, error in failed.items()]
    if state.model is None:
        return [row(("no model yet: ", "label"), ("2", "accent"), (" chooses one", "label"))]
    return [row(("no plan yet", "label"))]


def lacking(state: WizardState) -> str:
    """Sentence that says why nothing can be checked or started yet; empty where it can."""
    for step, progress in sorted(state.working.items()):
        if step not in state.done or state.stale:
            return f"Not yet: {clean(progress.what)} …"
    if failed := state.failed:
        step, error = next(iter(failed.items()))
        if isinstance(error, QuestionError):
            return f"Step {step.value} {step.title} asks first: {clean(error.message)}"
        return f"Step {step.value} {step.title} did not work: {clean(str(error))}"
    if state.model is None:
        return "There is no model yet: 2 chooses one."
    if state.dataset is None:
        return "There is no data to train on yet: 3."
    if state.stale:
        return "The plan was made for another machine, model or data: 4 makes it anew."
    return "There is no plan to check yet: 4." if state.plan is None else ""
