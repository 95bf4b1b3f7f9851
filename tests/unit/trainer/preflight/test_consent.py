"""A yes to a shell command holds for exactly that command: on this machine, or for one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from recommender.config.edit import apply
from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.machine.facts import Device
from recommender.model import reader
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec
from trainer.preflight import gate
from trainer.process import launch as launching
from trainer.process.consent import (
    ConsentError,
    has_consent,
    require_consent,
    run_has_consent,
    store_consent,
    write_run_consent,
)
from trainer.process.launch import launch, resume_run
from trainer.run import base_model as bases
from trainer.run.folder import RunFolder, append_event, create, write_atomically
from trainer.run.state import RunState, write_state

COMMAND = "curl -s https://example.org/done | sh"
CPU = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=2)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "lora-wizard"


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The runs whose supervisor would have been started; they have no base."""
    found: list[Path] = []
    monkeypatch.setattr(launching, "_hold_base", lambda *_, **__: None)
    monkeypatch.setattr(gate, "require_trainable", lambda *_: None)
    monkeypatch.setattr(reader, "read_model", lambda *_, **__: None)
    monkeypatch.setattr(launching, "_start_supervisor", lambda folder, *_, **__: found.append(folder.path))
    return found


def config(command: str | None) -> FinetuneConfig:
    """A configuration that names a command."""
    base = FinetuneConfig(model="a/b", method="lora", quantization=Quantization(bits=None))
    return apply(base, {"run.on_end": command})


def test_a_resume_reads_its_base_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, str | None]] = []
    spec = read_model("smollm2-135m-instruct", offline=True)

    def counted(name: str, revision: str | None = None, **_: object) -> ModelSpec:
        read.append((name, revision))
        return spec

    monkeypatch.setattr(reader, "read_model", counted)
    monkeypatch.setattr(bases, "read_model", counted)
    monkeypatch.setattr(launching, "_start_supervisor", lambda *_, **__: None)
    run = stopped_run(tmp_path / "runs", None)
    resume_run(run, changes={"run.logging_steps": 5, "training.learning_rate": 1e-4})
    assert read == [("a/b", None)]
    assert "logging_steps: 5" in RunFolder(run).effective_config.read_text()


def stopped_run(runs: Path, command: str | None) -> Path:
    """A run that was stopped, as one of the time before anybody was asked."""
    folder = create(runs, "20261121-0312-a-b")
    for path in (folder.config, folder.effective_config):
        write_atomically(path, dump_config(config(command)))
    write_atomically(folder.plan, '{"device": {"kind": "cpu", "name": "c", "free_bytes": 1, "total_bytes": 1}}')
    write_state(folder, RunState(status="stopped", started=1.0, heartbeat=1.0))
    append_event(folder, "status", status="starting")
    return folder.path


def test_a_yes_is_kept_for_exactly_this_command(state: Path) -> None:
    assert not has_consent(COMMAND)
    store_consent(COMMAND)
    store_consent("another")
    assert has_consent(COMMAND)
    assert not has_consent(COMMAND + " ")
    assert COMMAND not in (state / "agreed.jsonl").read_text()
    require_consent(COMMAND)
    require_consent(None)
    with pytest.raises(ConsentError, match="org/gone"):
        require_consent("curl https://example.org/gone")


def test_a_state_folder_that_cannot_be_written_keeps_nothing(state: Path) -> None:
    state.parent.mkdir()
    state.write_text("a file")
    store_consent(COMMAND)
    assert not has_consent(COMMAND)


def test_nothing_starts_without_a_yes(tmp_path: Path, starts: list[Path]) -> None:
    with pytest.raises(ConsentError):
        launch(config(COMMAND), plan_document={}, device=CPU, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    run = launch(config(COMMAND), plan_document={}, device=CPU, runs=tmp_path / "runs", allow_on_end=True)
    assert starts == [run]
    assert run_has_consent(RunFolder(run), COMMAND)
    assert not has_consent(COMMAND)
    quiet = launch(config(None), plan_document={}, device=CPU, runs=tmp_path / "runs")
    assert not RunFolder(quiet).agreed.exists()


def test_the_yes_goes_on_with_the_run_until_the_command_changes(tmp_path: Path, starts: list[Path]) -> None:
    run = stopped_run(tmp_path / "runs", COMMAND)
    with pytest.raises(ConsentError):
        resume_run(run)
    resume_run(run, allow_on_end=True)
    resume_run(run)
    with pytest.raises(ConsentError, match="touch other"):
        resume_run(run, changes={"run.on_end": "touch other"})
    assert "touch other" not in RunFolder(run).effective_config.read_text()
    resume_run(run)
    resume_run(run, changes={"run.on_end": None})
    with pytest.raises(ConsentError):
        resume_run(run, changes={"run.on_end": COMMAND})
    store_consent(COMMAND)
    resume_run(run, changes={"run.on_end": COMMAND})
    assert len(starts) == 5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"on_end": null}', '{"v": 1}'])
def test_a_damaged_yes_is_none(tmp_path: Path, text: str) -> None:
    folder = create(tmp_path, "one")
    folder.agreed.write_text(text)
    assert not run_has_consent(folder, COMMAND)
    write_run_consent(folder, COMMAND)
    assert run_has_consent(folder, COMMAND)
    write_run_consent(folder, None)
    assert not run_has_consent(folder, COMMAND)
