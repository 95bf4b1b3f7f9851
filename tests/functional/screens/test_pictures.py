"""Every step of the wizard and its windows, as a picture: nothing on them changes unseen."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import pytest
from textual.pilot import Pilot

from recommender.model.sources.local import LocalModel
from tests.functional.picture import SIZES, Compare, Size
from tests.functional.screens.made import GIB, LLAMA, SMOL, MadeServices
from tests.functional.screens.plan.on_plan import does_not_fit, go_to
from tests.functional.screens.seen import Seen
from tui.widgets.top_bar import Step
from tui.wizard.app import WizardApp
from tui.wizard.draft import Draft
from tui.wizard.state import WizardState

Act = Callable[[Seen], Awaitable[None]]
RUNS = Path("runs")


@pytest.fixture
def take(assert_picture: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Open the wizard in an empty folder and hold its picture against the kept one."""
    # The name of the folder changes, so that files in it are given relative to it.
    monkeypatch.chdir(tmp_path)

    def taken(size: Size, start: Step, act: Act, rows: Iterable[Mapping[str, str]] = (), **services: object) -> None:
        lines = [json.dumps(row) + "\n" for row in rows]
        Path("train.jsonl").write_text("".join(lines), encoding="utf-8")
        state = WizardState(Draft(model_name=LLAMA, data={"train": ["train.jsonl"]})) if lines else WizardState()
        app = WizardApp(MadeServices(RUNS, **services), state, start=start)  # type: ignore[arg-type]  # fields by name

        async def acted(pilot: Pilot[int]) -> None:
            await act(Seen(app, pilot))

        assert_picture(app, size, acted)

    return taken


def questions() -> list[dict[str, str]]:
    answers = (" ".join(["word"] * (20 + 10 * number)) for number in range(60))
    return [{"instruction": f"Name {n} things.", "input": "", "output": text} for n, text in enumerate(answers)]


def rated() -> list[dict[str, str]]:
    return [{"prompt": f"Which {n}?", "response_a": "Left", "response_b": "Right", "winner": "b"} for n in range(20)]


async def rests(seen: Seen, *texts: str) -> None:
    """Wait for texts on the screen with nothing left that works."""
    await seen.until(lambda: all(text in seen.text for text in texts) and not seen.app.state.working)


async def planned(seen: Seen) -> None:
    await seen.until(lambda: seen.app.state.plan is not None and seen.app.state.dataset is not None)
    await rests(seen, "learning_rate")


@pytest.mark.parametrize("size", SIZES)
def test_machine(take: Callable[..., None], size: Size) -> None:
    take(size, Step.MACHINE, lambda seen: rests(seen, "RTX 4090", "412 GiB", "outside this container"))


@pytest.mark.parametrize("size", SIZES)
def test_what_if_card(take: Callable[..., None], size: Size) -> None:
    async def act(seen: Seen) -> None:
        await rests(seen, "RTX 4090", "412 GiB")
        await seen.press("w", *"a100")
        await rests(seen, "what-if gpu", "A100")

    take(size, Step.MACHINE, act)


@pytest.mark.parametrize("size", SIZES)
def test_model(take: Callable[..., None], size: Size) -> None:
    spec = MadeServices(RUNS).catalogue_spec(SMOL)
    here = (
        LocalModel("me/my-model", "cache", RUNS, 3 * GIB, spec),
        LocalModel("me/broken", "cache", RUNS, GIB, None, "model.safetensors is cut short"),
    )
    take(size, Step.MODEL, lambda seen: rests(seen, "on this disk", "my-model", "gpu0 RTX 4090"), here=here)


@pytest.mark.parametrize("size", SIZES)
def test_data(take: Callable[..., None], size: Size) -> None:
    take(size, Step.DATA, lambda seen: rests(seen, "60 rows", "sample 1 of"), questions())


@pytest.mark.parametrize("size", SIZES)
def test_question(take: Callable[..., None], size: Size) -> None:
    take(size, Step.DATA, lambda seen: rests(seen, "which is it?", "Right"), rated())


@pytest.mark.parametrize("size", SIZES)
def test_plan(take: Callable[..., None], size: Size) -> None:
    take(size, Step.PLAN, planned, questions())


@pytest.mark.parametrize("size", SIZES)
def test_plan_that_does_not_fit(take: Callable[..., None], size: Size) -> None:
    async def act(seen: Seen) -> None:
        await planned(seen)
        await does_not_fit(seen)
        await rests(seen, "NO")

    take(size, Step.PLAN, act, questions())


@pytest.mark.parametrize("size", SIZES)
def test_editor(take: Callable[..., None], size: Size) -> None:
    async def act(seen: Seen) -> None:
        await planned(seen)
        await go_to(seen, "r / lora_alpha")
        await seen.press("enter")
        await rests(seen, "rank of the update")

    take(size, Step.PLAN, act, questions())


@pytest.mark.parametrize("size", SIZES)
def test_help(take: Callable[..., None], size: Size) -> None:
    async def act(seen: Seen) -> None:
        await planned(seen)
        await go_to(seen, "learning_rate")
        before = seen.app.screen
        await seen.press("question_mark")
        await seen.until(lambda: seen.app.screen is not before)

    take(size, Step.PLAN, act, questions())


@pytest.mark.parametrize("size", SIZES)
def test_check(take: Callable[..., None], size: Size) -> None:
    async def act(seen: Seen) -> None:
        await planned(seen)
        await seen.press("g")
        await rests(seen, "✓ disk", "✓ one worst-case step", "ready")

    take(size, Step.PLAN, act, questions())
