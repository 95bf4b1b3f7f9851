"""What a run is said to have taken: its own, without what others hold, and without pages that nothing stands in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recommender.machine import probe
from recommender.machine.facts import Device, Gpu, NvmlState, NvmlStatus
from trainer.worker.measure.memory import MemoryMeter, free_bytes

KIB, GIB = 1024, 2**30
CARD = Device(kind="cuda", name="card", free_bytes=22 * GIB, total_bytes=24 * GIB, uuid="GPU-1")


def status(path: Path, *, now: int, most: int, files: int) -> None:
    path.write_text(f"Name:\tpython\nVmHWM:\t{most} kB\nVmRSS:\t{now} kB\nRssFile:\t{files} kB\n")


def test_pages_of_a_checkpoint_that_no_weight_stands_in_are_not_counted(tmp_path: Path) -> None:
    model = torch.nn.Linear(1024, 256, bias=False)
    start = model.weight.data_ptr()
    maps = tmp_path / "maps"
    maps.write_text(
        f"{start:x}-{start + model.weight.nbytes:x} r--p 00000000 fe:00 7 /models/a model/model.safetensors\n"
        "7ffd0000-7ffe0000 rw-p 00000000 00:00 0 [stack]\n7ffe0000-7fff0000 rw-p 00000000 00:00 0\n"
    )
    status(tmp_path / "status", now=5000, most=5000, files=1000)
    meter = MemoryMeter(cuda=False, status=tmp_path / "status", maps=maps)
    meter.loaded(model)
    # 1 MiB of the file is in use, 3000 KiB of it are not.
    status(tmp_path / "status", now=12000, most=15000, files=1000 + 1024 + 3000)
    assert meter.peak() == (15000 - 5000 - 3000) * KIB
    status(tmp_path / "status", now=12000, most=15000, files=1000)
    assert meter.peak() == (15000 - 5000) * KIB
    assert meter.reading()["basis"] == "resident growth"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of 24 GiB with 15 GiB free, of which this process's allocator has 6 GiB and had 7 GiB."""
    for name, answer in {
        "reset_peak_memory_stats": None,
        "max_memory_reserved": 7 * GIB,
        "memory_reserved": 6 * GIB,
        "max_memory_allocated": 5 * GIB,
        "mem_get_info": (15 * GIB, 24 * GIB),
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("free_before", "process"),
    [(22 * GIB, 8 * GIB), (None, 10 * GIB), (25 * GIB, 10 * GIB), (20 * GIB, 7 * GIB)],
    ids=["a desktop holds 2 GiB", "unknown", "the driver's reserve counted as free", "somebody left meanwhile"],
)
def test_what_others_hold_on_the_card_is_not_the_runs(free_before: int | None, process: int) -> None:
    reading = MemoryMeter(cuda=True, free_before=free_before).reading()
    assert reading["process_bytes"] == process
    assert (reading["allocated_bytes"], reading["reserved_bytes"]) == (5 * GIB, 7 * GIB)


def test_free_memory_is_the_drivers_word_about_this_card(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(0, "GPU-1", "a card", (8, 0), "Ampere", 24 * GIB, 2 * GIB, 22 * GIB)
    other = replace(gpu, index=1, uuid="GPU-2", memory_free=GIB)
    monkeypatch.setattr(probe, "poll_gpus", lambda: ((other, gpu), NvmlState(NvmlStatus.OK)))
    assert free_bytes(CARD) == 22 * GIB
    assert free_bytes(replace(CARD, uuid="GPU-3")) is None
    assert free_bytes(replace(CARD, uuid=None)) is None
    assert free_bytes(replace(CARD, unified_memory=True)) is None


def test_a_driver_that_fails_leaves_the_free_memory_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def poll() -> None:
        raise OSError("libnvidia-ml.so is gone")

    monkeypatch.setattr(probe, "poll_gpus", poll)
    assert free_bytes(CARD) is None
