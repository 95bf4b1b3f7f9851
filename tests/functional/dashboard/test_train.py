"""The dashboard as a person sees it, on run folders made by hand."""

import json
from collections.abc import Callable

import pytest
from textual.geometry import Size

from tests.functional.dashboard.conftest import RUN_ID
from tests.functional.dashboard.made import MadeRun
from tests.functional.dashboard.seen import Seen, opened
from tui.screens.train.deck import PagedPane
from tui.screens.train.screen import TrainScreen
from tui.widgets.curves.curve import Curve
from tui.widgets.rows import Rows

Make = Callable[..., MadeRun]
SIZES = [(80, 24), (120, 40), (160, 50)]


def trained(make: Make, until: int = 150, **options: object) -> MadeRun:
    made = make(**options)
    made.begin()
    made.train(until)
    return made


def commands(made: MadeRun) -> list[str]:
    try:
        return [json.loads(line)["command"] for line in made.folder.commands.read_text().splitlines()]
    except FileNotFoundError:
        return []


def braille(seen: Seen) -> int:
    return sum("\u2801" <= cell <= "\u28ff" for line in seen.lines for cell in line)


@pytest.mark.parametrize("size", SIZES)
async def test_a_live_run_shows_where_it_stands(make: Make, size: tuple[int, int]) -> None:
    async with opened(trained(make), size) as seen:
        await seen.sees("● training", "step 150 / 400", "38 %", "left", RUN_ID)
        await seen.sees("loss", "eval_loss", "grad_norm", "learning_rate", "tok/s", "1.4 GiB", "predicted")
        await seen.sees("before training", "checkpoint-100", "elapsed", "31 500")
        assert braille(seen) > 50
        assert all(len(line) <= size[0] for line in seen.lines)


@pytest.mark.parametrize("size", SIZES)
async def test_no_line_is_cut_at_the_edge_of_its_pane(make: Make, size: tuple[int, int]) -> None:
    async with opened(trained(make), size) as seen:
        await seen.sees("step 150 / 400")
        framed = [line for line in seen.lines if line.startswith(("│", "╭", "╰"))]
        assert framed
        assert all(line[-1] in "│╮╯" and len(line) == size[0] for line in framed)


async def test_new_steps_appear_by_themselves(make: Make) -> None:
    made = trained(make)
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        made.train(220)
        await seen.sees("step 220 / 400", "checkpoint-200 saved", "eval_loss")
        assert isinstance(seen.app.screen, TrainScreen)
        assert seen.app.screen.query_one("#curve-loss", Curve)._tracks[0].series.x[-1] == 220


async def test_before_the_first_step_nothing_is_measured(make: Make) -> None:
    made = make()
    made.say("status", status="loading")
    async with opened(made) as seen:
        await seen.sees("○ loading", "no step yet")
        assert braille(seen) == 0


async def test_a_resumed_run_draws_again_what_is_trained_again(make: Make) -> None:
    made = trained(make, 150)
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        made.say("start", 5, total_steps=400, resumed_from=100, device="cpu")
        made.train(120)
        await seen.sees("step 120 / 400")
        assert isinstance(seen.app.screen, TrainScreen)
        loss = seen.app.screen.query_one("#curve-loss", Curve)._tracks[0].series
        assert list(loss.x) == [float(step) for step in range(1, 121)]


async def test_stop_asks_first_and_can_be_left(make: Make) -> None:
    made = trained(make)
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("s")
        await seen.sees("stop the run?", "Save and stop", "Stop without saving", "Keep going", "since checkpoint 100")
        await seen.press("escape")
        assert commands(made) == []
        await seen.press("s", "s")
        await seen.until(lambda: commands(made) == ["stop"])
        await seen.press("s", "x")
        await seen.until(lambda: commands(made) == ["stop", "stop_now"])


async def test_checkpoint_and_evaluation_on_request(make: Make) -> None:
    made = trained(make)
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("c", "v")
        await seen.until(lambda: commands(made) == ["checkpoint", "evaluate"])
        made.say("command", 1, command="evaluate", accepted=True)
        await seen.sees("asked for: evaluate now")


