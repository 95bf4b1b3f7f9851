from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
import yaml

from recommender.plan.alternatives import alternatives
from recommender.units import gib, gib_number
from recommender.warning import texts
from tests.fixtures.counting import count_estimates
from tests.functional.screens.made import GIB, MadeServices, gpu, machine
from tests.functional.screens.plan.on_plan import does_not_fit, go_to, take_card
from tests.functional.screens.seen import NARROW, WIDE, Seen, planned
from tui.screens.plan.screen import PlanScreen
from tui.screens.plan.warnings import warnings_beside
from tui.widgets.top_bar import Step


def verdict(seen: Seen) -> str:
    return {"yes": "FITS", "tight": "TIGHT", "no": "NO"}[seen.plan.estimate.fits]


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_with_model_and_data_given_the_plan_appears_by_itself(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    async with planned(services, [rows], size=size) as seen:
        await seen.sees(verdict(seen), "weights", "activations")
        text, estimate = seen.text, seen.plan.estimate
        assert f"{gib(estimate.peak.process_bytes)} of {gib_number(estimate.free_bytes)} free" in text
        assert "◉ balanced" in text and "○ smallest memory" in text
        for label in ("method", "r / lora_alpha", "learning_rate", "batch × accumulation"):
            assert "●" in seen.line(f" {label}  "), label
        assert seen.lines[0].count("✓") == 3


async def test_the_why_pane_follows_the_cursor(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await go_to(seen, "learning_rate")
        await seen.sees("why learning_rate", "confidence", "others say")
        reason = seen.plan.reasons["training.learning_rate"]
        assert reason.evidence[0].value in seen.text
        await go_to(seen, "r / lora_alpha")
        await seen.sees("why r ")
        await seen.press("right")
        await seen.sees("why lora_alpha")


async def test_an_edit_is_priced_marked_and_taken_back(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await go_to(seen, "r / lora_alpha")
        before = seen.plan
        await seen.press("enter")
        await seen.sees("lora.r", "rank of the update")
        await seen.fill("#value", "64")
        await seen.until(lambda: seen.plan.config.lora.r == 64)
        assert "✎" in seen.line("r / lora_alpha")
        assert seen.plan.estimate.peak.process_bytes > before.estimate.peak.process_bytes
        await seen.sees(f"{gib(seen.plan.estimate.peak.process_bytes)} of")
        await seen.sees("backspace brings back 16")
        await seen.press("backspace")
        await seen.until(lambda: seen.plan.config.lora.r == 16)
        assert "●" in seen.line("r / lora_alpha")
        await seen.press("u", "u")
        await seen.until(lambda: seen.plan is before)


async def test_a_wrong_value_is_refused_in_place(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await go_to(seen, "r / lora_alpha")
        await seen.press("enter")
        before = seen.plan
        await seen.fill("#value", "0")
        await seen.sees("✗ lora.r")
        await seen.fill("#value", "many")
        await seen.sees("✗ lora.r")
        assert seen.plan is before
        await seen.press("escape")
        await seen.loses("rank of the update")


async def test_choices_come_with_their_price(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await go_to(seen, "method")
        await seen.press("enter")
        await seen.sees("● recommended", "enter chooses")
        assert "NO" in seen.line("full  ")
        await seen.press("down", "enter")
        await seen.until(lambda: seen.plan.config.method == "lora")
        assert seen.plan.config.quantization.bits is None


async def test_the_meter_follows_an_edit_at_once(
    services: MadeServices, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the next key is read, and for few estimates: benchmarks.meter measures the time."""
    monkeypatch.setattr("tui.wizard.steps.plan.SAME_THREAD_SECONDS", inf)
    async with planned(services, [rows]) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        asked = count_estimates(monkeypatch)
        for r in (8, 32, 64, 24, 48):
            asked.clear()
            needed = seen.plan.estimate.peak.process_bytes
            screen.edits.change({"lora.r": r})
            assert seen.plan.config.lora.r == r
            assert seen.plan.estimate.peak.process_bytes != needed
            assert len(asked) <= 25


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_when_it_does_not_fit_remedies_are_chosen_with_arrows_and_enter(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    async with planned(services, [rows], size=size) as seen:
        await does_not_fit(seen)
        await seen.sees(" NO ", "too much", "saves", "tab: choose from these")
        needed = seen.plan.estimate.peak.process_bytes
        # Those that are enough are listed first.
        remedies = sorted(seen.plan.remedies, key=lambda remedy: remedy.fits == "no")
        assert "tab remedies" in seen.lines[-1]
        await seen.press("tab")
        await seen.sees("enter applies")
        await seen.press("down", "enter")
        await seen.until(lambda: seen.plan.estimate.peak.process_bytes < needed)
        for key, value in remedies[1].changes.items():
            assert key in seen.plan.overrides and seen.plan.overrides[key] == value
        await seen.press("u")
        await seen.until(lambda: seen.plan.estimate.peak.process_bytes == needed)


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_an_edit_that_no_longer_fits_leaves_the_keys_to_the_settings(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    async with planned(services, [rows], size=size) as seen:
        await does_not_fit(seen)
        edited = seen.plan
        await seen.press("down", "enter")
        await seen.sees("peak rate")
        await seen.press("escape")
        assert seen.plan is edited
        # Tab goes on to the remedies, then to the reasons, and round.
        await seen.press("tab")
        await seen.until(lambda: (seen.app.focused or seen.app.screen).id == "remedies")
        await seen.press("tab")
        await seen.sees("confidence")
        await seen.press("shift+tab", "shift+tab")
        await seen.until(lambda: (seen.app.focused or seen.app.screen).id == "settings-list")


async def test_advanced_settings_unfold(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        assert "modules_to_save  " not in seen.text
        await go_to(seen, "advanced")
        await seen.press("enter")
        await seen.sees("modules_to_save  ", "lora_dropout")


async def test_what_the_rows_teach_sets_the_rank(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        before = seen.plan.config.lora.r
        await go_to(seen, "rows teach a")
        await seen.sees("why task", "Nothing in the rows says")
        await seen.press("enter")
        await seen.sees("style", "domain")
        await seen.press("end", "enter")
        await seen.until(lambda: seen.plan.config.data.task == "domain")
    assert seen.plan.config.lora.r > before


async def test_another_goal_gives_another_plan_and_keeps_what_is_yours(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"training.seed": 7})
        await seen.press("a")
        await seen.sees("alternatives: the best plan for each goal", "gains", "gives up", "smallest memory")
        assert all(f"gives up {one.gives_up}" in seen.text for one in alternatives(seen.plan) if one.gives_up)
        await seen.press("end", "enter")
        await seen.until(lambda: seen.plan.goal == "smallest-memory")
        await seen.sees("◉ smallest memory")
        assert seen.plan.config.training.seed == 7
        await seen.press("u")
        await seen.sees("◉ balanced")


async def test_a_goal_can_be_taken_in_its_row(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await seen.press("shift+tab", "right", "enter")
        await seen.until(lambda: seen.plan.goal == "fastest")


async def test_a_preset_shows_what_it_changes_before_it_is_applied(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await seen.press("p", *"starter")
        await seen.sees("presets: what others published")
        before = seen.plan
        await seen.press("enter")
        await seen.sees("preset starter", "before", "after", "enter: apply")
        await seen.press("escape")
        assert seen.plan is before
        await seen.press("p", *"unsloth", "enter")
        await seen.sees("preset unsloth", "→")
        await seen.press("enter")
        await seen.sees("preset: unsloth-defaults")
        recipe = next(one for one in services.plans.recipes() if one.name == "unsloth-defaults")
        assert seen.plan.config.training.learning_rate == recipe.changes["training.learning_rate"]
        # What it set is told as its own, not as the person's.
        await go_to(seen, "learning_rate")
        await seen.sees("The preset unsloth-defaults set this")
        await go_to(seen, "epochs")
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"training.learning_rate": 1e-4})
        await seen.sees("preset: unsloth-defaults ✎")
        await go_to(seen, "learning_rate")
        await seen.sees("You set this")
        # Undone, it is no longer named.
        await seen.press("u", "u")
        await seen.until(lambda: seen.plan is before)
        await seen.sees("preset: none")


async def test_a_value_that_is_unset_by_backspace_is_called_so(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows], state={"values": {"training.max_steps": 12}}) as seen:
        await go_to(seen, "advanced")
        await seen.press("enter")
        await go_to(seen, "max_steps")
        await seen.sees("backspace leaves it unset")
        assert "brings back none" not in seen.text


async def test_the_configuration_is_saved_and_never_overwritten_unasked(
    services: MadeServices, rows: str, tmp_path: Path
) -> None:
    target = tmp_path / "mine.yaml"
    async with planned(services, [rows]) as seen:
        await seen.press("ctrl+s")
        await seen.sees("save the configuration as")
        await seen.fill("#value", str(target))
        await seen.sees("wrote")
        assert yaml.safe_load(target.read_text())["lora"]["r"] == seen.plan.config.lora.r
        target.write_text("kept")
        await seen.press("ctrl+s")
        await seen.fill("#value", str(target))
        await seen.sees("is there already", "Enter again replaces it")
        assert target.read_text() == "kept"
        await seen.press("enter")
        await seen.until(lambda: target.read_text() != "kept")
        await seen.press("ctrl+s")
        await seen.fill("#value", str(tmp_path / "no" / "such" / "folder.yaml"))
        await seen.sees("cannot be written")


async def test_a_price_an_hour_makes_plans_say_what_they_cost(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        await seen.press("dollar_sign")
        await seen.fill("#value", "cheap")
        await seen.sees("is not a price")
        await seen.fill("#value", "3600")
        time = seen.plan.estimate.time
        assert time is not None and time.total_seconds is not None
        await seen.sees(f"about ${time.total_seconds:.2f}")


async def test_in_a_narrow_terminal_tab_brings_the_why_pane(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows], size=NARROW) as seen:
        await go_to(seen, "learning_rate")
        await seen.sees("tab: why")
        await seen.press("tab")
        await seen.sees("confidence")
        await seen.press("shift+tab")
        await seen.sees("r / lora_alpha")


async def test_a_simulated_gpu_plans_and_saves_but_does_not_train(
    services: MadeServices, rows: str, tmp_path: Path
) -> None:
    from recommender.machine.devices import device_from_catalogue

    async with planned(services, [rows], state={"device": device_from_catalogue("A100 SXM 80GB")}) as seen:
        assert " SIM  A100 SXM 80GB" in seen.lines[0]
        await seen.press("g")
        await seen.sees("training cannot be started")
        assert seen.app.at is Step.PLAN
        await seen.press("ctrl+s")
        await seen.fill("#value", str(tmp_path / "a100.yaml"))
        await seen.until(lambda: (tmp_path / "a100.yaml").exists())


async def test_memory_that_was_taken_since_is_said(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows]) as seen:
        services.polled.append(9.0)
        seen.app.flow.machine.poll()
        await seen.sees("9.0 GiB are free now: f5 plans with that")


async def test_what_is_missing_is_said(services: MadeServices, rows: str) -> None:
    from tests.functional.screens.seen import wizard

    async with wizard(services, start=Step.PLAN) as seen:
        await seen.sees("no model yet: 2 chooses one")


async def test_values_of_the_command_line_are_yours(services: MadeServices, rows: str) -> None:
    state = {"values": {"training.num_train_epochs": 2}}
    async with planned(services, [rows], state=state) as seen:
        assert seen.plan.config.training.num_train_epochs == 2
        assert "✎" in seen.line("epochs")


async def test_another_gpu_makes_the_plan_anew(tmp_path: Path, rows: str) -> None:
    small = gpu(1, "NVIDIA T4", memory_total=15 * GIB, memory_free=14 * GIB, compute_capability=(7, 5))
    services = MadeServices(tmp_path / "runs", found=machine(gpu(0), replace(small, architecture="Turing")))
    async with planned(services, [rows]) as seen:
        assert seen.plan.config.training.precision == "bf16"
        await seen.press("1", "down", "space", "4")
        await seen.until(lambda: seen.plan.device.index == 1)
        await seen.until(lambda: seen.plan.config.training.precision == "fp16")


async def test_the_rate_is_offered_to_be_tried_where_it_is_not_sure(
    services: MadeServices, rows: str, tmp_path: Path
) -> None:
    target = tmp_path / "to try.yaml"
    async with planned(services, [rows]) as seen:
        sure = seen.plan.reasons["training.learning_rate"].confidence
        assert f"{sure}: T tries" in seen.line(" learning_rate  ")
        await seen.press("T")
        await seen.sees("try learning rates", "50 steps on the same rows", "lora-wizard try FILE --set")
        await seen.press("escape")
        assert not target.exists()
        await seen.press("T", "enter")
        await seen.sees("save the configuration as")
        await seen.fill("#value", str(target))
        await seen.sees("Saved, and copied: lora-wizard try")
        assert (
            yaml.safe_load(target.read_text())["training"]["learning_rate"] == seen.plan.config.training.learning_rate
        )
        assert seen.app.clipboard.startswith(f"lora-wizard try '{target}' --set training.learning_rate=")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_b_shows_the_memory_term_by_term(services: MadeServices, rows: str, size: tuple[int, int]) -> None:
    async with planned(services, [rows], size=size) as seen:
        await seen.press("b")
        await seen.sees("term by term", "linear layers in NF4", "embedding")
        await seen.press("end")
        await seen.sees("in all, by the formula", gib(seen.plan.estimate.peak.process_bytes))
        await seen.press("escape")
        await seen.until(lambda: "term by term" not in seen.text)


async def test_stretched_positions_are_a_row_of_their_own(services: MadeServices, rows: str) -> None:
    async with planned(services, [rows], model="smollm2-1.7b-instruct") as seen:
        own = seen.plan.model.max_position_embeddings
        assert " rope_scaling  " not in seen.text
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"data.max_length": 2 * own})
        await go_to(seen, "rope_scaling")
        await seen.sees("yarn × 2", "YaRN stretches its")
        await seen.press("enter")
        await seen.sees("dynamic × 2", "linear × 2")
        await seen.press("home", "enter")
        await seen.until(lambda: seen.plan.config.rope_scaling is None)
        await seen.press("backspace")
        await seen.until(lambda: seen.plan.config.rope_scaling is not None)


async def test_alternatives_are_those_of_the_edited_plan(services: MadeServices, rows: str) -> None:
    from recommender.plan.recommend import recommend
    from recommender.units import duration

    async with planned(services, [rows]) as seen:
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"training.num_train_epochs": 30})
        plan = seen.plan
        fast = recommend(plan.model, plan.device, plan.data, goal="fastest", overrides=plan.overrides)
        assert fast.estimate.time is not None
        await seen.press("a")
        await seen.sees("alternatives: the best plan for each goal")
        (line,) = (line for line in seen.lines if "○ fastest" in line and "GiB" in line)
        assert duration(fast.estimate.time.total_seconds) in line


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_warning_that_is_known_is_muted_while_the_wizard_is_open(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    async with planned(services, [rows], size=size) as seen:
        first, *others = warnings_beside(seen.plan)
        assert first.severity == "warning"
        await seen.sees(f"! {first.text[:30]}")
        await seen.press("exclamation_mark", "home", "enter")
        await seen.sees(f"  muted  {first.text[:30]}")
        await seen.press("escape")
        await seen.sees("1 muted: !" if others else "1 warning muted: !")
        assert f"! {first.text[:30]}" not in seen.text
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"lora.r": 8})
        await seen.until(lambda: seen.plan.config.lora.r == 8)
        await seen.sees("muted: !")
        assert f"! {first.text[:30]}" not in seen.text
        await seen.press("exclamation_mark", "home", "enter", "escape")
        await seen.sees(f"! {first.text[:30]}")
        assert "muted" not in seen.text


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_every_warning_is_a_key_away_the_gravest_first(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    async with planned(services, [rows], size=size) as seen:
        await take_card(seen, "2x 4090")
        await seen.until(lambda: seen.plan.device.count == 2)
        await seen.sees("! 2 cards share the rows", " more: !")
        await seen.press("exclamation_mark")
        await seen.sees("─ warnings ─")
        for warning in texts(seen.plan.warnings):
            assert warning[:30] in seen.text, warning
        await seen.sees(f"! {len(seen.plan.warnings)} warnings  to be known before a start")
        await seen.press("escape")
        screen = seen.app.screen
        assert isinstance(screen, PlanScreen)
        screen.edits.change({"method": "full"})
        await seen.sees(f"!: {len(seen.plan.warnings) - 1} warnings")
