"""Where the base of a run lies, and that it is the one that the run was trained over."""

import json
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.model.reader import read_model
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.process.launch import _changed
from trainer.run.base_model import Base, base_warning, check_base, find_base, place_of, write_base
from trainer.run.folder import RunFolder

OLD, NEW = "1" * 40, "2" * 40


def config(model: str, revision: str | None = None) -> FinetuneConfig:
    return FinetuneConfig(model=model, revision=revision, method="lora", quantization=Quantization(bits=None))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def snapshot(tmp_path: Path, commit: str, seed: int) -> Path:
    """A commit of org/model in the cache, and the main branch on it."""
    root = tmp_path / "hub" / "models--org--model"
    (root / "refs").mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text(commit)
    return build_tiny_llama(root / "snapshots" / commit, seed=seed)


def test_a_run_keeps_to_the_commit_that_it_began_with(run: RunFolder, tmp_path: Path) -> None:
    old = snapshot(tmp_path, OLD, seed=0)
    write_base(run, read_model("org/model"))
    snapshot(tmp_path, NEW, seed=7)
    assert read_model("org/model").revision == NEW
    found = find_base(run, config("org/model"))
    assert (found.path, found.revision) == (old, OLD)
    assert check_base(run, found) == "same"
    # What somebody asks for by name wins over what was written down.
    assert find_base(run, config("org/model", NEW)).revision == NEW


def test_where_that_commit_is_gone_the_way_back_is_told(run: RunFolder, tmp_path: Path) -> None:
    old = snapshot(tmp_path, OLD, seed=0)
    write_base(run, read_model("org/model"))
    snapshot(tmp_path, NEW, seed=7)
    old.rename(tmp_path / "gone")
    found = find_base(run, config("org/model"))
    with pytest.raises(InputError, match="is not the base that run was trained over: 15 of 20 tensors") as caught:
        check_base(run, found)
    assert f"`hf download org/model --revision {OLD}`" in caught.value.remedy
    assert "--base FOLDER" in caught.value.remedy and "--allow-changed-base" in caught.value.remedy
    assert check_base(run, found, allow_changed=True) == "changed"
    assert check_base(run, find_base(run, config("org/model"), str(tmp_path / "gone"))) == "same"


def test_a_folder_that_has_moved_is_asked_for(run: RunFolder, tmp_path: Path) -> None:
    before = build_tiny_llama(tmp_path / "m")
    write_base(run, read_model(str(before)))
    before.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="There is no folder") as caught:
        find_base(run, config(str(before)))
    assert "lies elsewhere now: --base FOLDER" in caught.value.remedy
    assert check_base(run, find_base(run, config(str(before)), str(tmp_path / "elsewhere"))) == "same"
    other = build_tiny_llama(tmp_path / "other", seed=3)
    with pytest.raises(InputError, match="is not the base") as caught:
        check_base(run, read_model(str(other)))
    assert f"it was in {before}" in caught.value.remedy


def test_an_old_run_says_that_it_cannot_be_told(run: RunFolder, tmp_path: Path) -> None:
    spec = read_model(str(build_tiny_llama(tmp_path / "m")))
    assert check_base(run, spec) == "unknown"
    assert "may be other weights" in base_warning(run, "unknown") and base_warning(run, "same") == ""
    run.base.write_text("torn{")
    assert Base.read(run) is None and check_base(run, spec) == "unknown"


def test_a_base_whose_weights_are_not_here_is_not_written_down(run: RunFolder, tmp_path: Path) -> None:
    write_base(run, read_model(str(build_tiny_llama(tmp_path / "m"))))
    assert json.loads(run.base.read_text())["v"] == 1
    write_base(run, read_model(str(build_tiny_llama(tmp_path / "plan", with_weights=False))))
    assert not run.base.exists()


def test_a_place_is_a_whole_folder_or_the_id_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path)
    assert (place_of("m"), place_of("org/model")) == (str(tmp_path / "m"), "org/model")


def test_rows_that_have_moved_are_named_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker holds them to what the run began with: see `same_rows`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").touch()
    changed = _changed(config("m"), {"data.train": ["rows.jsonl"], "training.learning_rate": 1e-5})
    assert changed.data.train_paths == (str(tmp_path / "rows.jsonl"),)
    with pytest.raises(InputError, match=r"data.format cannot be changed"):
        _changed(config("m"), {"data.format": "alpaca"})
