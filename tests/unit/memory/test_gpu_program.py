"""The GPU program without a GPU: its matrix, its memory of what was measured, its imitated cards."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory_gpu
from benchmarks.gpu_matrix import Step, matrix
from benchmarks.memory_gpu import Session, broken_promises, imitate, measure, open_session, predicted, table
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device

CARD = replace(device_from_catalogue("A100 PCIe 80GB"), simulated=False, driver="580.95", torch_version="2.13.0")
STEP = matrix()[0]
GIB = 2**30


def behave(monkeypatch: pytest.MonkeyPatch, *, needs: int) -> list[int | None]:
    """A child that needs so many bytes of reserved memory; returns the limits that it was run under."""
    limits: list[int | None] = []

    def run(_step: Step, _device: Device, limit: int | None) -> dict[str, Any]:
        limits.append(limit)
        if limit is not None and limit < needs:
            return {"status": "out of memory"}
        sizes = {"allocated_bytes": needs, "reserved_bytes": needs, "process_bytes": needs + GIB // 2}
        return {"status": "ran", **sizes, "step_seconds": 1.0}

    monkeypatch.setattr(memory_gpu, "run", run)
    return limits


def session(tmp_path: Path, device: Device = CARD) -> Session:
    return open_session(device, tmp_path, 1.0)


def test_the_matrix_is_as_wide_as_it_says() -> None:
    steps = matrix()
    assert len({step.key for step in steps}) == len(steps) >= 40
    assert len({step.spec().model_type for step in steps}) >= 5
    assert len({step.model for step in steps}) >= 6
    sizes = [step.spec().total_parameters for step in steps]
    assert min(sizes) < 0.2e9
    assert max(sizes) > 13e9
    assert {step.bits for step in steps} == {4, 8, None}
    assert {512, 16384} <= {step.length for step in steps}
    assert {step.trained for step in steps} == {0.25, 1.0}
    assert any(step.packing for step in steps)
    assert any(step.offloading for step in steps)


@pytest.mark.parametrize("tiny", [False, True])
def test_every_step_has_a_price(tiny: bool) -> None:
    for step in matrix(tiny=tiny):
        assert predicted(step, CARD).peak.process_bytes > 0


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, needs=GIB)
    measure(session(tmp_path), STEP)
    again = session(tmp_path)
    assert again.rows[STEP.key]["measured"]["status"] == "ran"
    assert again.rows[STEP.key]["step"] == asdict(STEP)
    assert "1 of 1 configurations ran." in table(again)


@pytest.mark.parametrize("changes", [{"torch_version": "2.14.0"}, {"driver": "590.1"}])
def test_another_torch_or_driver_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    behave(monkeypatch, needs=GIB)
    measure(session(tmp_path), STEP)
    assert session(tmp_path, replace(CARD, **changes)).rows == {}  # type: ignore[arg-type]  # fields by name


def test_a_torn_results_file_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, needs=GIB)
    first = session(tmp_path)
    measure(first, STEP)
    first.path.write_text('{"device"')
    assert session(tmp_path).rows == {}


def test_imitated_cards_hold_the_answers_to_their_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = predicted(STEP, CARD).peak.process_bytes
    limits = behave(monkeypatch, needs=answer - GIB // 2)
    one = session(tmp_path)
    measure(one, STEP)
    imitate(one, STEP)
    tried = session(tmp_path).rows[STEP.key]["imitated"]
    assert (tried["yes"]["status"], tried["no"]["status"]) == ("ran", "out of memory")
    # Less what the process takes beside the allocator's memory.
    assert limits == [None, *(tried[verdict]["free_bytes"] - GIB // 2 for verdict in ("yes", "no"))]
    assert broken_promises(one) == 0


def test_a_yes_that_does_not_run_is_a_broken_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, needs=2 * predicted(STEP, CARD).peak.process_bytes)
    one = session(tmp_path)
    measure(one, STEP)
    imitate(one, STEP)
    assert broken_promises(one) == 1
    assert "answer yes: 0 of 1 ran" in table(one)


def test_what_cannot_run_is_skipped_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = behave(monkeypatch, needs=GIB)
    one = session(tmp_path, device_from_catalogue("T4"))
    flash = next(step for step in matrix() if step.attention.startswith("flash"))
    for step in (flash, Step("qwen3-14b", None)):
        measure(one, step)
    assert [row["measured"]["status"] for row in one.rows.values()] == [
        "skipped: flash-attn is not installed",
        "skipped: larger than the card",
    ]
    assert limits == []
