"""A trace from the Plan screen: its figures, its end, and what it is worth when the plan has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from presets.errors import InputError, NoError
from recommender.estimate.types import Estimate
from recommender.plan.types import Plan
from tests.functional.screens.made import GIB, MadeServices
from tests.functional.screens.plan.on_plan import take_card
from tests.functional.screens.seen import NARROW, WIDE, planned
from tui.wizard.plan_service import Cancelled, OnProgress, RealPlans


class Tracing(RealPlans):
    """Its trace takes until it is cancelled, or gives the formula's figures as its own."""

    def trace(self, plan: Plan, on_progress: OnProgress, cancelled: Cancelled) -> Estimate:
        on_progress(43, 100)
        if plan.config.training.seed == 1:
            while not cancelled():
                Event().wait(0.01)
            raise NoError("The trace was cancelled.")
        if plan.config.lora.use_dora:
            raise InputError("A trace does not unpack quantised weights.")
        if plan.config.training.seed == 2:
            free = plan.estimate.free_bytes
            peak = replace(plan.estimate.peak, process_bytes=free + 3 * GIB, high_bytes=free + 4 * GIB)
            return replace(plan.estimate, basis="trace", fits="no", peak=peak)
        return replace(plan.estimate, basis="trace")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_trace_takes_the_place_of_the_formula(tmp_path: Path, rows: str, size: tuple[int, int]) -> None:
    async with planned(MadeServices(tmp_path, planning=Tracing), [rows], size=size) as seen:
        assert seen.plan.estimate.basis == "formula"
        await seen.press("t")
        await seen.until(lambda: seen.plan.estimate.basis == "trace")
        await seen.sees("(trace)")
        assert "tracing" not in seen.text


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_trace_that_does_not_fit_says_so_and_offers_remedies(
    tmp_path: Path, rows: str, size: tuple[int, int]
) -> None:
    services = MadeServices(tmp_path, planning=Tracing)
    async with planned(services, [rows], size=size) as seen:
        seen.app.flow.plan.edit({"training.seed": 2})
        assert seen.plan.estimate.fits != "no"
        await seen.press("t")
        await seen.sees(" NO ", "too much", "(trace)", "tab: choose from these", "saves")
        assert seen.plan.warnings[0].code == "does_not_fit" and seen.plan.remedies
        await seen.press("a")
        await seen.sees("this plan, traced; all else by the formula")


async def test_a_trace_says_how_far_it_is_and_t_cancels_it(tmp_path: Path, rows: str) -> None:
    services = MadeServices(tmp_path, planning=Tracing)
    async with planned(services, [rows]) as seen:
        seen.app.flow.plan.edit({"training.seed": 1})
        await seen.press("t")
        await seen.sees("tracing 43 %", "t cancels")
        await seen.press("t")
        await seen.sees("cancelled")
        assert seen.plan.estimate.basis == "formula"


async def test_a_trace_that_is_refused_says_why(tmp_path: Path, rows: str) -> None:
    services = MadeServices(tmp_path, planning=Tracing)
    async with planned(services, [rows]) as seen:
        seen.app.flow.plan.edit({"lora.use_dora": True})
        await seen.press("t")
        await seen.sees("does not unpack quantised weights")


async def test_a_trace_of_what_is_out_of_date_is_void(tmp_path: Path, rows: str) -> None:
    services = MadeServices(tmp_path, planning=Tracing)
    async with planned(services, [rows]) as seen:
        seen.app.flow.plan.edit({"training.seed": 1, "training.precision": "bf16"})
        await seen.press("t")
        await seen.sees("tracing 43 %")
        await take_card(seen, "T4")
        await seen.sees("out of date: for RTX 4090", "tracing 43 %")
        await seen.press("t")
        await seen.sees("cancelled")
        await seen.sees("this did not work")
