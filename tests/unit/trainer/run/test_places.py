"""Folders that cannot be written: the first error names all of them, and how each is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from presets.errors import InputError
from trainer.run import folder
from trainer.run.folder import require_place

VARIABLES = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "HF_HOME")


@pytest.mark.parametrize("read_only", [VARIABLES, ("HF_HOME",), ()])
def test_every_folder_that_cannot_be_written_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read_only: tuple[str, ...]
) -> None:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    for variable in VARIABLES:
        monkeypatch.setenv(variable, str(tmp_path / variable))
    names = tuple(map(str, (tmp_path / variable for variable in read_only)))
    monkeypatch.setattr(folder, "can_be_written", lambda folder: not str(folder).startswith(names or ("-",)))
    in_the_way = tmp_path / "a-file"
    in_the_way.touch()
    with pytest.raises(InputError) as raised:
        require_place(in_the_way / "runs")
    assert "--runs" in raised.value.remedy
    assert [each for each in VARIABLES if f"set {each}" in raised.value.remedy] == [
        each for each in VARIABLES if each in read_only
    ]
