import re
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from textual.widgets import Input

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.estimate.types import Estimate
from recommender.machine.facts import Device
from recommender.memory.not_learned import NotLearned
from recommender.memory.stacks import STACKS
from recommender.memory.workload import resolve_workload
from recommender.model.families import spec_from_config
from recommender.model.quantised import refusal
from recommender.model.reader import read_model
from recommender.model.sources.local import LocalModel
from recommender.model.spec import ModelSpec
from tests.fixtures.own_code import bring_own_code
from tests.fixtures.tiny_model import build_tiny_llama
from tests.functional.screens.made import GIB, LLAMA, SMOL, MadeServices
from tests.functional.screens.seen import NARROW, WIDE, Seen, planned, wizard
from tui.screens.model.screen import ModelList
from tui.widgets.top_bar import Step


@pytest.fixture
def with_local(tmp_path: Path) -> MadeServices:
    plain = MadeServices(tmp_path)
    spec = plain.catalogue_spec(SMOL)
    here = (
        LocalModel("me/my[model]", "cache", tmp_path, 3 * GIB, spec),
        LocalModel("me/broken", "cache", tmp_path, GIB, None, "model.safetensors is cut short"),
    )
    return MadeServices(tmp_path, here=here)


async def test_a_model_whose_class_is_to_be_asked_is_not_refused_and_says_what_is_known(tmp_path: Path) -> None:
    unknown = spec_from_config({"model_type": "new", "architectures": ["NewForCausalLM"], "hidden_size": 8}, "me/new")
    hybrid = replace(MadeServices(tmp_path).catalogue_spec("Qwen/Qwen3.5-9B"), name="me/hybrid")
    here = tuple(LocalModel(spec.name, "cache", tmp_path, GIB, spec) for spec in (unknown, hybrid))
    async with wizard(NothingLearned(tmp_path, here=here), start=Step.MODEL) as seen:
        await seen.until(lambda: seen.line("me/new").count("?") == seen.line("me/hybrid").count("?") == 3)
        assert "✗" not in seen.line("me/new") + seen.line("me/hybrid")
        await seen.press("home")
        await seen.sees("what it is made of is learned from its class once it is chosen")
        await seen.press("down")
        await seen.sees("of 24 linear attention + dense, 8 full attention + dense")


class NothingLearned(MadeServices):
    """Has no tape of any model."""

    def method_fit(self, model: ModelSpec, device: Device, method: str) -> Estimate:
        raise NotLearned(resolve_workload(lora_of(model), model, device, None, STACKS["trl"]))


def lora_of(model: ModelSpec) -> FinetuneConfig:
    """A configuration of it."""
    return FinetuneConfig.model_validate({"model": model.name, "method": "lora", "quantization": {"bits": None}})


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_what_is_on_this_disk_comes_first_then_the_catalogue(
    with_local: MadeServices, size: tuple[int, int]
) -> None:
    async with wizard(with_local, start=Step.MODEL, size=size) as seen:
        await seen.sees("on this disk", "my[model]", "3.0 GiB", "catalogue")
        text = seen.text
        assert text.index("on this disk") < text.index("my[model]") < text.index("catalogue")
        assert "✗ model.safetensors is cut short" in text


async def test_each_method_says_how_it_fits_on_this_gpu(services: MadeServices) -> None:
    async with wizard(services, start=Step.MODEL) as seen:
        await seen.until(lambda: "NO" in seen.line("Llama-3.1-8B-Instruct"))
        line = seen.line("Llama-3.1-8B-Instruct").strip("│ ").split()
        assert line[-6] == "NO" and line[-2] == "FITS", line
        full, lora, qlora = (float(line[at]) for at in (-5, -3, -1))
        assert full > lora > qlora > 5


async def test_the_filter_narrows_and_enter_chooses(services: MadeServices) -> None:
    async with wizard(services, start=Step.MODEL) as seen:
        await seen.sees("Qwen3-8B", "gpu0 RTX 4090")
        await seen.press("slash", *"3.1 8b-i")
        await seen.loses("Qwen3-8B")
        await seen.press("enter")
        await seen.until(lambda: seen.app.at is Step.DATA)
        assert seen.app.state.model is not None
        assert seen.app.state.model.hidden_size == 4096
        assert "✓ Llama-3.1-8B" in seen.lines[0]


