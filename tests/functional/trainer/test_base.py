"""The base under a run changes or moves: what is made of the run afterwards says so, or takes the new place."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.io import load_config
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from tests.fixtures.tiny_model import build_tiny_llama
from tests.functional.trainer.conftest import CPU, LONGEST, ended, wait_for
from trainer.history.reader import Snapshot
from trainer.process.launch import launch, resume_run
from trainer.results.chat import Chat
from trainer.results.merge import merge_run
from trainer.run.base_model import check_base
from trainer.run.commands import request
from trainer.run.folder import RunFolder

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]


@pytest.fixture
def stopped(make_config: MakeConfig, tmp_path: Path) -> Path:
    """A run over the model in tmp_path / 'm', stopped in its middle with a checkpoint."""
    model = build_tiny_llama(tmp_path / "m")
    config = make_config(model=str(model), training__max_steps=400, run__save_steps=2, run__eval_steps=200)
    run = launch(config, plan_document={"estimate": {}}, device=CPU, runs=tmp_path / "runs")
    wait_for(run, lambda shot: shot.state.step >= 4)
    request(run, "stop")
    shot = wait_for(run, ended)
    assert shot.status == "stopped", (shot.state.reason, shot.log)
    return run


def warnings(shot: Snapshot) -> str:
    return "\n".join(str(event["message"]) for event in shot.events if event["kind"] == "warning")


def stop_after(run: Path, step: int) -> Snapshot:
    wait_for(run, lambda shot: shot.state.step > step or ended(shot))
    request(run, "stop")
    return wait_for(run, ended)


def test_another_base_is_refused_until_somebody_agrees(stopped: Path, tmp_path: Path) -> None:
    build_tiny_llama(tmp_path / "m", seed=7)
    done = subprocess.run(
        [sys.executable, "-m", "tui.cli", "--runs", str(stopped.parent), "merge", "latest", "-o", str(tmp_path / "no")],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    assert done.returncode == 2
    assert f"error: {tmp_path}/m is not the base that {stopped.name} was trained over: 15 of 20" in done.stderr
    assert "--allow-changed-base" in done.stderr and not (tmp_path / "no").exists()
    with pytest.raises(InputError, match="is not the base"), Chat(stopped):
        pass
    with pytest.raises(InputError, match="is not the base"):
        resume_run(stopped)

    assert merge_run(stopped, tmp_path / "merged", allow_changed_base=True)["base"] == "changed"
    at = wait_for(stopped, ended).state.step
    resume_run(stopped, allow_changed_base=True)
    shot = stop_after(stopped, at)
    assert shot.status == "stopped", (shot.state.reason, shot.log)
    assert "is not the one that" in warnings(shot)
    # It is the run's base from then on.
    assert check_base(RunFolder(stopped), read_model(str(tmp_path / "m"))) == "same"


def test_a_base_that_has_moved_is_taken_where_it_is(stopped: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "m"
    moved.parent.mkdir()
    (tmp_path / "m").rename(moved)
    for refused in (lambda: merge_run(stopped, tmp_path / "no"), lambda: resume_run(stopped)):
        with pytest.raises(InputError, match="There is no folder") as caught:
            refused()
        assert "--base FOLDER" in caught.value.remedy
    assert merge_run(stopped, tmp_path / "merged", base=str(moved))["base"] == "same"
    with Chat(stopped, base=str(moved)) as pair:
        assert pair.held == "same"
        assert {side for side, _ in pair.ask("Hello", most=2)} <= {"base", "tuned"}
    other = build_tiny_llama(tmp_path / "other", seed=7)
    with pytest.raises(InputError, match="is not the base"):
        resume_run(stopped, changes={"model": str(other)})

    at = wait_for(stopped, ended).state.step
    resume_run(stopped, changes={"model": str(moved)})
    shot = stop_after(stopped, at)
    assert shot.status == "stopped", (shot.state.reason, shot.log)
    assert load_config(RunFolder(stopped).effective_config).model == str(moved)


def test_a_changed_template_is_other_training(stopped: Path, tmp_path: Path) -> None:
    settings = tmp_path / "m" / "tokenizer_config.json"
    before = settings.read_text()
    document = json.loads(before)
    settings.write_text(json.dumps(document | {"chat_template": document["chat_template"].replace("\\n", " ")}))
    resume_run(stopped)
    shot = wait_for(stopped, ended)
    assert shot.status == "failed" and "become other tokens now" in str(shot.state.reason)
    settings.write_text(before)

    # A run from before bases were written down goes on, and says what cannot be told.
    (stopped / "base.json").unlink()
    build_tiny_llama(tmp_path / "m", seed=7)
    at = shot.state.step
    resume_run(stopped)
    shot = stop_after(stopped, at)
    assert shot.status == "stopped", (shot.state.reason, shot.log)
    assert "may be other weights" in warnings(shot)
    assert check_base(RunFolder(stopped), read_model(str(tmp_path / "m"))) == "unknown"
