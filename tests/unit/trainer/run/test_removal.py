"""Only a run is removed, and of its folder only what is a run's."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from presets.errors import InputError
from trainer.history.listing import find_run, list_runs
from trainer.process.removal import find_whole, remove_run
from trainer.run.checkpoints import seal
from trainer.run.events import Kind
from trainer.run.folder import RunFolder, append_event, create, is_run, write_atomically
from trainer.run.identity import Process
from trainer.run.state import RunState, write_state

ID = "20261121-0312-model-data"


def made(runs: Path, name: str = ID, **state: object) -> RunFolder:
    """A run as it lies there when it has ended."""
    folder = create(runs, name)
    for path in (folder.config, folder.effective_config, folder.plan):
        write_atomically(path, "model: some/model\n")
    write_state(folder, replace(RunState(status="finished", started=1.0, heartbeat=1.0), **state))  # type: ignore[arg-type]  # fields by name
    append_event(folder, "status", status="starting")
    folder.log.write_text("")
    for path in (folder.adapter, folder.checkpoints / "checkpoint-10"):
        path.mkdir(parents=True)
        (path / "adapter_model.safetensors").write_text("weights")
        seal(path)
    return folder


def everything(folder: Path) -> list[str]:
    """The paths of all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def old(folder: RunFolder) -> RunFolder:
    """The run as one that was made before there was a marker."""
    folder.marker.unlink()
    return folder


@pytest.mark.parametrize("age", [lambda folder: folder, old])
def test_a_run_goes_whole(tmp_path: Path, age: Callable[[RunFolder], RunFolder]) -> None:
    age(made(tmp_path))
    removed = remove_run(find_whole(tmp_path, ID))
    assert removed.left == ()
    assert list(tmp_path.iterdir()) == []


def test_every_file_of_the_contract_goes(tmp_path: Path) -> None:
    folder = made(tmp_path)
    names = [name for name, value in vars(RunFolder).items() if isinstance(value, property)]
    for path in (getattr(folder, name) for name in names):
        if isinstance(path, Path) and not path.exists():
            path.write_text("")
    assert remove_run(folder.path).left == ()


@pytest.mark.parametrize(
    ("text", "left"), [("---\ntags:\n- generated_from_trainer\n---\n", ()), ("mine", ("README.md",))]
)
def test_the_card_beside_checkpoints_goes_where_a_library_wrote_it(
    tmp_path: Path, text: str, left: tuple[str, ...]
) -> None:
    folder = made(tmp_path)
    (folder.checkpoints / "README.md").write_text(text)
    assert remove_run(folder.path).left == tuple(f"checkpoints/{name}" for name in left)


def test_a_run_that_never_began_to_write_is_one_by_its_marker(tmp_path: Path) -> None:
    folder = made(tmp_path)
    folder.events.unlink()
    assert is_run(folder.path)
    remove_run(folder.path)
    assert not folder.path.exists()


def test_a_project_with_a_configuration_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "runs" / "my-project"
    project.mkdir(parents=True)
    (project / "config.yaml").write_text("model: some/model\n")
    (project / "thesis.txt").write_text("four years")
    monkeypatch.chdir(project)
    for wanted in ("my-project", str(project), ".", "..", "../my-project", "", "/", "~", "~nobody-of-that-name/x"):
        with pytest.raises(InputError, match="is no run"):
            find_whole(tmp_path / "runs", wanted)
    with pytest.raises(InputError, match="no run folder"):
        remove_run(project)
    assert everything(project) == ["config.yaml", "thesis.txt"]
    assert list_runs(tmp_path / "runs") == ()
    with pytest.raises(InputError, match="no runs in"):
        find_run(tmp_path / "runs", str(project))


@pytest.mark.parametrize(
    "first",
    [
        "torn {\n",
        '{"event": "click", "t": 1}\n',
        '["v", "t", "kind"]\n',
        '{"v": 1, "t": 5.0, "kind": "step", "step": 3}\n',
        '{"v": "1", "t": "now", "kind": "status", "status": "starting"}\n',
    ],
)
def test_another_programs_record_makes_no_run(tmp_path: Path, first: str) -> None:
    folder = old(made(tmp_path))
    folder.events.write_text(first + '{"v": 1, "t": 5.0, "kind": "start"}\n')
    assert not is_run(folder.path)
    with pytest.raises(InputError, match="is no run"):
        find_whole(tmp_path, ID)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [("status", {"status": "starting"}), ("start", {"total_steps": 5}), ("end", {"status": "failed"})],
)
def test_a_record_that_begins_as_ours_makes_one(tmp_path: Path, kind: Kind, keys: dict[str, object]) -> None:
    folder = old(made(tmp_path))
    folder.events.unlink()
    append_event(folder, kind, **keys)
    assert is_run(folder.path)
    folder.state.unlink()
    assert not is_run(folder.path)


