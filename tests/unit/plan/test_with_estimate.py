"""A better estimate of a plan, such as a trace gives: what follows from an estimate follows from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recommender.data.profile.profile import DataProfile
from recommender.estimate.types import Estimate, fits_in
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan.alternatives import alternatives
from recommender.plan.document import launch_document
from recommender.plan.edit import replan, with_estimate
from recommender.plan.recommend import recommend
from recommender.plan.request import GOALS
from recommender.plan.search import Candidate, Space, search
from recommender.plan.types import Plan
from recommender.units import gib
from recommender.warning import codes
from tests.unit.plan.facts import EXAMPLE, GIB, LLAMA_8B, RTX_4090, SMOLLM, T4, TINY_CARD
from tui.commands.planning import advice


@pytest.fixture(scope="module")
def plan() -> Plan:
    return recommend(LLAMA_8B, RTX_4090, EXAMPLE)


def traced(estimate: Estimate, more: int) -> Estimate:
    """The estimate as a trace that finds so many bytes more."""
    old = estimate.peak
    peak = replace(
        old,
        allocated_bytes=old.allocated_bytes + more,
        reserved_bytes=old.reserved_bytes + more,
        process_bytes=old.process_bytes + more,
        low_bytes=old.low_bytes + more,
        high_bytes=old.high_bytes + more,
    )
    parts = {**estimate.parts, "activations": estimate.parts["activations"] + more}
    fits = fits_in(peak, estimate.free_bytes)
    return replace(estimate, peak=peak, parts=parts, fits=fits, basis="trace")


@pytest.mark.parametrize(
    "made",
    [(LLAMA_8B, RTX_4090, EXAMPLE), (SMOLLM, T4, EXAMPLE), (LLAMA_8B, TINY_CARD, None)],
    ids=["8B", "small", "no fit"],
)
def test_the_formulas_own_estimate_changes_nothing(made: tuple[ModelSpec, Device, DataProfile | None]) -> None:
    whole = recommend(*made)
    assert with_estimate(whole, whole.estimate) == whole


def test_a_trace_that_no_longer_fits_brings_its_own_warning_and_remedies(plan: Plan) -> None:
    assert plan.estimate.fits == "yes" and not plan.remedies
    found = traced(plan.estimate, plan.estimate.spare_bytes + 2 * GIB)
    after = with_estimate(plan, found)
    assert after.estimate is found and found.fits == "no"
    assert after.warnings[0].text.startswith(f"Does not fit: {gib(found.peak.process_bytes)} needed")
    assert set(plan.warnings) <= set(after.warnings)
    assert after.remedies
    for remedy in after.remedies:
        assert (remedy.fits == "no") is (remedy.saves_bytes < 2 * GIB), remedy
    assert after.alternatives == plan.alternatives


def test_a_trace_that_fits_after_all_drops_what_did_not(plan: Plan) -> None:
    too_much = replan(plan, {"training.per_device_train_batch_size": 256})
    assert too_much.estimate.fits == "no" and too_much.warnings[0].code == "does_not_fit"
    less = too_much.estimate.peak.high_bytes - too_much.estimate.free_bytes
    after = with_estimate(too_much, traced(too_much.estimate, -less))
    assert after.estimate.fits == "yes" and after.remedies == ()
    assert "does_not_fit" not in codes(after.warnings)


def test_the_card_that_would_hold_a_traced_plan_holds_what_was_traced(plan: Plan) -> None:
    found = traced(plan.estimate, plan.estimate.spare_bytes + 60 * GIB)
    warnings = with_estimate(plan, found).warnings
    (card,) = (one.text for one in warnings if one.code == "nothing_fits")
    size = float(card.split("(")[1].split(" GiB")[0])
    assert found.peak.high_bytes <= size * GIB < 2 * found.peak.high_bytes


def test_estimate_advises_from_its_trace(plan: Plan) -> None:
    found = traced(plan.estimate, plan.estimate.spare_bytes + 2 * GIB)
    warnings, offered = advice(plan.config, plan.model, plan.device, plan.data, found)
    after = with_estimate(plan, found)
    assert tuple(warnings) == after.warnings and tuple(offered) == after.remedies


def test_alternatives_of_a_traced_plan_are_compared_by_the_formula(plan: Plan) -> None:
    edited = replan(plan, {"training.seed": 7})
    there = with_estimate(edited, traced(edited.estimate, 3 * GIB))
    assert alternatives(there) == alternatives(edited)


def test_the_plan_of_a_file_searches_for_each_goal_once(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    goals = []

    def counted(space: Space) -> Candidate:
        goals.append(space.goal)
        return search(space)

    monkeypatch.setattr("recommender.plan.solve.search", counted)
    assert launch_document(plan.config, LLAMA_8B, RTX_4090, EXAMPLE)["alternatives"]
    assert sorted(goals) == sorted(GOALS)
