from dataclasses import replace
from pathlib import Path

import pytest

from tests.functional.screens.made import GIB, MadeServices, gpu, machine
from tests.functional.screens.seen import NARROW, WIDE, wizard
from tui.widgets.top_bar import Step


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_it_answers_what_there_is_and_what_gets_in_the_way(services: MadeServices, size: tuple[int, int]) -> None:
    async with wizard(services, size=size) as seen:
        await seen.sees("RTX 4090", "412 GiB")
        text = seen.text
        for told in ("Ada 8.9", "bf16 ✓", "24.0 GiB", "22.9", "util 3 %", "41 °C", "24/450 W", "118"):
            assert told in text, told
        assert "in use by: python (pid 4121, you) 0.9 GiB" in text
        assert "outside this container 0.2 GiB" in text
        assert "! logind ends your processes at logout" in " ".join(text.split())
        assert "→ Start with systemd-run" in text


async def test_the_bar_shows_where_we_are_and_live_free_memory(services: MadeServices) -> None:
    async with wizard(services) as seen:
        await seen.sees("gpu0 RTX 4090  22.9 of 24.0 GiB free")
        assert "✓" not in seen.lines[0].partition("2 Model")[0]
        services.polled.append(11.5)
        seen.app.flow.machine.poll()
        await seen.sees("11.5 of 24.0 GiB free")


async def test_space_selects_another_gpu(tmp_path: Path) -> None:
    found = machine(gpu(0), gpu(1, "NVIDIA A100-SXM4-80GB", memory_total=80 * GIB, memory_free=79 * GIB))
    async with wizard(MadeServices(tmp_path, found=found)) as seen:
        await seen.sees("gpu1 A100-SXM4-80GB")
        await seen.press("up", "space")
        await seen.sees("gpu0 RTX 4090")
        assert seen.app.state.device is not None and seen.app.state.device.uuid == "GPU-0"


async def test_without_a_gpu_it_says_why_and_goes_on_with_the_cpu(tmp_path: Path) -> None:
    async with wizard(MadeServices(tmp_path, found=machine())) as seen:
        await seen.sees("! No NVIDIA driver library is here.", "cpu 16 cores  118 of 128 GiB free", "AMD EPYC")
        assert "no bf16: fp32" in seen.line("AMD EPYC")
        assert (
            "plans are for this CPU · w plans for a card" in seen.text and seen.text.count("Install the driver.") == 1
        )
        await seen.press("w", *"t4", "enter")
        await seen.sees("SIM", "w plans for a card")
        assert "plans are for this CPU" not in seen.text


async def test_a_what_if_gpu_wears_a_badge_on_every_screen(services: MadeServices) -> None:
    async with wizard(services) as seen:
        await seen.sees("RTX 4090")
        await seen.press("w", *"t4", "enter")
        await seen.sees("SIM")
        assert " SIM  T4" in seen.lines[0]
        for step in (Step.MODEL, Step.DATA, Step.PLAN, Step.CHECK):
            await seen.press(str(step.value))
            assert seen.app.at is step
            await seen.until(lambda: " SIM  T4" in seen.lines[0])
            if step is Step.DATA:
                await seen.press("escape")  # out of the path's field, where digits are text
        await seen.press("1")
        await seen.sees("training cannot be started on it")


async def test_a_filter_that_finds_no_card_says_so(services: MadeServices) -> None:
    async with wizard(services) as seen:
        await seen.sees("RTX 4090")
        await seen.press("w", *"zzz")
        await seen.sees("no card like 'zzz' in the catalogue")
        await seen.press("enter", "escape")
        await seen.loses("what-if gpu")


async def test_a_gpu_that_was_lost_says_so(tmp_path: Path) -> None:
    lost = replace(gpu(1), problem="GPU is lost")
    async with wizard(MadeServices(tmp_path, found=machine(gpu(0), lost))) as seen:
        await seen.sees("✗ GPU is lost")
        await seen.press("down", "space")
        await seen.sees("this did not work", "Choose another GPU.")


async def test_names_cannot_bring_markup_or_escapes(tmp_path: Path) -> None:
    odd = gpu(0, "RTX [bold]40\x1b[31m90[/bold]")
    async with wizard(MadeServices(tmp_path, found=machine(odd))) as seen:
        await seen.sees("RTX [bold]4090[/bold]")
        assert "\x1b" not in seen.text


async def test_two_of_a_card_that_is_not_here(services: MadeServices) -> None:
    async with wizard(services) as seen:
        await seen.sees("RTX 4090")
        await seen.press("w", *"2x t4")
        await seen.sees("2 × T4")
        await seen.press("enter")
        await seen.until(lambda: " SIM  2 × T4" in seen.lines[0])