@pytest.mark.parametrize("wanted", ["2026", "model", ID[:-1], "latest", ID.upper(), "x" * 5000])
def test_only_a_whole_id_is_taken(tmp_path: Path, wanted: str) -> None:
    made(tmp_path)
    with pytest.raises(InputError, match="is no run"):
        find_whole(tmp_path, wanted)


def test_a_folder_is_named_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "runs")
    monkeypatch.chdir(folder.path)
    for wanted in (".", "./", "../", f"../{ID}/."):
        with pytest.raises(InputError, match="is no run"):
            find_whole(tmp_path / "none", wanted)
    assert find_whole(tmp_path / "none", f"{folder.path}/") == folder.path
    monkeypatch.chdir(tmp_path / "runs")
    assert find_whole(tmp_path / "none", ID) == folder.path


def test_an_id_that_means_two_runs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path / "runs")
    made(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="one of this folder"):
        find_whole(tmp_path / "runs", ID)


def test_what_is_no_runs_stays_and_is_told(tmp_path: Path) -> None:
    folder = made(tmp_path)
    for name in (
        "notes.md",
        "adapter/mine.gguf",
        "checkpoints/best/model.safetensors",
        "checkpoints/checkpoint-10/why",
    ):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("a person's")
    (folder.path / "empty").mkdir()
    (folder.path / ".state.json.4711.tmp").write_text("torn by a kill")
    (folder.path / "checkpoints/checkpoint-20").mkdir()
    (folder.path / "checkpoints/checkpoint-20/torn.safetensors").write_text("never sealed")
    removed = remove_run(folder.path)
    kept = ("adapter/mine.gguf", "checkpoints/best/model.safetensors", "checkpoints/checkpoint-10/why", "notes.md")
    assert removed.left == tuple(sorted((*kept, "empty/")))
    assert everything(folder.path) == list(kept)
    assert "notes.md" in removed.sentence()
    assert not is_run(folder.path)


def test_no_link_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("checkpoint-5", "sub"):
        (elsewhere / name).mkdir()
        (elsewhere / name / "adapter_model.safetensors").write_text("kept")
    before = everything(elsewhere)
    folder = made(tmp_path / "runs")
    remove_run(made(tmp_path / "runs", "another").path)
    (folder.checkpoints / "checkpoint-7").symlink_to(elsewhere / "checkpoint-5")
    (folder.adapter / "sub").symlink_to(elsewhere / "sub")
    (folder.path / "ranks").symlink_to(elsewhere)
    assert remove_run(folder.path).left == ("adapter/sub",)
    folder = made(tmp_path / "runs", "third")
    for path in (folder.checkpoints, folder.adapter):
        path.rename(tmp_path / f"moved-{path.name}")
        path.symlink_to(tmp_path / f"moved-{path.name}")
    assert remove_run(folder.path).left == ()
    assert everything(elsewhere) == before
    assert (tmp_path / "moved-checkpoints" / "checkpoint-10" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "moved-adapter" / "adapter_model.safetensors").is_file()


def test_a_link_to_a_run_is_not_removed_for_it(tmp_path: Path) -> None:
    folder = made(tmp_path / "elsewhere")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(folder.path)
    for wanted in ("link", str(tmp_path / "runs" / "link") + "/"):
        with pytest.raises(InputError, match="is a link to"):
            remove_run(find_whole(tmp_path / "runs", wanted))
    assert (tmp_path / "runs" / "link").is_symlink()
    assert is_run(folder.path)


def test_a_seal_that_names_other_places_reaches_nothing_outside(tmp_path: Path) -> None:
    folder = made(tmp_path / "runs")
    (tmp_path / "precious").write_text("kept")
    seal_file = folder.adapter / "sealed.json"
    names = json.loads(seal_file.read_text())["files"]
    names["../../../precious"] = names[str(tmp_path / "precious")] = {"bytes": 1, "crc32": 1}
    seal_file.write_text(json.dumps({"v": 1, "files": names}))
    remove_run(folder.path)
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_living_run_is_not_removed(tmp_path: Path) -> None:
    living = made(tmp_path, "a", status="training", supervisor=Process.this())
    with pytest.raises(InputError, match="still running"):
        remove_run(living.path)
    distant = replace(Process.this(), boot="another machine")
    there = made(tmp_path, "b", status="training", worker=distant, heartbeat=time.time())
    with pytest.raises(InputError, match="heartbeat"):
        remove_run(there.path)
    assert is_run(living.path)
    assert is_run(there.path)
    silent = made(tmp_path, "c", status="training", worker=distant)
    remove_run(silent.path)
    assert not silent.path.exists()


def refuse(path: Path) -> None:
    """Remove nothing, as where the folder is somebody else's."""
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_what_was_removed_in_part_can_be_removed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path)
    (folder.adapter / "sealed.json").unlink()
    with monkeypatch.context() as broken:
        broken.setattr(shutil, "rmtree", refuse)
        with pytest.raises(InputError, match=r"adapter cannot be removed: Permission denied"):
            remove_run(folder.path)
    assert is_run(folder.path)
    remove_run(folder.path)
    assert not folder.path.exists()
