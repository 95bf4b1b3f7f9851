"""Which checkpoints count as whole."""

import json
from pathlib import Path

import pytest

from trainer.run.checkpoints import SEAL, complete_checkpoints, damage, drop_old, newest_whole, seal
from trainer.run.folder import RunFolder


def write(folder: RunFolder, step: int, *, sealed: bool = True) -> Path:
    path = folder.checkpoints / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "adapter_model.safetensors").write_bytes(bytes(range(200)) * step)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    if sealed:
        seal(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    for step in (2, 4, 10):
        write(folder, step)
    return folder


def test_whole_ones_are_ordered_by_step(folder: RunFolder) -> None:
    assert [path.name for path in complete_checkpoints(folder)] == ["checkpoint-2", "checkpoint-4", "checkpoint-10"]
    newest, wrong = newest_whole(folder)
    assert newest is not None
    assert (newest.name, wrong) == ("checkpoint-10", ())


def test_a_torn_newest_one_falls_back_and_says_so(folder: RunFolder) -> None:
    weights = folder.checkpoints / "checkpoint-10" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    newest, wrong = newest_whole(folder)
    assert newest is not None
    assert newest.name == "checkpoint-4"
    assert wrong == ("checkpoint-10: adapter_model.safetensors has 100 bytes of 2000",)
    assert "checkpoint-10" not in {path.name for path in complete_checkpoints(folder)}


def test_a_changed_byte_is_found_when_it_is_continued_from(folder: RunFolder) -> None:
    weights = folder.checkpoints / "checkpoint-10" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[7] ^= 1
    weights.write_bytes(data)
    path = folder.checkpoints / "checkpoint-10"
    assert damage(path, contents=False) == ""
    assert damage(path) == "adapter_model.safetensors is not what was written"


@pytest.mark.parametrize("missing", [SEAL, "trainer_state.json", "adapter_model.safetensors"])
def test_what_lacks_a_file_does_not_count(folder: RunFolder, missing: str) -> None:
    (folder.checkpoints / "checkpoint-10" / missing).unlink()
    assert [path.name for path in complete_checkpoints(folder)] == ["checkpoint-2", "checkpoint-4"]


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"trainer_state.json": 1}}'])
def test_a_seal_that_makes_no_sense_is_damage(folder: RunFolder, text: str) -> None:
    (folder.checkpoints / "checkpoint-10" / SEAL).write_text(text)
    assert damage(folder.checkpoints / "checkpoint-10")


def test_the_best_survives_the_oldest(folder: RunFolder) -> None:
    drop_old(folder, 1, best_step=2)
    assert [path.name for path in complete_checkpoints(folder)] == ["checkpoint-2", "checkpoint-10"]


def test_nothing_there(tmp_path: Path) -> None:
    assert newest_whole(RunFolder(tmp_path)) == (None, ())
