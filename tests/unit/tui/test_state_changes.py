"""What may be changed of the wizard's state is typed field by field."""

from __future__ import annotations

from dataclasses import fields

from presets.errors import InputError
from tui.widgets.top_bar import Step
from tui.wizard.state import Changes, Progress, WizardState


def test_every_field_of_the_state_can_be_changed_and_nothing_else() -> None:
    of_state = {field.name: field.type for field in fields(WizardState)}
    of_changes = {name: hint.__forward_arg__ for name, hint in Changes.__annotations__.items()}
    assert of_changes == of_state


def test_errors_are_set_and_taken_away_by_step() -> None:
    boom, other = InputError("boom"), InputError("other")
    state = WizardState(errors={Step.DATA: boom, Step.PLAN: boom})
    assert state.errors_with(None, Step.DATA) == {Step.PLAN: boom}
    assert state.errors_with(None, Step.DATA, Step.PLAN) == {}
    assert state.errors_with(other, Step.PLAN) == {Step.DATA: boom, Step.PLAN: other}
    assert state.errors == {Step.DATA: boom, Step.PLAN: boom}


def test_work_is_set_and_taken_away_by_step() -> None:
    reading, planning = Progress("reading"), Progress("planning")
    state = WizardState(working={Step.DATA: reading})
    assert state.working_with(Step.PLAN, planning) == {Step.DATA: reading, Step.PLAN: planning}
    assert state.working_with(Step.DATA, None) == {}