async def test_detaching_says_how_to_come_back(make: Make) -> None:
    made = trained(make)
    async with opened(made) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("ctrl+d")
        assert f"lora-wizard watch {RUN_ID}" in str(seen.app._exit_renderables)
    assert commands(made) == []


async def test_quitting_says_that_the_run_goes_on(make: Make) -> None:
    async with opened(trained(make)) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("q")
        assert "goes on" in str(seen.app._exit_renderables)


@pytest.mark.parametrize("size", SIZES)
async def test_the_end_is_a_summary(make: Make, size: tuple[int, int]) -> None:
    made = trained(make, 400)
    made.finish()
    async with opened(made, size) as seen:
        await seen.sees("✓ finished", "summary", "400 of 400 steps", "2.314", "best")
        assert isinstance(seen.app.screen, TrainScreen)
        told = seen.app.screen.query_one("#ending-rows", Rows).plain
        page = seen.app.screen.query_one("#page-summary" if size == (80, 24) else "#ending-rows")
        assert page.is_on_screen
    assert "measured" in told and "predicted" in told
    assert str(made.path / "adapter") in told
    assert "model = PeftModel.from_pretrained(model, adapter)" in told
    assert f"lora-wizard merge {made.path.name} -o DIR" in told
    assert "LoRA is a radio technology." in told
    assert "Short answer: LoRA trains two small matrices." in told
    assert "lora-wizard runs" in told
    base = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert f"vllm serve {base} --enable-lora --max-lora-rank 16 --lora-modules tuned={made.path / 'adapter'}" in told
    assert f"convert_lora_to_gguf.py {made.path / 'adapter'}" in told
    assert f"hf upload YOUR-NAME/{made.path.name} {made.path / 'adapter'}" in told


async def test_a_run_that_ends_while_it_is_watched_becomes_its_summary(make: Make) -> None:
    made = trained(make, 390)
    async with opened(made) as seen:
        await seen.sees("● training", "stop")
        made.train(400)
        made.finish()
        await seen.sees("✓ finished", "load it with")
        assert "s stop" not in seen.lines[-1]
        await seen.press("s", "c")
        assert commands(made) == []


async def test_a_failed_run_says_why_and_what_to_do(make: Make) -> None:
    made = trained(make)
    made.fail("CUDA out of memory at step 151", remedy="Halve the micro-batch.", exit_code=1)
    async with opened(made) as seen:
        await seen.sees(
            "✗ failed", "CUDA out of memory at step 151", "Halve the micro-batch.", "torch.OutOfMemoryError"
        )
        told = seen.app.screen.query_one("#ending-rows", Rows).plain
    assert f"lora-wizard resume {RUN_ID}  goes on from step 100" in told


async def test_a_killed_worker_is_named_with_its_signal(make: Make) -> None:
    made = trained(make)
    made.fail("The worker was killed.", signal="SIGKILL")
    async with opened(made) as seen:
        await seen.sees("✗ failed", "SIGKILL")


async def test_a_run_whose_processes_are_gone_has_died(make: Make) -> None:
    made = trained(make, alive=False)
    made.log("Killed")
    async with opened(made) as seen:
        await seen.sees("● training")
        made.now += 31
        await seen.sees("✗ died", "silent for 31 s", "Killed")


@pytest.mark.parametrize("size", SIZES)
async def test_trouble_is_seen_at_every_size(make: Make, size: tuple[int, int]) -> None:
    made = trained(make)
    for step in (151, 152, 153):
        made.say("step", 1, step=step, loss=float("nan"), learning_rate=2e-4, step_seconds=1.0)
    async with opened(made, size) as seen:
        await seen.sees("the loss is not a number", "since step 151", "not a number")


async def test_hostile_text_shows_as_text(make: Make) -> None:
    made = trained(make)
    made.say(
        "sample", 1, step=150, when="during", prompt="[bold red]\x1b[2Jhi[/]", answer="\x1b]52;c;QUJD\x07[@click=quit]x"
    )
    made.log("\x1b[31mred[/] [reverse]")
    async with opened(made) as seen:
        await seen.sees("[bold red]hi[/]", "[@click=quit]x")
        await seen.press("l")
        await seen.sees("red[/] [reverse]")