async def test_a_typed_name_can_be_used_as_it_is_and_an_error_says_what_to_do(tmp_path: Path) -> None:
    refusal = InputError("org/[x] is gated.", remedy="Accept its licence, then `hf auth login`.")
    services = MadeServices(tmp_path, refusals={"org/[x]": refusal})
    async with wizard(services, start=Step.MODEL) as seen:
        await seen.press("slash")
        seen.app.screen.query_one("#model-filter", Input).value = "org/[x]"
        await seen.sees("use org/[x]  as a hub id or a folder")
        await seen.press("enter")
        await seen.sees("this did not work", "✗ org/[x] is gated.", "→ Accept its licence")
        assert seen.app.state.model is None
        await seen.fill("#model-filter", LLAMA)
        await seen.until(lambda: seen.app.state.model is not None)
        await seen.loses("this did not work")


async def test_reading_a_model_can_be_cancelled(tmp_path: Path) -> None:
    gate = Event()
    services = MadeServices(tmp_path, hold=lambda: (gate.wait(20) and None) or None)
    async with wizard(services, start=Step.MODEL) as seen:
        await seen.sees("Qwen3-8B")
        await seen.press("enter")
        await seen.sees("esc cancels")
        await seen.press("escape")
        await seen.loses("esc cancels")
        gate.set()
        await seen.pilot.pause()
        assert seen.app.state.model is None
        assert seen.app.at is Step.MODEL


