"""Rules that hold on every screen."""

from pathlib import Path

import pytest
from textual import events
from textual.app import App
from textual.screen import Screen

from tests.functional.screens.made import MadeServices
from tests.functional.screens.seen import NARROW, WIDE, Seen, planned, wizard
from tui.screens.plan.lists import SettingsList
from tui.screens.plan.screen import PlanScreen
from tui.terminal.theme import THEMES
from tui.widgets.top_bar import Step
from tui.wizard.app import WizardApp
from tui.wizard.draft import Draft
from tui.wizard.state import WizardState


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_digits_jump_and_escape_goes_back(services: MadeServices, rows: str, size: tuple[int, int]) -> None:
    async with planned(services, [rows], size=size) as seen:
        for step in (Step.MACHINE, Step.MODEL, Step.DATA, Step.PLAN):
            await seen.press(str(step.value))
            await seen.until(lambda at=step: f"{at.value} {at.title}" in seen.lines[0])  # type: ignore[misc]  # a default binds the loop's value
        await seen.press("escape")
        await seen.until(lambda: seen.app.at is Step.DATA)
        await seen.press("n")
        await seen.until(lambda: seen.app.at is Step.PLAN)
        await seen.press("6")
        await seen.sees("Nothing was started here yet")


async def test_no_line_is_wider_than_the_terminal_and_keys_are_never_cut_silently(
    services: MadeServices, rows: str
) -> None:
    async with planned(services, [rows], size=NARROW) as seen:
        for step in "1234":
            await seen.press(step)
            await seen.pilot.pause()
            assert all(len(line) <= 80 for line in seen.lines)
            assert "^p palette" in seen.lines[-1]
            assert "q quit" in seen.lines[-1] or "? more" in seen.lines[-1]


