"""The life of a run, for real: started, watched, stopped, killed, resumed, out of memory."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from tests.functional.trainer.conftest import CPU, ended, wait_for
from trainer.history.listing import list_runs
from trainer.process.consent import ConsentError
from trainer.process.launch import launch, resume_run
from trainer.run.commands import request

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]

LOAD_ADAPTER = """
import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter = sys.argv[1:]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
b = [p for n, p in model.named_parameters() if "lora_B" in n]
print(len(b), all(float(p.abs().sum()) > 0 for p in b))
"""


def start(config: FinetuneConfig, runs: Path, **options: bool) -> Path:
    return launch(config, plan_document={"estimate": {"checkpoint_bytes": 1}}, device=CPU, runs=runs, **options)


def test_a_run_trains_and_its_adapter_loads(
    make_config: MakeConfig, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trainer.py").write_text("raise SystemExit('shadowed')\n")
    (tmp_path / "datasets").mkdir()
    monkeypatch.chdir(tmp_path)
    run = start(make_config(), tmp_path / "runs")
    with pytest.raises(InputError, match=run.name):
        start(make_config(), tmp_path / "runs")
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    assert [point.step for point in shot.steps] == [1, 2, 3, 4, 5, 6]
    assert [point.step for point in shot.evals] == [0, 3, 6]
    first, last = shot.evals[0].eval_loss, shot.evals[-1].eval_loss
    assert first is not None
    assert last is not None
    assert last < first
    asked = [sample["prompt"] for sample in shot.samples[:3]]
    assert len(set(asked)) == 3
    assert [(sample["when"], sample["step"]) for sample in shot.samples[::3]] == [
        ("before", 0),
        ("during", 3),
        ("after", 6),
    ]
    assert [sample["prompt"] for sample in shot.samples] == asked * 3
    assert shot.preflight["process_bytes"] > 0
    assert shot.preflight["checkpoint_bytes"] > 10_000
    assert not list((run / "checkpoints" / ".saving").iterdir())
    assert shot.steps[-1].tokens is not None
    assert shot.steps[-1].tokens > shot.steps[0].tokens  # type: ignore[operator]  # each step says its tokens
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in run.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ADAPTER, str(tiny_model), str(shot.adapter)], capture_output=True, text=True
    )
    assert done.stdout.split() == ["14", "True"], done.stderr


def test_a_qlora_run_trains_on_the_cpu(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(method="qlora", quantization__bits=4, training__max_steps=3, training__precision="bf16")
    shot = wait_for(start(config, tmp_path / "runs"), ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    assert shot.start["method"] == "qlora"


def test_stop_saves_and_resume_goes_on_to_the_end(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(
        training__max_steps=400, training__lr_scheduler_type="constant", run__eval_steps=400, run__save_steps=400
    )
    run = start(config, tmp_path / "runs")
    wait_for(run, lambda shot: len(shot.steps) >= 2)
    request(run, "checkpoint")
    request(run, "stop")
    stopped = wait_for(run, ended)
    assert stopped.status == "stopped", (stopped.state.reason, stopped.log)
    done = stopped.steps[-1].step
    assert done < 400
    assert [event["command"] for event in stopped.events if event["kind"] == "command"] == ["checkpoint", "stop"]
    for name in ("config.effective.yaml",):
        path = run / name
        path.write_text(path.read_text().replace("max_steps: 400", f"max_steps: {done + 2}"))
    with pytest.raises(InputError, match="cannot be changed in the middle"):
        resume_run(run, changes={"lora.r": 4})
    with pytest.raises(InputError, match="other rows would come next"):
        resume_run(run, changes={"training.per_device_train_batch_size": 2})
    with pytest.raises(ConsentError, match="shell command"):
        resume_run(run, changes={"training.learning_rate": 0.005, "run.on_end": "true"})
    resume_run(run, changes={"training.learning_rate": 0.005, "run.on_end": "true"}, allow_on_end=True)
    finished = wait_for(run, lambda shot: ended(shot) and shot.status == "finished")
    assert [point.step for point in finished.steps] == list(range(1, done + 3))
    assert [point.learning_rate for point in finished.steps] == [0.01] * done + [0.005] * 2
    asked = next(event for event in finished.events if event["kind"] == "recovery")
    assert asked["after"] == {"training.learning_rate": 0.005, "run.on_end": "true"}
    with pytest.raises(InputError, match="finished"):
        resume_run(run)


def test_a_killed_worker_is_reported_with_its_signal(make_config: MakeConfig, tmp_path: Path) -> None:
    run = start(make_config(training__max_steps=4000), tmp_path / "runs")
    shot = wait_for(run, lambda shot: bool(shot.steps))
    assert shot.state.worker is not None
    os.kill(shot.state.worker.pid, signal.SIGKILL)
    dead = wait_for(run, ended)
    assert dead.status == "failed"
    assert dead.state.signal == "SIGKILL"
    assert "SIGKILL" in str(dead.end["reason"])


def test_a_worker_outlives_its_supervisor(make_config: MakeConfig, tmp_path: Path) -> None:
    run = start(make_config(training__max_steps=60, run__eval_steps=60, run__save_steps=60), tmp_path / "runs")
    shot = wait_for(run, lambda shot: bool(shot.steps))
    assert shot.state.supervisor is not None
    os.kill(shot.state.supervisor.pid, signal.SIGKILL)
    with pytest.raises(InputError, match=run.name):
        start(make_config(), tmp_path / "runs")
    shot = wait_for(run, lambda shot: bool(shot.end) and not shot.alive)
    assert shot.status == "finished"
    assert list_runs(tmp_path / "runs")[0].status == "finished"


def test_sigterm_to_the_supervisor_saves_and_stops(make_config: MakeConfig, tmp_path: Path) -> None:
    run = start(make_config(training__max_steps=4000), tmp_path / "runs")
    shot = wait_for(run, lambda shot: bool(shot.steps))
    assert shot.state.supervisor is not None
    os.kill(shot.state.supervisor.pid, signal.SIGHUP)
    os.kill(shot.state.supervisor.pid, signal.SIGTERM)
    stopped = wait_for(run, ended)
    assert stopped.status == "stopped"
    assert stopped.checkpoints
    assert stopped.adapter.is_dir()
    assert not psutil.pid_exists(shot.state.worker.pid if shot.state.worker else -1)


def test_one_sigterm_to_every_process_throws_nothing_away(make_config: MakeConfig, tmp_path: Path) -> None:
    """As a batch system cancels a job, or a machine shuts down: the worker gets its own and the one passed on."""
    run = start(make_config(training__max_steps=4000, run__save_steps=4000), tmp_path / "runs")
    shot = wait_for(run, lambda shot: bool(shot.steps))
    assert shot.state.supervisor is not None and shot.state.worker is not None
    for process in (shot.state.worker, shot.state.supervisor):
        os.kill(process.pid, signal.SIGTERM)
    stopped = wait_for(run, ended)
    assert (stopped.status, stopped.state.reason) == ("stopped", "stopped as asked")
    assert stopped.checkpoints and stopped.adapter.is_dir()


def test_out_of_memory_ends_with_a_remedy(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_WIZARD_IMITATE_OOM_TOKENS", "8")
    shot = wait_for(start(make_config(), tmp_path / "runs"), ended)
    assert shot.status == "failed"
    assert shot.state.reason == "out of memory"
    assert shot.end["exit_code"] == 3
    assert "batch" in str(shot.end["remedy"])
