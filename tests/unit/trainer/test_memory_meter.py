"""What a CPU run is said to have taken: growth, without the pages of a checkpoint that nothing stands in."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from trainer.worker.memory import MemoryMeter  # noqa: E402

KIB = 1024


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
