"""A new adapter in the place of the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.run.adapter import put_in_place
from trainer.run.checkpoints import seal
from trainer.run.folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run's folder with an adapter, and a file that a person made of it."""
    made = RunFolder(tmp_path)
    adapter(made.adapter, "first")
    (made.adapter / "gguf").mkdir()
    (made.adapter / "gguf" / "mine.gguf").write_text("converted")
    return made


def adapter(path: Path, weights: str) -> Path:
    """A sealed adapter."""
    path.mkdir()
    (path / "adapter_model.safetensors").write_text(weights)
    seal(path)
    return path


def held(folder: RunFolder) -> dict[str, str]:
    """Name and text of what the adapter's folder holds beside its seal."""
    files = [path for path in folder.adapter.rglob("*") if path.is_file() and path.name != "sealed.json"]
    return {str(path.relative_to(folder.adapter)): path.read_text() for path in files}


def test_what_a_person_put_beside_the_weights_stays(folder: RunFolder, tmp_path: Path) -> None:
    put_in_place(folder, adapter(tmp_path / "new", "second"))
    assert held(folder) == {"adapter_model.safetensors": "second", "gguf/mine.gguf": "converted"}
    assert not (tmp_path / ".adapter.before").exists()


def test_it_stays_where_the_worker_was_killed_between(folder: RunFolder, tmp_path: Path) -> None:
    folder.adapter.rename(tmp_path / ".adapter.before")
    adapter(folder.adapter, "second")
    put_in_place(folder, adapter(tmp_path / "new", "third"))
    assert held(folder) == {"adapter_model.safetensors": "third", "gguf/mine.gguf": "converted"}


def test_an_adapter_without_a_seal_is_replaced(folder: RunFolder, tmp_path: Path) -> None:
    (folder.adapter / "sealed.json").unlink()
    put_in_place(folder, adapter(tmp_path / "new", "second"))
    assert held(folder) == {"adapter_model.safetensors": "second"}
