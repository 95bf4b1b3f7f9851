"""What can be done on the dashboard: steering the run, looking at its curves, filtering, copying."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.dashboard.made import MadeRun
from tests.functional.dashboard.seen import Seen, opened
from tests.functional.dashboard.test_train import commands, trained
from trainer.run.events import event
from trainer.run.folder import append_line
from tui.screens.train.screen import TrainScreen
from tui.widgets.curves.curve import Curve

Make = Callable[..., MadeRun]


def screen(seen: Seen) -> TrainScreen:
    found = seen.app.screen
    assert isinstance(found, TrainScreen)
    return found


def curve(seen: Seen, key: str = "loss") -> Curve:
    return screen(seen).query_one(f"#curve-{key}", Curve)


async def palette(seen: Seen, typed: str) -> None:
    await seen.press("ctrl+p")
    await seen.sees("Search for commands")
    await seen.press(*typed)
    await seen.press("down", "enter")


async def test_every_request_has_a_key_and_is_acknowledged(make: Make) -> None:
    made = trained(make)
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("c", "v", "E", "space")
        await seen.until(lambda: len(commands(made)) == 4)
        assert commands(made) == ["checkpoint", "evaluate", "stop_after_epoch", "pause"]
        made.say("command", 1, command="pause", accepted=True)
        made.say("status", status="paused", reason="as asked")
        await seen.sees("paused", "asked for: pause")
        await seen.press("space")
        await seen.until(lambda: commands(made)[-1] == "continue")


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("save a check", "checkpoint"),
        ("evaluate now", "evaluate"),
        ("run: pause", "pause"),
        ("end after this", "stop_after_epoch"),
    ],
)
async def test_every_request_is_in_the_palette(make: Make, typed: str, command: str) -> None:
    made = trained(make)
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        await palette(seen, typed)
        await seen.until(lambda: commands(made) == [command])


async def test_a_run_that_has_ended_cannot_be_asked(make: Make) -> None:
    made = trained(make, 400)
    made.finish()
    async with opened(made) as seen:
        await seen.sees("finished")
        await seen.press("space", "E", "c")
        assert commands(made) == []
        assert "pause" not in seen.lines[-1]


async def test_full_screen_gives_the_curve_everything(make: Make) -> None:
    async with opened(trained(make)) as seen:
        await seen.sees("elapsed")
        before = curve(seen).size
        await seen.press("F")
        await seen.until(lambda: curve(seen).size.width > before.width and curve(seen).size.height > before.height)
        assert "elapsed" not in seen.text
        await seen.press("F")
        await seen.sees("elapsed")


async def test_tracks_are_hidden_in_turn(make: Make) -> None:
    async with opened(trained(make)) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("h")
        await seen.sees("hidden: raw")
        assert [track.name for track in curve(seen).tracks] == ["smoothed", "eval", "best"]
        await seen.press("h")
        assert [track.name for track in curve(seen).tracks] == ["smoothed"]
        await seen.press("h", "h")
        assert len(curve(seen).tracks) == 4


async def test_smoothing_is_adjustable(make: Make) -> None:
    async with opened(trained(make)) as seen:
        await seen.sees("step 150 / 400")
        usual = screen(seen).curves.history.smooth.span
        rough = list(screen(seen).curves.history.smooth.series.y)
        await seen.press(">", ">")
        await seen.sees(f"smoothed over {4 * usual:.0f} steps")
        smooth = list(screen(seen).curves.history.smooth.series.y)
        assert abs(smooth[-1] - smooth[-2]) < abs(rough[-1] - rough[-2])
        await seen.press("<", "<")
        assert list(screen(seen).curves.history.smooth.series.y) == rough
        await seen.press(*["<"] * 20)
        assert screen(seen).curves.history.smoothing > 0


async def test_values_are_said_at_the_cursor_and_under_the_mouse(make: Make) -> None:
    async with opened(trained(make)) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("k")
        await seen.until(lambda: re.search(r"step \d+ · raw \d\.\d+ · smoothed \d\.\d+ · eval", seen.text))
        at = curve(seen).cursor
        assert at is not None
        await seen.press("right")
        await seen.until(lambda: (curve(seen).cursor or 0) > at)
        assert sum("┊" in line for line in seen.lines) > 5
        await seen.press("k")
        await seen.sees("grey raw")
        await seen.pilot.hover(Curve, offset=(30, 5))
        await seen.until(lambda: curve(seen).cursor is not None)
        await seen.sees("smoothed")


async def test_device_readings_have_curves(make: Make) -> None:
    made = trained(make)
    for step in range(151, 170):
        made.say("step", 1, **made.figures(step, 1.0))
        made.say("device", 0.1, utilisation=90, temperature=60 + step % 7, power_watts=300, memory_used=9 * 2**30)
    async with opened(made) as seen:
        await seen.sees("step 169 / 400")
        titles = []
        for _ in range(7):
            await seen.press("m")
            titles.append(str(screen(seen).query_one("#main").border_title))
        assert titles[3:] == ["in use, %", "memory, GiB", "power, W", "temperature, °C"]
        assert max(curve(seen, "heat").tracks[0].series.y) == 66.0


async def test_curves_without_points_are_passed_over(make: Make) -> None:
    async with opened(trained(make)) as seen:
        await seen.sees("step 150 / 400")
        await seen.press(*["m"] * 6)
        assert screen(seen).curves.metric.key == "loss"


async def test_another_run_is_laid_behind(make: Make, tmp_path: Path) -> None:
    made = trained(make)
    other = MadeRun(made.path.parent / "20261120-0100-older", seed=7)
    other.begin()
    other.train(300)
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("O")
        await seen.sees("lay which run behind?", "20261120-0100-older")
        await seen.press("enter")
        await seen.sees("behind: 20261120-0100-older")
        behind = curve(seen).tracks[0]
        assert (behind.name, behind.series.x[-1]) == ("behind", 300.0)
        await seen.press("O")
        await seen.until(lambda: len(curve(seen).tracks) == 4)


async def test_events_and_log_are_filtered(make: Make) -> None:
    made = trained(make)
    made.log("one warning about something", "another line")
    async with opened(made) as seen:
        await seen.sees("checkpoint-100 saved")
        await seen.press("slash")
        await seen.sees("show lines that hold")
        await seen.press(*"EVAL_loss", "enter")
        await seen.sees("only: EVAL_loss")
        await seen.until(lambda: "checkpoint-100 saved" not in seen.text and "eval_loss 1." in seen.text)
        await seen.press("slash")
        await seen.press("w", "a", "r", "n", "enter", "l")
        await seen.sees("one warning")
        assert "another line" not in seen.text
        await seen.press("slash", "backspace", "enter")
        await seen.sees("another line", "l turns")


@pytest.mark.parametrize(
    ("typed", "copied"),
    [
        ("copy the diagnosis", "no trouble seen"),
        ("copy the events", "checkpoint-100 saved"),
        ("copy the log", "the log"),
    ],
)
async def test_what_is_said_can_be_copied(make: Make, typed: str, copied: str) -> None:
    made = trained(make)
    made.log("the log")
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        await palette(seen, typed)
        await seen.until(lambda: copied in seen.app.clipboard)


async def test_selected_text_is_copied_and_nothing_quits(make: Make) -> None:
    made = trained(make)
    async with opened(made) as seen:
        await seen.sees("checkpoint-100 saved")
        await seen.pilot.mouse_down("#page-events", offset=(2, 1))
        await seen.pilot.hover("#page-events", offset=(30, 1))
        await seen.pilot.mouse_up("#page-events", offset=(30, 1))
        await seen.press("ctrl+c")
        await seen.until(lambda: len(seen.app.clipboard) > 10)
        assert seen.app.is_running


async def test_samples_show_each_question_with_its_answers(make: Make) -> None:
    made = trained(make)
    made.say("sample", 1, step=100, when="during", prompt="What is LoRA?", answer="Short answer: two matrices.")
    made.say("sample", 1, step=100, when="during", prompt="What is a rank?", answer="A number.")
    async with opened(made, (160, 50)) as seen:
        await seen.press("l", "l")
        await seen.sees("? What is LoRA?", "step 100  Short answer: two matrices.", "? What is a rank?")
        assert seen.text.count("? What is LoRA?") == 1


def test_requests_carry_an_id_that_the_answer_can_name(make: Make) -> None:
    made = trained(make, 5)
    from trainer.run.commands import request

    identity = request(made.path, "pause")
    assert json.loads(made.folder.commands.read_text())["id"] == identity


async def test_the_settings_stand_on_a_page_with_what_a_recovery_changed(make: Make) -> None:
    made = make()
    made.folder.effective_config.write_text(
        "model: org/m\nmethod: lora\nlora: {r: 16}\ntraining: {per_device_train_batch_size: 2, learning_rate: 2.9e-4}\n"
        "run: {on_end: 'curl https://me:pw@x.example'}\n"
    )
    made.begin()
    key = "training.per_device_train_batch_size"
    append_line(made.folder.events, event("recovery", made.now, before={key: 4}, after={key: 2}, why="out of memory"))
    async with opened(made) as seen:
        await seen.sees("events · log · samples · settings")
        await seen.press("l", "l", "l")
        await seen.sees("lora.r", "16", "was 4")
        await seen.press("slash", *"on_end", "enter")
        await seen.sees("curl https://****@x.example")
        assert "lora.r" not in seen.text and "pw@" not in seen.text
