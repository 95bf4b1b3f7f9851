"""What the Plan screen says of a plan, without a screen."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from recommender.config.keys import fields
from recommender.machine.facts import Device
from recommender.memory.terms import experts_apart
from recommender.plan.recommend import recommend
from recommender.plan.types import Plan
from recommender.steps import plan_steps
from recommender.warning import codes, note, stop, warning, worst_first
from tests.unit.plan.facts import CPU, EXAMPLE, LLAMA_8B, RTX_3090, T4, TINY_CARD, UNKNOWN_24, model, rows
from tui.commands.output.plan import show_estimate
from tui.screens.plan.form import ADVANCED, NOT_ON_FORM, SETTINGS, Setting, advanced_settings, shown_settings
from tui.screens.plan.meter import meter_lines
from tui.screens.plan.text import nothing_helps, why_rows
from tui.screens.plan.warnings import warning_picks, warning_rows
from tui.wizard.state import WizardState


def text(rows: list[object]) -> str:
    return "\n".join(str(row) for row in rows)


def test_what_would_hold_a_plan_is_said_where_no_remedy_does() -> None:
    nowhere = recommend(LLAMA_8B, TINY_CARD, EXAMPLE)
    said = text([*nothing_helps(nowhere)])
    assert "Nothing below makes it fit" in said
    assert "the largest model that fits here is" in said
    full = recommend(LLAMA_8B, RTX_3090, EXAMPLE, overrides={"method": "full"})
    assert full.estimate.fits == "no"
    assert nothing_helps(full) == []


def test_what_was_estimated_is_not_called_measured() -> None:
    plan = recommend(LLAMA_8B, RTX_3090, EXAMPLE)
    for key in ("quantization.bits", "training.per_device_train_batch_size"):
        assert "priced" in text([*why_rows(plan, key, "")])
        assert "measured" not in text([*why_rows(plan, key, "")])
    assert "measured" in text([*why_rows(plan, "training.learning_rate", "")])


def _note(device: Device, name: str, label: str) -> str:
    plan = recommend(model(name), device, EXAMPLE)
    setting: Setting = next(one for one in shown_settings(plan, advanced=True) if one.label == label)
    return setting.note(plan)


def test_a_base_in_fp32_is_not_called_16_bit() -> None:
    assert _note(T4, "gemma-3-1b-it", "method") == "32-bit base"
    assert _note(T4, "smollm2-135m-instruct", "method") == "16-bit base"
    assert _note(CPU, "smollm2-135m-instruct", "method") in ("16-bit base", "32-bit base")


def test_the_rate_says_how_sure_it_is() -> None:
    assert _note(RTX_3090, "llama-3.1-8b-instruct", "learning_rate") == "medium: T tries"
    assert _note(RTX_3090, "mistral-7b-instruct-v0.3", "learning_rate") == "low: T tries"


def _note_of(plan: Plan, label: str) -> str:
    return next(one for one in shown_settings(plan, advanced=True) if one.label == label).note(plan)


def test_notes_count_as_the_run_does() -> None:
    few = recommend(LLAMA_8B, RTX_3090, rows(30, 3000))
    planned = plan_steps(few.config, few.data)
    assert planned is not None
    assert (planned.warmup, planned.total) == (2, 21)
    assert _note_of(few, "lr_scheduler / warmup") == "warmup 2 steps"
    assert _note_of(few, "epochs") == "21 steps"
    one = recommend(LLAMA_8B, RTX_3090, EXAMPLE, overrides={"max_steps": 10})
    assert _note_of(one, "lr_scheduler / warmup") == "warmup 0 steps"
    tiny = recommend(LLAMA_8B, RTX_3090, rows(3, 50))
    assert _note_of(tiny, "eval_fraction") == "1 row"


def test_steps_are_known_also_where_the_speed_is_not() -> None:
    unknown = recommend(LLAMA_8B, UNKNOWN_24, EXAMPLE)
    assert unknown.estimate.time is None
    assert _note_of(unknown, "epochs") == "3 063 steps"


def test_packing_is_off_under_the_attention_that_runs() -> None:
    assert _note(T4, "gemma-2-9b-it", "packing") == "off under eager"
    assert _note(T4, "smollm2-135m-instruct", "packing") == "off under sdpa"
    packed = recommend(LLAMA_8B, RTX_3090, EXAMPLE, overrides={"packing": True})
    assert _note_of(packed, "batch × accumulation").endswith(" sequences a step")


def test_a_long_label_does_not_push_what_was_found_to_the_right() -> None:
    plan = recommend(LLAMA_8B, RTX_3090, EXAMPLE)
    lines = [line.plain for line in why_rows(plan, "lora.init_lora_weights", "")]
    assert "  PiSSA, Mistral 7B" in lines
    assert lines[lines.index("  PiSSA, Mistral 7B") + 1].startswith("    GSM8K 72.9 %")
    rates = [line.plain for line in why_rows(plan, "training.learning_rate", "")]
    assert any("rate 3e-4" in line and "0.586" in line for line in rates), "figures stand beside their labels"
    assert "no biases to train" in plan.reasons["lora.bias"].why


def test_the_batch_of_several_cards_says_how_many_share_it() -> None:
    from recommender.estimate.data_parallel import named_cards

    (setting,) = (one for one in shown_settings(recommend(LLAMA_8B, T4, EXAMPLE), advanced=False) if "×" in one.label)
    one, two = (recommend(LLAMA_8B, named_cards(name), EXAMPLE) for name in ("4090", "2x 4090"))
    assert setting.note(one) == f"= {one.config.training.effective_batch_size} rows a step"
    assert setting.note(two) == f"× 2 cards = {2 * two.config.training.effective_batch_size} rows"


@pytest.mark.parametrize("width", [76, 116])
def test_warnings_that_are_not_shown_are_counted_with_their_key(width: int) -> None:
    plan = replace(
        recommend(LLAMA_8B, RTX_3090, EXAMPLE),
        warnings=tuple(warning("far", said) for said in ("short", "x" * 200, "third")),
    )
    assert [line.plain for line in warning_rows(plan, width, 3)][::2] == ["! short", "! third  !: all of it"]
    shown = [line.plain for line in warning_rows(plan, width, 2)]
    assert shown[0] == "! short" and shown[1].endswith("x…  1 more: !") and len(shown[1]) == width
    assert [line.plain for line in warning_rows(plan, width, 1)] == ["! short  2 more: !"]
    assert warning_rows(replace(plan, warnings=(warning("far", "short"),)), width, 1)[0].plain == "! short"
    assert warning_rows(replace(plan, warnings=()), width, 1) == []
    # What the verdict says is not said again.
    told = (warning("tight", "short"), *plan.warnings[1:])
    tight = replace(plan, estimate=replace(plan.estimate, fits="tight"), warnings=told)
    assert warning_rows(tight, width, 1)[0].plain.startswith("! xxx")


def test_the_judgement_of_a_mixture_tells_the_experts_apart() -> None:
    plan = recommend(model("qwen3-30b-a3b"), RTX_3090, EXAMPLE)
    assert plan.config.quantization.bits
    told = "13.9 GiB of the weights are experts, which are in 4 bits too"
    state = WizardState()
    lines = [line.plain for line in meter_lines(plan, state, 80, colour=False, short=False, runs="runs")]
    assert lines[2] == told
    out = Console(record=True, width=200, file=StringIO())
    show_estimate(plan.estimate, plan.device, out, experts_apart(plan.config, plan.model, plan.device, plan.data))
    assert out.export_text().splitlines()[0].endswith(f"to spare; {told}")
    dense = recommend(LLAMA_8B, RTX_3090, EXAMPLE)
    assert not any(
        "experts" in line.plain for line in meter_lines(dense, state, 80, colour=False, short=False, runs="")
    )


def test_every_key_of_the_configuration_is_on_the_form_once_or_named_as_not_on_it() -> None:
    on_form = [key for setting in (*SETTINGS, *advanced_settings()) for key in setting.keys]
    assert sorted([*on_form, *NOT_ON_FORM]) == sorted(fields())


def test_a_key_that_no_row_names_gets_a_folded_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tuple(setting for setting in ADVANCED if setting.keys != ("training.tf32",))
    monkeypatch.setattr("tui.screens.plan.form.ADVANCED", kept)
    advanced_settings.cache_clear()
    try:
        assert (advanced_settings()[-1].label, advanced_settings()[-1].keys) == ("tf32", ("training.tf32",))
    finally:
        advanced_settings.cache_clear()


GRADED = (note("measured", "a note " * 20), warning("far", "one"), stop("bad", "two"), warning("near", "three"))


def graded() -> Plan:
    return replace(recommend(LLAMA_8B, RTX_3090, EXAMPLE), warnings=worst_first(GRADED))


def test_warnings_stand_worst_first_with_a_mark_that_needs_no_colour() -> None:
    assert codes(worst_first(GRADED)) == ["bad", "far", "near", "measured"]
    shown = [line.plain for line in warning_rows(graded(), 80, 4)]
    assert [line[:5] for line in shown] == ["✗ two", "! one", "! thr", "i a n"]
    marks = [part for line in warning_rows(graded(), 80, 4) for part in line.parts[:1]]
    assert marks == [("✗ ", "bad"), ("! ", "caution"), ("! ", "caution"), ("i ", "label")]


def test_warnings_of_a_muted_kind_are_counted_and_a_stop_cannot_be_muted() -> None:
    shown = [line.plain for line in warning_rows(graded(), 80, 4, {"far", "bad", "measured"})]
    assert [line[:5] for line in shown] == ["✗ two", "! thr"]
    assert shown[-1].endswith("  2 muted: !")
    only = replace(graded(), warnings=(warning("far", "one"),))
    assert [line.plain for line in warning_rows(only, 80, 2, {"far"})] == ["1 warning muted: !"]


def test_all_warnings_stand_under_the_heading_of_their_severity() -> None:
    plan = graded()
    plan = replace(plan, estimate=replace(plan.estimate, notes=(note("measured_time", "from 3 steps"),)))
    picks = warning_picks(plan, {"near"}, 40)
    headings = [pick.lines[0].plain for pick in picks if pick.key in {"stop", "warning", "note"}]
    assert headings == [
        "✗ 1 stop  nothing should be started so",
        "! 2 warnings  to be known before a start",
        "i 2 notes  how a figure came to be",
    ]
    by_key = {pick.key: pick for pick in picks}
    assert by_key["0:bad"].fixed and not by_key["1:far"].fixed
    assert by_key["2:near"].lines[0].plain == "  muted  three"
    assert len(by_key["3:measured"].lines) > 3, "a long text is wrapped, not cut"
    assert by_key["4:measured_time"].lines[0].plain == "  i from 3 steps"