async def test_pages_turn(make: Make) -> None:
    made = trained(make)
    made.log("this is the log")
    async with opened(made) as seen:
        await seen.sees("checkpoint-100 saved")
        await seen.press("l")
        await seen.sees("this is the log")
        await seen.press("l")
        await seen.sees("? What is LoRA?", "before training  LoRA is a radio technology.")
        await seen.press("l")
        await seen.sees("data.train", "house-style.jsonl")
        await seen.press("l")
        await seen.sees("checkpoint-100 saved")


async def test_narrow_screens_turn_through_every_pane(make: Make) -> None:
    async with opened(trained(make), (80, 24)) as seen:
        for page in ("elapsed", "no trouble seen", "checkpoint-100 saved"):
            await seen.sees(page)
            await seen.press("l")


async def test_the_layout_follows_the_terminal(make: Make) -> None:
    async with opened(trained(make), (120, 40)) as seen:
        await seen.sees("diagnosis", "tokens / s")
        await seen.pilot.resize_terminal(80, 24)
        await seen.until(lambda: seen.app.screen.query_one(PagedPane).page == "now")
        await seen.pilot.resize_terminal(60, 15)
        await seen.sees("too small")
        await seen.pilot.resize_terminal(120, 40)
        await seen.sees("diagnosis", "tokens / s", "step 150 / 400")
        assert seen.app.screen.size == Size(120, 40)


async def test_curves_zoom_pan_change_scale_and_metric(make: Make) -> None:
    async with opened(trained(make)) as seen:
        await seen.sees("grey raw")
        await seen.sees("elapsed")
        whole = await seen.settled()
        await seen.press("plus", "left")
        await seen.sees("zoomed, 0 shows all")
        await seen.press("0")
        await seen.until(lambda: seen.text == whole)
        await seen.press("y")
        await seen.sees("log-y")
        await seen.press("y", "m")
        await seen.until(lambda: seen.text.count("learning_rate") == 3)


@pytest.mark.parametrize(
    ("typed", "offer", "copied"),
    [
        ("copy the adapt", "Copy the adapter's path", "{adapter}"),
        ("copy the lines", "Copy the lines that load it", "adapter = '{adapter}'\n"),
    ],
)
async def test_the_palette_copies_what_loads_the_result(make: Make, typed: str, offer: str, copied: str) -> None:
    made = trained(make, 400)
    made.finish()
    async with opened(made) as seen:
        await seen.sees("load it with")
        await seen.press("ctrl+p")
        await seen.sees("Search for commands")
        await seen.press(*typed)
        await seen.sees(offer)
        await seen.press("down", "enter")
        await seen.sees("copied")
        assert copied.format(adapter=made.path / "adapter") in seen.app.clipboard


async def test_help_lists_the_keys(make: Make) -> None:
    async with opened(trained(make)) as seen:
        await seen.sees("step 150 / 400")
        await seen.press("question_mark")
        await seen.sees("a process of its own", "detach")


async def test_without_unicode_nothing_else_is_drawn(make: Make) -> None:
    async with opened(trained(make), unicode=False) as seen:
        await seen.sees("step 150 / 400")
        painted = [
            segment.text
            for strip in seen.app.screen._compositor.render_strips()
            for segment in strip.apply_filter(seen.app.get_line_filters()[-1], seen.app.screen.styles.background)
        ]
        assert "".join(painted).isascii()
        assert "##" in "".join(painted)


async def test_two_dashboards_watch_one_run(make: Make) -> None:
    made = trained(make)
    async with opened(made) as first, opened(made, (80, 24)) as second:
        made.train(160)
        await first.sees("step 160 / 400")
        await second.sees("step 160 / 400")


@pytest.mark.parametrize("size", SIZES)
async def test_a_full_disk_stands_on_the_screen_with_its_remedy(make: Make, size: tuple[int, int]) -> None:
    made = trained(make, 60)
    why = "the disk of /runs/x has 12 MiB free and 171 MiB are needed"
    made.say("status", status="paused", reason=f"{why}; free some room", cause="disk_full")
    async with opened(made, size) as seen:
        await seen.sees("paused: the disk is full", "12 MiB", "Free some room")


async def test_before_the_first_step_it_says_what_is_being_done(make: Make) -> None:
    made = make()
    made.say("status", status="preflight")
    async with opened(made) as seen:
        await seen.sees("one whole step of the")
