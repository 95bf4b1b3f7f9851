"""What a machine has measured centres and narrows what is said next on that machine, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.estimate import estimate
from recommender.estimate.types import Estimate
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.memory.measured import FILE
from tests.unit.memory.cases import CPU, llama, lora, qlora
from trainer.preflight.measurements import keep

CARD = replace(device_from_catalogue("RTX 4090"), simulated=False, driver="580.95", torch_version="2.13.0")
PLAN, OTHER = qlora(data__max_length=1024), qlora(data__max_length=3072, lora__r=64)
MODEL = llama()


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def asked(config: FinetuneConfig, device: Device = CARD) -> Estimate:
    return estimate(config, MODEL, device)


def measured(config: FinetuneConfig, factor: float, device: Device = CARD) -> int:
    """Keep a step that took `factor` times its first estimate; returns its bytes."""
    nbytes = round(asked(config, replace(device, simulated=True)).peak.process_bytes * factor)
    keep(config, MODEL, device, None, {"process_bytes": nbytes})
    return nbytes


def width(answer: Estimate) -> float:
    return (answer.peak.high_bytes - answer.peak.low_bytes) / answer.peak.process_bytes


def test_the_same_plan_is_answered_with_what_was_measured() -> None:
    before = asked(PLAN)
    truth = measured(PLAN, 1.06)
    after = asked(PLAN)
    assert (before.basis, after.basis) == ("formula", "measured")
    assert after.peak.process_bytes == truth
    assert width(after) < width(before) / 2
    assert after.notes


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.99, 1.0, 1.01, 1.3])
@pytest.mark.parametrize(("config", "device"), [(PLAN, CARD), (lora(training__precision="fp32"), CPU)])
def test_parts_add_up_to_what_was_measured(factor: float, config: FinetuneConfig, device: Device) -> None:
    truth = measured(config, factor, device)
    answer = asked(config, device)
    assert sum(answer.parts.values()) == answer.peak.process_bytes == truth
    assert min(answer.parts.values()) >= 0
    assert answer.peak.allocated_bytes + answer.parts["allocator"] == answer.peak.reserved_bytes
    assert answer.peak.reserved_bytes + answer.parts["context"] == answer.peak.process_bytes


def test_another_plan_of_the_recipe_moves_part_of_the_way_and_narrows() -> None:
    before = asked(OTHER)
    measured(PLAN, 1.06)
    after = asked(OTHER)
    moved = after.peak.process_bytes / before.peak.process_bytes
    assert 1.005 < moved < 1.06
    assert width(after) < width(before)
    assert after.basis == "formula"
    assert after.notes[0].code == "measured_memory"


@pytest.mark.parametrize("device", [CARD, CPU])
@pytest.mark.parametrize("factor", [0.7, 0.94, 1.0, 1.06, 1.4])
def test_an_estimate_stays_within_its_own_interval(factor: float, device: Device) -> None:
    config = {CARD: OTHER, CPU: lora(training__precision="fp32", lora__r=32)}[device]
    same = {CARD: PLAN, CPU: lora(training__precision="fp32")}[device]
    measured(same, factor, device)
    peak = asked(config, device).peak
    assert peak.low_bytes <= peak.process_bytes <= peak.high_bytes
    if 0.9 < factor < 1.1:
        assert peak.low_bytes < 0.98 * peak.process_bytes and peak.high_bytes > 1.02 * peak.process_bytes


def test_more_measurements_move_it_further_and_narrow_more() -> None:
    measured(PLAN, 1.06)
    one = asked(OTHER)
    for length in (512, 768, 1536):
        measured(qlora(data__max_length=length), 1.06)
    four = asked(OTHER)
    assert four.peak.process_bytes > one.peak.process_bytes
    assert width(four) < width(one)


@pytest.mark.parametrize(
    "device",
    [
        replace(CARD, driver="590.1"),
        replace(CARD, torch_version="2.14.0"),
        replace(CARD, name="RTX 3090"),
        replace(CARD, simulated=True),
    ],
    ids=["driver", "torch", "card", "simulated"],
)
def test_another_machine_learns_nothing(device: Device) -> None:
    before = asked(PLAN, device)
    measured(PLAN, 1.2)
    assert asked(PLAN, device) == before


@pytest.mark.parametrize("changes", [{"training__precision": "fp16"}, {"training__gradient_checkpointing": False}])
def test_another_recipe_learns_nothing(changes: dict[str, object]) -> None:
    before = asked(qlora(**changes))
    measured(PLAN, 1.2)
    assert asked(qlora(**changes)) == before


def test_a_tiny_model_says_nothing_of_a_large_one() -> None:
    config = lora(training__precision="fp32")
    before = asked(config, CPU)
    tiny = llama(hidden_size=64, intermediate_size=128, num_hidden_layers=2, vocab_size=500)
    keep(config, tiny, CPU, None, {"process_bytes": 19_000_000})
    assert estimate(config, tiny, CPU).basis == "measured"
    assert asked(config, CPU) == before


def test_a_batch_of_other_rows_is_another_plan() -> None:
    measured(PLAN, 1.06)
    assert estimate(PLAN, MODEL, CARD, synthetic_profile(10, 20)).basis == "formula"


def test_a_torn_or_foreign_line_is_passed_over(tmp_path: Path) -> None:
    truth = measured(PLAN, 1.06)
    path = tmp_path / "lora-wizard" / FILE
    path.write_text('{"machine": 3}\n[]\n\n' + path.read_text() + '{"machine": "RTX 4090 | 58')
    assert asked(PLAN).peak.process_bytes == truth


def test_a_simulated_card_and_an_empty_measurement_are_not_kept(tmp_path: Path) -> None:
    keep(PLAN, MODEL, replace(CARD, simulated=True), None, {"process_bytes": 10})
    keep(PLAN, MODEL, CARD, None, {"process_bytes": 0})
    assert not (tmp_path / "lora-wizard" / FILE).exists()


def test_a_state_folder_that_cannot_be_written_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    keep(PLAN, MODEL, CARD, None, {"process_bytes": 10})
    assert asked(PLAN).basis == "formula"
