"""A plan stands on a model and data: where one of them failed, or asks, there is no plan, and the reason is told."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from presets.questions import Choice, Question, QuestionError
from recommender.data.dataset import DataSet
from tests.functional.screens.made import LLAMA, MadeServices
from tests.functional.screens.seen import NARROW, WIDE, Seen, planned, wizard
from tui.widgets.top_bar import Step


def misspelt(folder: Path) -> Path:
    (folder / "support.jsonl").write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    return folder / "suport.jsonl"


def empty(folder: Path) -> Path:
    (folder / "empty.jsonl").touch()
    return folder / "empty.jsonl"


def of_no_shape(folder: Path) -> Path:
    (folder / "messy.csv").write_text("Frage;Antwort;Notiz\nWas?;Das.;x\nWer?;Der.;y\n", encoding="utf-8")
    return folder / "messy.csv"


def without_data(folder: Path) -> Path:
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.md").write_text("nothing to train on", encoding="utf-8")
    return folder / "notes"


def binary(folder: Path) -> Path:
    (folder / "image.jsonl").write_bytes(bytes(range(256)) * 20)
    return folder / "image.jsonl"


def forbidden(folder: Path) -> Path:
    path = misspelt(folder).with_name("support.jsonl")
    path.chmod(0)
    return path


WRONG = [
    (misspelt, "There is no file", "Did you mean"),
    (empty, "is empty", "Give a file"),
    (without_data, "holds no data file", ".jsonl"),
    (binary, "is not UTF-8", "Convert it"),
    pytest.param(
        forbidden, "may not be read", "", marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    ),
]


def no_plan(seen: Seen) -> None:
    assert seen.app.state.plan is None
    assert not {"FITS", "TIGHT"} & set(seen.text.split())


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize(("made", "reason", "remedy"), WRONG)
async def test_with_wrong_data_there_is_no_plan_but_the_reason(
    services: MadeServices,
    tmp_path: Path,
    made: Callable[[Path], Path],
    reason: str,
    remedy: str,
    size: tuple[int, int],
) -> None:
    state = {"model_name": LLAMA, "data": {"train": [str(made(tmp_path))]}}
    async with wizard(services, start=Step.PLAN, state=state, size=size) as seen:
        await seen.sees("✗ step 3 Data did not work", "esc closes")
        told = " ".join(seen.text.replace("│", " ").split())
        assert reason in told and remedy in told
        assert "✗" in seen.lines[0]
        no_plan(seen)
        await seen.press("g")
        await seen.until(lambda: told_in_a_toast(seen, reason))
        assert seen.app.at is Step.PLAN
        # First what g said is closed, then the panel; the step is left only then.
        await seen.press("escape", "escape")
        await seen.loses("esc closes")
        assert seen.app.at is Step.PLAN
        await seen.sees("no plan: ✗ step 3 Data did not work")
        await seen.press("3")
        await seen.sees("this did not work", "✗")
        await seen.press("4")
        no_plan(seen)
        await seen.press("5")
        await seen.sees("Step 3 Data did not work")


def told_in_a_toast(seen: Seen, part: str) -> bool:
    return any(part in toast.message for toast in seen.app._notifications)


async def test_a_wrong_model_and_wrong_data_are_told_at_once(tmp_path: Path) -> None:
    refusal = InputError("There is no folder lama.", remedy="Did you mean llama?")
    services = MadeServices(tmp_path / "runs", refusals={"lama": refusal})
    state = {"model_name": "lama", "data": {"train": [str(misspelt(tmp_path))]}}
    async with wizard(services, start=Step.PLAN, state=state) as seen:
        await seen.sees("✗ step 2 Model did not work: There is no folder lama.", "Did you mean llama?")
        await seen.sees("✗ step 3 Data did not work", "support.jsonl?")
        assert seen.lines[0].count("✗") == 2
        no_plan(seen)
        await seen.press("g")
        await seen.until(lambda: told_in_a_toast(seen, "Step 2 Model did not work: There is no folder lama."))
        # With a model that can be read the rows are read anew, for it.
        seen.app.flow.model.choose(LLAMA)
        await seen.loses("step 2 Model")
        await seen.sees("✗ step 3 Data did not work")


class Asks(MadeServices):
    """Data that leaves a question open."""

    def profile(self, data: Any, *rest: Any) -> DataSet:
        if data.get("format") is None:
            choices = (Choice({"data.format": "alpaca"}, "Trains the answers."),)
            raise QuestionError(Question("which_shape", "Is this a question and its answer?", choices))
        return MadeServices.profile(self, data, *rest)


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_columns_of_no_known_shape_are_asked_about(
    services: MadeServices, tmp_path: Path, size: tuple[int, int]
) -> None:
    state = {"model_name": LLAMA, "data": {"train": [str(of_no_shape(tmp_path))]}}
    async with wizard(services, start=Step.PLAN, state=state, size=size) as seen:
        await seen.sees("? step 3 Data asks", "3 answers it")
        assert "Which column asks" in " ".join(seen.text.replace("│", " ").split())
        no_plan(seen)


async def test_with_a_question_of_the_data_there_is_no_plan_until_it_is_answered(tmp_path: Path, rows: str) -> None:
    state = {"model_name": LLAMA, "data": {"train": [rows]}}
    async with wizard(Asks(tmp_path / "runs"), start=Step.PLAN, state=state) as seen:
        await seen.sees("? step 3 Data asks: Is this a question and its answer?", "3 answers it")
        assert "--set" not in seen.text
        no_plan(seen)
        await seen.press("g")
        await seen.until(lambda: told_in_a_toast(seen, "Step 3 Data asks first: Is this a question"))
        seen.app.flow.data.change(format="alpaca")
        await seen.until(lambda: seen.app.state.plan is not None)
        await seen.loses("step 3 Data")
        await seen.sees("FITS")


async def test_a_plan_whose_data_was_exchanged_for_wrong_data_says_so(
    services: MadeServices, rows: str, tmp_path: Path
) -> None:
    async with planned(services, [rows]) as seen:
        before = seen.plan
        await seen.press("3")
        await seen.fill("#path", str(misspelt(tmp_path)))
        await seen.sees("this did not work")
        await seen.press("4")
        await seen.sees("✗ step 3 Data did not work", "out of date: for other data")
        assert seen.plan is before and seen.app.state.stale
        await seen.press("g")
        await seen.until(lambda: told_in_a_toast(seen, "Step 3 Data did not work"))


async def test_g_before_anything_was_chosen_names_what_is_missing(services: MadeServices) -> None:
    async with wizard(services, start=Step.PLAN) as seen:
        await seen.sees("no model yet")
        await seen.press("g")
        await seen.until(lambda: told_in_a_toast(seen, "There is no model yet: 2 chooses one."))


async def test_a_stop_in_the_data_is_red_in_the_plan(services: MadeServices, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    good = '{"instruction": "a question", "output": "an answer"}\n'
    path.write_text(good * 20 + '{"instruction": "no answer"}\n', encoding="utf-8")
    async with planned(services, [str(path)]) as seen:
        await seen.sees("✗ 3 Data: ")