async def test_a_terminal_that_is_too_small_says_so_and_recovers(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        plan = seen.plan
        await seen.pilot.resize_terminal(60, 15)
        await seen.sees("too small", "60×15", "80×24")
        await seen.press("u", "g", "backspace")
        assert seen.app.at is Step.PLAN
        await seen.pilot.resize_terminal(120, 40)
        await seen.sees("learning_rate", "why")
        await seen.loses("too small")
        assert seen.plan is plan


async def test_help_explains_what_has_the_focus(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await seen.press("down", "question_mark")
        await seen.sees("lora.r", "confidence", "esc closes")
        await seen.press("escape", "1", "question_mark")
        await seen.sees("1 Machine", "Space selects the GPU", "what-if GPU")


@pytest.mark.parametrize("key", ["ctrl+p", "colon"])
async def test_the_palette_has_every_action(services: MadeServices, rows: str, key: str) -> None:
    async with planned(services, [rows]) as seen:
        await seen.press(key)
        await seen.sees("Alternatives  (a)", "Check and start  (g)")
        await seen.press(*"theme light")
        await seen.sees("Theme: light")
        await seen.press("down", "enter")
        await seen.until(lambda: seen.app.theme == "light")


async def test_quit_leaves_with_nothing_to_say_when_nothing_runs(services: MadeServices) -> None:
    async with wizard(services) as seen:
        await seen.sees("RTX 4090")
        await seen.press("q")
    assert seen.app.return_code == 0


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_every_theme_draws_every_screen(services: MadeServices, rows: str, theme: str) -> None:
    async with planned(services, [rows], theme=theme) as seen:
        assert seen.app.theme == theme
        for step, word in zip(
            "1234", ("RTX 4090", "Llama-3.1-8B-Instruct", "Name 0 things", "learning_rate"), strict=True
        ):
            await seen.press(step)
            await seen.sees(word)


async def test_without_unicode_only_ascii_is_drawn(services: MadeServices, rows: str) -> None:
    state = WizardState(Draft(model_name="llama-3.1-8b-instruct", data={"train": [rows]}))
    app = WizardApp(services, state, start=Step.PLAN, unicode=False)
    async with app.run_test(size=WIDE) as pilot:
        for _ in range(1000):
            await pilot.pause(0.02)
            if app.state.plan is not None:
                break
        for step in "1234":
            await pilot.press(step)
            await pilot.pause(0.1)
            drawn = app.export_screenshot()
            text = drawn[drawn.index("<g ", drawn.index('clip-path="url(')) :]
            odd = sorted({char for char in text if not char.isascii() and char != "\xa0"})
            assert not odd, (step, odd)


async def test_a_fault_of_our_own_is_one_sentence_with_the_log(
    services: MadeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def broken(_self: object, name: str) -> None:
        raise RuntimeError(f"no {name}")

    monkeypatch.setattr(MadeServices, "read_model", broken)
    async with wizard(services, state={"model_name": "x/y"}) as seen:
        await seen.press("2")
        await seen.sees("this did not work", "lora-wizard itself failed (RuntimeError: no x/y)", "crash.log")
        assert "Traceback" not in seen.text
    assert "RuntimeError: no x/y" in (tmp_path / "state" / "lora-wizard" / "crash.log").read_text()


async def type_at_once(seen: Seen, *keys: str) -> None:
    """Keys that come together, as they do over a slow line."""
    for key in keys:
        seen.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await seen.pilot.pause()


async def test_keys_that_come_together_reach_what_the_one_before_opened(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        screen = seen.app.screen
        screen.query_one(SettingsList).move_to("r / lora_alpha")
        await seen.pilot.pause()
        # A field, then what is under it; a list; a window with a filter; and the digits that jump, when none is open.
        await type_at_once(seen, "enter", "6", "4", "enter", "right", "enter", "9", "6", "enter")
        await seen.until(lambda: (seen.plan.config.lora.r, seen.plan.config.lora.lora_alpha) == (64, 96))
        assert seen.app.screen is screen and seen.app.at is Step.PLAN
        await type_at_once(seen, "up", "enter", "down", "enter", "u")
        await seen.until(lambda: seen.plan.config.lora.r == 64 and not seen.app.state.working)
        assert seen.app.screen is screen
        await type_at_once(seen, "1", "w", *"H200", "enter", "4")
        await seen.until(lambda: "H200" in seen.plan.device.name)
        assert seen.app.at is Step.PLAN
        # Edits are not saved, so quitting asks.
        await type_at_once(seen, "3", "o", "x", "escape", "4", "q", "y")
        await seen.until(lambda: seen.app.return_code == 0)


LATE = (events.Key("4", "4"), events.Paste("4"), events.MouseDown(None, 5, 5, 0, 0, 1, False, False, False))


@pytest.mark.parametrize("late", LATE, ids=lambda event: type(event).__name__)
async def test_what_comes_once_the_last_screen_has_gone_is_nobodys(
    services: MadeServices, monkeypatch: pytest.MonkeyPatch, late: events.Event
) -> None:
    async with wizard(services) as seen:
        with monkeypatch.context() as gone:
            gone.setattr(seen.app, "_running", False)
            gone.setitem(seen.app._screen_stacks, seen.app._current_mode, [])
            await seen.app.on_event(late)


@pytest.mark.parametrize("late", LATE, ids=lambda event: type(event).__name__)
async def test_what_comes_once_it_was_told_to_end_does_nothing(
    services: MadeServices, monkeypatch: pytest.MonkeyPatch, late: events.Event
) -> None:
    async with wizard(services) as seen:
        seen.app.exit(0)
        with monkeypatch.context() as watched:
            dealt_with: list[events.Event] = []

            async def deal(_app: App[int], event: events.Event) -> None:
                dealt_with.append(event)

            watched.setattr(App, "on_event", deal)
            await seen.app.on_event(late)
        assert dealt_with == []


async def test_a_key_does_not_wait_for_ever(services: MadeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.terminal.typed_ahead.PATIENCE_SECONDS", 0.05)
    async with wizard(services) as seen:
        await seen.sees("RTX 4090")
        # It never lays anything out again, so what was opened never says that it is there.
        monkeypatch.setattr(Screen, "call_after_refresh", lambda *_: True)
        await type_at_once(seen, "4")
        # On a busy machine a screen takes longer to come than the patience of this test: the second key is for it.
        await seen.until(lambda: seen.app.at is Step.PLAN)
        await type_at_once(seen, "3")
        await seen.until(lambda: seen.app.at is Step.DATA)


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_quitting_asks_once_about_edits_that_are_not_kept(
    services: MadeServices, rows: str, tmp_path: Path, size: tuple[int, int]
) -> None:
    target = tmp_path / "kept.yaml"
    state = {"values": {"training.num_train_epochs": 2}}
    async with planned(services, [rows], size=size, state=state) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        # What the command line gave is there to be given again.
        assert not seen.app.state.unsaved
        screen.edits.change({"lora.r": 64})
        await seen.press("q")
        await seen.sees("1 edit of the plan (r) would be lost", "^s in step 4 saves the plan")
        await seen.press("enter", "n")
        await seen.loses("would be lost")
        await seen.press("ctrl+s")
        await seen.fill("#value", str(target))
        await seen.until(lambda: target.exists() and not seen.app.state.unsaved)
        screen.edits.change({"training.seed": 1})
        screen.edits.change({}, ["training.num_train_epochs"])
        await seen.press("3", "q")
        await seen.sees("2 edits of the plan (seed, num_train_epochs) would be lost")
        await seen.press("y")
    assert seen.app.return_code == 0


async def test_what_was_backspaced_or_trained_is_not_asked_about(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"lora.r": 64})
        assert seen.app.state.unsaved
        await seen.press("u")
        await seen.until(lambda: not seen.app.state.unsaved)
        screen.edits.change({"lora.r": 64})
        await seen.press("g")
        await seen.sees("one worst-case step")
        await seen.press("g", "g")
        await seen.until(lambda: services.started and not seen.app.state.unsaved)
        await seen.press("q")
    assert seen.app.return_code == 0
