"""A model with Python code of its own: run where the person agreed to it, by whoever trains, and by nobody else."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from tests.fixtures.own_code import bring_own_code
from tests.functional.trainer.conftest import CPU, ended, wait_for
from trainer.process.launch import launch, resume_run
from trainer.results.chat import Chat
from trainer.results.merge import merge_run
from trainer.trace.ask import trace

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that is there once the model's code was executed."""
    return tmp_path / "was-run"


@pytest.fixture
def model(tiny_model: Path, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Transformers copies such code there before it runs it.
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return bring_own_code(Path(shutil.copytree(tiny_model, tmp_path / "mine")), mark)


def test_without_a_yes_no_child_runs_it(make_config: MakeConfig, model: Path, mark: Path, tmp_path: Path) -> None:
    config = make_config(model=str(model))
    with pytest.raises(InputError, match="would run as you"):
        trace(config, read_model(str(model)), CPU)
    shot = wait_for(launch(config, plan_document={"estimate": {}}, device=CPU, runs=tmp_path / "runs"), ended)
    assert shot.status == "failed"
    assert "modeling_mine.py" in str(shot.state.reason) and f"trust_remote_code={model}" in str(shot.end["remedy"])
    assert not mark.exists()


def test_with_a_yes_it_is_trained_recorded_and_used(
    make_config: MakeConfig, model: Path, mark: Path, tmp_path: Path
) -> None:
    config = make_config(model=str(model), trust_remote_code=str(model), training__max_steps=2)
    traced = trace(config, read_model(str(model)), CPU)
    assert traced.basis == "trace"
    run = launch(config, plan_document={"estimate": {}}, device=CPU, runs=tmp_path / "runs")
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    assert str(os.getpid()) not in mark.read_text()
    assert sorted(shot.start["own_code"]) == ["configuration_mine.py", "modeling_mine.py"]
    assert shot.start["own_code"]["modeling_mine.py"] in (run / "adapter" / "README.md").read_text()

    merged = tmp_path / "merged"
    assert merge_run(run, merged)["own_code"] is True
    assert (merged / "modeling_mine.py").read_text() == (model / "modeling_mine.py").read_text()
    with Chat(run) as pair:
        assert {side for side, _ in pair.ask("What is the rank?", most=3)} <= {"base", "tuned"}


def test_a_run_goes_on_only_with_the_code_it_began_with(
    make_config: MakeConfig, model: Path, mark: Path, tmp_path: Path
) -> None:
    config = make_config(model=str(model), trust_remote_code=str(model), training__max_steps=2)
    run = launch(config, plan_document={"estimate": {}}, device=CPU, runs=tmp_path / "runs")
    wait_for(run, ended)
    state = json.loads((run / "state.json").read_text())
    (run / "state.json").write_text(json.dumps({**state, "status": "stopped"}))
    mark.unlink()
    with (model / "modeling_mine.py").open("a") as file:
        file.write("# changed\n")
    resume_run(run)
    shot = wait_for(run, lambda shot: ended(shot) and shot.status == "failed")
    assert "has changed since" in str(shot.state.reason) and "modeling_mine.py" in str(shot.state.reason)
    assert not mark.exists()