async def test_code_of_its_own_is_asked_about_and_only_y_agrees(tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    folder = bring_own_code(build_tiny_llama(tmp_path / "mine"), mark)
    own = OwnCode(tmp_path)
    async with wizard(own, start=Step.MODEL, size=NARROW) as seen:
        await seen.sees("catalogue")
        for answer in ("n", "escape"):
            seen.app.flow.model.choose(str(folder))
            await seen.sees("modeling_mine.py", "y run its code")
            await seen.press("enter", answer)
            await seen.sees("without its own code")
            assert seen.app.state.model is None
        seen.app.flow.model.choose(str(folder))
        await seen.sees("modeling_mine.py")
        await seen.press("y")
        await seen.until(lambda: seen.app.state.model is not None)
        assert seen.app.state.draft.values == {"trust_remote_code": str(folder)}
        seen.app.flow.model.choose(SMOL)
        await seen.until(lambda: seen.app.state.model_name == SMOL)
        assert seen.app.state.draft.values == {}
    assert not mark.exists()


class OwnCode(MadeServices):
    """Reads a folder as it is."""

    def read_model(self, name: str) -> ModelSpec:
        return read_model(name) if name.startswith("/") else MadeServices.read_model(self, name)


async def test_the_filters_key_is_not_offered_where_it_is_a_letter(services: MadeServices) -> None:
    async with wizard(services, start=Step.MODEL) as seen:
        await seen.sees("catalogue", "/ filter")
        await seen.press("slash")
        await seen.until(lambda: "/ filter" not in seen.lines[-1])
        await seen.press("slash")
        assert seen.app.screen.query_one("#model-filter", Input).value == "/"
        await seen.press("escape")
        await seen.until(lambda: "/ filter" in seen.lines[-1])


HUB_ID = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("given", [LLAMA, HUB_ID, HUB_ID.lower()])
async def test_coming_back_the_chosen_model_has_the_cursor_and_the_mark(
    services: MadeServices, rows: str, given: str, size: tuple[int, int]
) -> None:
    async with planned(services, [rows], size=size, model=given) as seen:
        plan = seen.plan
        assert ("✓ " if size == WIDE else "✓2 ") + "llama-3.1-8b" in seen.lines[0].lower()
        await seen.press("2")
        await seen.until(lambda: on_row(seen, LLAMA))
        assert "▌ ◉" in seen.line("◉") and "Llama-3.1-8B-Inst" in seen.line("◉")
        assert sum("◉" in line for line in seen.lines) == 1
        # The cursor moves, nothing is chosen, and coming back it stands on the chosen model again.
        await seen.press("down", "down", "4", "2")
        await seen.until(lambda: on_row(seen, LLAMA))
        # Enter on it changes nothing.
        await seen.press("enter")
        await seen.until(lambda: seen.app.at is Step.DATA)
        assert seen.app.state.model_name == given and seen.plan is plan and not seen.app.state.working


def on_row(seen: Seen, key: str) -> bool:
    current = seen.app.screen.query_one(ModelList).current
    return current is not None and current.key == key


async def test_a_typed_folder_has_a_row_and_the_filter_is_empty_again(tmp_path: Path, rows: str) -> None:
    folder = build_tiny_llama(tmp_path / "mine")
    async with wizard(OwnCode(tmp_path / "runs"), start=Step.MODEL) as seen:
        await seen.sees("catalogue")
        await seen.press("slash")
        await seen.fill("#model-filter", str(folder))
        await seen.until(lambda: seen.app.at is Step.DATA)
        assert "✓ mine" in seen.lines[0]
        await seen.press("escape", "2")
        await seen.until(lambda: on_row(seen, str(folder)))
        await seen.sees("▌ ◉ mine")
        assert seen.app.screen.query_one("#model-filter", Input).value == ""
        # Keys are keys, not letters of the filter.
        await seen.press("question_mark")
        await seen.sees("2 Model", "esc closes")


async def test_escape_goes_from_the_filter_to_the_list_then_empties_it_then_goes_back(services: MadeServices) -> None:
    async with wizard(services, start=Step.MODEL) as seen:
        await seen.sees("Qwen3-8B")
        await seen.press("slash", *"llama", "escape")
        await seen.until(lambda: seen.app.screen.query_one(ModelList).has_focus)
        assert seen.app.screen.query_one("#model-filter", Input).value == "llama"
        await seen.press("escape")
        await seen.sees("Qwen3-8B")
        assert seen.app.at is Step.MODEL and seen.app.screen.query_one("#model-filter", Input).value == ""
        await seen.press("escape")
        await seen.until(lambda: seen.app.at is Step.MACHINE)


async def test_escape_closes_the_panel_of_a_failure_first(tmp_path: Path) -> None:
    services = MadeServices(tmp_path, refusals={"org/x": InputError("org/x is gated.", remedy="Accept its licence.")})
    async with wizard(services, start=Step.MODEL) as seen:
        await seen.sees("catalogue")
        await seen.press("slash")
        await seen.fill("#model-filter", "org/x")
        await seen.sees("org/x is gated.", "esc closes")
        # Out of the filter, then the panel, then what was typed.
        await seen.press("escape", "escape")
        await seen.loses("org/x is gated.")
        assert seen.app.at is Step.MODEL and seen.app.screen.query_one("#model-filter", Input).value == "org/x"
        await seen.press("4", "2")
        await seen.pilot.pause()
        assert "org/x is gated." not in seen.text
        seen.app.flow.model.choose("org/x")
        await seen.sees("org/x is gated.", "esc closes")


async def test_what_cannot_be_trained_here_says_so_in_its_row_and_goes_on_saying_it(tmp_path: Path) -> None:
    plain = MadeServices(tmp_path).catalogue_spec(SMOL)
    spec = replace(plain, quantization="gptq", unsupported=refusal("gptq", "me/my-GPTQ"))
    services = MadeServices(tmp_path, here=(LocalModel("me/my-GPTQ", "cache", tmp_path, GIB, spec),))
    async with wizard(services, start=Step.MODEL) as seen:
        await seen.until(lambda: "cannot be trained here" in seen.line("my-GPTQ"))
        seen.app.flow.set(free_now=GIB)
        await seen.pilot.pause()
        assert "cannot be trained here" in seen.line("my-GPTQ")
        assert "reading …" not in seen.text


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_no_figure_touches_its_word(services: MadeServices, size: tuple[int, int]) -> None:
    async with wizard(services, start=Step.MODEL, size=size) as seen:
        await seen.until(lambda: any("TIGHT" in line for line in seen.lines))
        assert not re.search(r"(FITS|TIGHT|NO)\d", seen.text), seen.text
        assert "TIGHT" in seen.text
