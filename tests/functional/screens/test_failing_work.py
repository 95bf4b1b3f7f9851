"""Whatever fails in the background in an unforeseen way: what waited for it is told, and everything else goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from recommender.data import near_duplicates
from recommender.data.dataset import DataSet
from recommender.estimate.types import Estimate
from recommender.machine.facts import Device, Gpu, Machine, NvmlState
from recommender.model.sources.local import LocalModel
from recommender.model.spec import ModelSpec
from recommender.plan.types import Plan
from tests.functional.screens.made import FINE, LLAMA, MadeServices
from tests.functional.screens.seen import Seen, planned, wizard
from trainer.preflight.line import CheckLine
from tui.terminal.errors import crash_log_path
from tui.widgets.top_bar import Step
from tui.wizard.plan_service import RealPlans


class Panic(BaseException):
    """As the Rust libraries fail (pyo3_runtime.PanicException): no Exception."""


@pytest.fixture(autouse=True)
def own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))


def fail(*_: Any, **__: Any) -> Any:
    """Fail as nobody foresaw."""
    raise Panic("boom")


async def says_so(seen: Seen, *others: str) -> None:
    """The sentence with the log's place is seen, and the log has the traceback."""

    def said() -> bool:
        text = "".join(part.strip(" │┃▌▐▎█╭╮╰╯─") for line in seen.lines for part in line.split("│"))
        return "lora-wizard itself failed" in seen.text and "boom" in text and all(it in seen.text for it in others)

    await seen.until(said)
    assert "boom" in crash_log_path().read_text()


@asynccontextmanager
async def on_data(services: MadeServices, rows: str) -> Any:
    state = {"model_name": LLAMA, "data": {"train": [rows]}}
    async with wizard(services, start=Step.DATA, state=state) as seen:
        await seen.until(lambda: seen.app.state.dataset is not None)
        await seen.sees("sample 1 of 60")
        yield seen


class Tracing(RealPlans):
    trace = fail


async def test_a_trace(tmp_path: Path, rows: str) -> None:
    async with planned(MadeServices(tmp_path / "runs", planning=Tracing), [rows]) as seen:
        await seen.press("t")
        await says_so(seen)
        await seen.loses("tracing")
        await seen.press("t")
        await seen.until(lambda: crash_log_path().read_text().count("Panic: boom") == 2)


async def test_a_search_for_near_duplicates(services: MadeServices, rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "near_duplicates", fail)
    async with on_data(services, rows) as seen:
        await seen.press("D")
        await says_so(seen)
        await seen.loses("looking for near-duplicates")


async def test_a_row_that_cannot_be_shown(services: MadeServices, rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with on_data(services, rows) as seen:
        with monkeypatch.context() as broken:
            broken.setattr(DataSet, "sample", fail)
            await seen.press("right_square_bracket")
            await says_so(seen)
        await seen.press("right_square_bracket")
        await seen.sees("sample 3 of 60")


@pytest.mark.parametrize(("key", "method"), [("L", "longest"), ("x", "next_finding")])
async def test_a_row_that_is_looked_for(
    services: MadeServices, rows: str, monkeypatch: pytest.MonkeyPatch, key: str, method: str
) -> None:
    monkeypatch.setattr(DataSet, method, fail)
    async with on_data(services, rows) as seen:
        await seen.press(key)
        await says_so(seen)
        await seen.loses("looking through the rows")
        await seen.press("right_square_bracket")
        await seen.sees("sample 2 of 60")


async def test_the_first_rows_under_the_answers_to_a_question(tmp_path: Path) -> None:
    class Asking(MadeServices):
        first_row = fail

    rows = [{"prompt": f"Ask {i}", "response_a": "Left", "response_b": "Right", "winner": "b"} for i in range(30)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    state = {"model_name": LLAMA, "data": {"train": [str(path)]}}
    async with wizard(Asking(tmp_path / "runs"), start=Step.DATA, state=state) as seen:
        await says_so(seen, "which is it?")
        await seen.loses("reading …")


async def test_the_list_of_models(tmp_path: Path) -> None:
    class Listing(MadeServices):
        def local_models(self) -> Sequence[LocalModel]:
            raise Panic("boom")

    async with wizard(Listing(tmp_path / "runs"), start=Step.MODEL) as seen:
        await says_so(seen, "Qwen")


async def test_the_price_of_one_model(tmp_path: Path) -> None:
    class Pricing(MadeServices):
        def method_fit(self, model: ModelSpec, device: Device, method: str) -> Estimate:
            if model.total_parameters > 20e9:
                raise RuntimeError("boom")
            return super().method_fit(model, device, method)

    async with wizard(Pricing(tmp_path / "runs"), start=Step.MODEL) as seen:
        await says_so(seen, "Not every model was priced", "FITS")


async def test_what_is_polled_is_told_once(tmp_path: Path) -> None:
    looked: list[int] = []

    class Polling(MadeServices):
        def poll_gpus(self) -> tuple[tuple[Gpu, ...], NvmlState]:
            looked.append(1)
            raise Panic("boom")

    async with wizard(Polling(tmp_path / "runs")) as seen:
        await seen.until(lambda: seen.app.state.machine is not None)
        for _ in range(3):
            seen.app.flow.machine.poll()
            await seen.pilot.pause()
        await says_so(seen, "f5 looks again")
        assert looked == [1]
        await seen.press("f5")
        await seen.until(lambda: Step.MACHINE not in seen.app.state.working)
        seen.app.flow.machine.poll()
        await seen.until(lambda: len(looked) == 2)


@pytest.mark.parametrize(
    ("step", "method"),
    [(Step.MACHINE, "probe"), (Step.MODEL, "read_model"), (Step.DATA, "profile"), (Step.PLAN, "recommend")],
)
async def test_the_work_of_a_step(tmp_path: Path, rows: str, step: Step, method: str) -> None:
    planning = type("FailingPlans", (RealPlans,), {method: fail})
    services = type("Failing", (MadeServices,), {method: fail})(tmp_path / "runs", planning=planning)
    state = {"model_name": LLAMA, "data": {"train": [rows]}}
    async with wizard(services, start=step, state=state) as seen:
        await says_so(seen)
        assert step not in seen.app.state.working
        await seen.press("1")
        await seen.until(lambda: seen.app.at is Step.MACHINE)


async def test_checks(tmp_path: Path, rows: str) -> None:
    class Checking(MadeServices):
        def checks(self, plan: Plan, dataset: DataSet, stopped: Callable[[], bool]) -> Iterator[CheckLine]:
            yield from FINE[:1]
            raise Panic("boom")

    async with planned(Checking(tmp_path / "runs"), [rows]) as seen:
        await seen.press("g")
        await says_so(seen, "✓ disk")
        await seen.loses("checking")
        await seen.press("f5")
        await seen.until(lambda: crash_log_path().read_text().count("Panic: boom") == 2)


async def test_a_start(tmp_path: Path, rows: str) -> None:
    class Starting(MadeServices):
        def launch(self, plan: Plan, machine: Machine | None) -> Path:
            raise Panic("boom")

    async with planned(Starting(tmp_path / "runs"), [rows]) as seen:
        await seen.press("g")
        await seen.sees("ready")
        await seen.press("g", "g")
        await says_so(seen)
        await seen.loses("starting")
