"""Runs that meet trouble and go on: no memory, no room, not a number; and those told what to do meanwhile."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from presets.errors import InputError
from recommender.config.io import load_config
from recommender.config.schema import FinetuneConfig
from tests.functional.trainer.conftest import CPU, ended, wait_for
from trainer.history.reader import Snapshot
from trainer.process.device_lock import device_holder
from trainer.process.launch import launch, resume_run
from trainer.results.merge import merge_run
from trainer.run.checkpoints import complete_checkpoints, damage
from trainer.run.commands import request
from trainer.run.folder import RunFolder

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]
IMITATE_MEMORY, IMITATE_NAN = "LORA_WIZARD_IMITATE_OOM_TOKENS", "LORA_WIZARD_IMITATE_NONFINITE"


def start(config: FinetuneConfig, runs: Path) -> Path:
    return launch(config, plan_document={"estimate": {"checkpoint_bytes": 1}}, device=CPU, runs=runs, allow_on_end=True)


def of_kind(shot: Snapshot, kind: str) -> list[dict[str, object]]:
    return [dict(event) for event in shot.events if event["kind"] == kind]


def test_out_of_memory_goes_on_with_smaller_micro_batches_and_the_same_samples(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = wait_for(start(make_config(), tmp_path / "runs"), ended)
    monkeypatch.setenv(IMITATE_MEMORY, "150")
    run = start(make_config(run__on_end='echo "$LORA_WIZARD_STATUS" > on-end'), tmp_path / "runs")
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    recoveries = of_kind(shot, "recovery")
    assert recoveries
    assert recoveries[0]["before"] == {
        "training.per_device_train_batch_size": 4,
        "training.gradient_accumulation_steps": 1,
    }
    now, asked = load_config(run / "config.effective.yaml"), load_config(run / "config.yaml")
    assert now.training.per_device_train_batch_size < asked.training.per_device_train_batch_size
    assert now.training.effective_batch_size == asked.training.effective_batch_size
    assert now.data == asked.data
    assert [point.step for point in shot.steps] == [1, 2, 3, 4, 5, 6]
    # The same rows in each step: the same tokens, and the same loss but for the order of its sums.
    assert [point.tokens for point in shot.steps] == [point.tokens for point in calm.steps]
    for point, other in zip(shot.steps, calm.steps, strict=True):
        assert point.loss == pytest.approx(other.loss, rel=1e-3)
    assert shot.config["training"]["per_device_train_batch_size"] == now.training.per_device_train_batch_size
    assert (run / "on-end").read_text() == "finished\n"
    assert of_kind(shot, "on_end")[0]["exit_code"] == 0
    card = (run / "adapter" / "README.md").read_text()
    assert "SHA-256" in card
    assert "rows.jsonl" in card


def test_a_step_that_is_not_a_number_is_skipped(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IMITATE_NAN, "3")
    shot = wait_for(start(make_config(), tmp_path / "runs"), ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    assert [point.finite for point in shot.steps] == [True, True, False, True, True, True]
    assert [event["step"] for event in of_kind(shot, "warning") if event.get("skipped")] == [3]


def test_or_the_run_goes_back_at_half_the_rate(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IMITATE_NAN, "5:0.01")
    run = start(make_config(run__on_nonfinite="rollback"), tmp_path / "runs")
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    assert [event["after"] for event in of_kind(shot, "recovery")] == [{"training.learning_rate": 0.005}]
    assert [point.step for point in shot.steps] == [1, 2, 3, 4, 5, 6]
    assert all(point.finite for point in shot.steps)
    rates = [point.learning_rate or 0.0 for point in shot.steps]
    # Cosine from its peak of 0.01, and half of that from step 4 on.
    assert rates[2] == pytest.approx(0.009045, rel=1e-3)
    assert rates[3] == pytest.approx(0.006545 / 2, rel=1e-3)


def test_pause_save_evaluate_continue_and_stop_after_the_epoch(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(
        training__max_steps=4000, training__gradient_accumulation_steps=1, run__eval_steps=4000, run__save_steps=4000
    )
    run = start(config, tmp_path / "runs")
    wait_for(run, lambda shot: bool(shot.steps))
    request(run, "pause")
    paused = wait_for(run, lambda shot: shot.state.status == "paused")
    step = paused.steps[-1].step
    request(run, "checkpoint")
    request(run, "evaluate")
    rested = wait_for(run, lambda shot: len(shot.evals) >= 2 and bool(shot.checkpoints))
    assert (rested.steps[-1].step, rested.evals[-1].step, rested.checkpoints[-1]["step"]) == (step, step, step)
    request(run, "stop_after_epoch")
    request(run, "continue")
    shot = wait_for(run, ended)
    assert shot.status == "stopped", (shot.state.reason, shot.log)
    assert shot.state.reason == "stopped after the epoch, as asked"
    assert shot.steps[-1].epoch == int(shot.steps[-1].epoch or 0.5)
    commands = [(event["command"], event["accepted"]) for event in of_kind(shot, "command")]
    assert commands == [(name, True) for name in ("pause", "checkpoint", "evaluate", "stop_after_epoch", "continue")]
    assert shot.adapter.is_dir()


def test_early_stopping_keeps_the_best(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(
        training__max_steps=60, training__learning_rate=0.9, run__eval_steps=2, run__save_steps=2, run__early_stopping=2
    )
    run = start(config, tmp_path / "runs")
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    assert shot.steps[-1].step < 60
    assert "stopped early" in str(shot.state.reason)
    best = int(str(shot.end["best_step"]))
    kept = {path.name: path for path in complete_checkpoints(RunFolder(run))}
    if best:
        weights = (kept[f"checkpoint-{best}"] / "adapter_model.safetensors").read_bytes()
        assert (run / "adapter" / "adapter_model.safetensors").read_bytes() == weights


def answered(path: Path, answer: str, rows: int) -> str:
    """A file of questions that all have one answer."""
    lines = [
        {"messages": [{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": answer}]}
        for i in range(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_early_stopping_keeps_the_start_where_training_made_it_worse(
    make_config: MakeConfig, tmp_path: Path, tiny_model: Path, method: str
) -> None:
    config = make_config(
        method=method,
        data__train=[answered(tmp_path / "train.jsonl", "aaaa aaaa aaaa", 40)],
        data__eval=[answered(tmp_path / "eval.jsonl", "zqxj#@! 9%^ kvw", 6)],
        training__max_steps=60,
        training__learning_rate=0.05,
        training__lr_scheduler_type="constant",
        training__warmup_steps=0,
        run__eval_steps=10,
        run__save_steps=10,
        run__save_total_limit=1,
        run__early_stopping=1,
    )
    run = start(config, tmp_path / "runs")
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    assert "as it was before training" in str(shot.state.reason)
    assert (shot.end["best_step"], shot.end["adapter_step"]) == (0, 0)
    assert shot.state.eval_loss == shot.end["adapter_eval_loss"] == shot.evals[0].eval_loss
    assert "as it was before training" in (run / "adapter" / "README.md").read_text()
    assert not (run / "checkpoints" / "start").exists()
    if method == "full":
        left, base = (load_file(folder / "model.safetensors") for folder in (run / "adapter", tiny_model))
        assert all(np.array_equal(left[name], weights) for name, weights in base.items())
    else:
        left = load_file(run / "adapter" / "adapter_model.safetensors")
        assert {float(abs(weights).max()) for name, weights in left.items() if "lora_B" in name} == {0.0}


def test_a_torn_checkpoint_is_passed_over_and_said(make_config: MakeConfig, tmp_path: Path) -> None:
    run = start(make_config(training__max_steps=4000, run__save_steps=2, run__eval_steps=4000), tmp_path / "runs")
    shot = wait_for(run, lambda shot: len(shot.checkpoints) >= 2)
    for process in (shot.state.supervisor, shot.state.worker):
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
    wait_for(run, lambda shot: not shot.alive)
    before, newest = complete_checkpoints(RunFolder(run))[-2:]
    weights = newest / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    resume_run(run)
    again = wait_for(run, lambda shot: bool(shot.start.get("resumed_from")) and bool(of_kind(shot, "warning")))
    assert again.start["resumed_from"] == int(before.name.rpartition("-")[2])
    assert f"the run goes on from {before.name}" in str(of_kind(again, "warning")[0]["message"])
    request(run, "stop_now")
    wait_for(run, ended)


def test_a_run_killed_after_its_last_checkpoint_trains_no_step_more(make_config: MakeConfig, tmp_path: Path) -> None:
    run = start(make_config(), tmp_path / "runs")
    done = wait_for(run, ended)
    weights = (run / "adapter" / "adapter_model.safetensors").read_bytes()
    # As if it had been killed before it could say that it had finished.
    events = run / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if b'"kind":"checkpoint"' in line)
    events.write_bytes(b"".join(lines[: last + 1]))
    (run / "state.json").unlink()
    shutil.rmtree(run / "adapter")
    resume_run(run)
    again = wait_for(run, ended)
    assert again.status == "finished", (again.state.reason, again.log)
    assert [point.step for point in again.steps] == [point.step for point in done.steps]
    assert again.end["tokens"] == done.end["tokens"]
    assert (run / "adapter" / "adapter_model.safetensors").read_bytes() == weights


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_pauses_the_run_until_there_is_room(make_config: MakeConfig, small_disk: Path) -> None:
    # Steps enough that the run is far from its end when the disk is full.
    config = make_config(training__max_steps=60, run__save_steps=5, run__eval_steps=60)
    run = start(config, small_disk / "runs")
    wait_for(run, lambda shot: bool(shot.checkpoints))
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        try:
            while True:
                # A page at a time: not a line of the log has room after it.
                stream.write(bytes(4096))
        except OSError:
            pass
    full = wait_for(run, lambda shot: shot.state.status == "paused" or not shot.alive)
    assert full.alive, (full.status, full.state.reason, full.log)
    assert "free" in str(full.state.reason)
    assert "goes on by itself" in str(of_kind(full, "warning")[0]["remedy"])
    ballast.unlink()
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    assert [point.step for point in shot.steps] == list(range(1, 61))
    assert not damage(complete_checkpoints(RunFolder(run))[-1])


def test_an_adapter_that_was_lost_after_the_end_is_written_anew(make_config: MakeConfig, tmp_path: Path) -> None:
    run = start(make_config(run__save_steps=3), tmp_path / "runs")
    first = wait_for(run, lambda shot: ended(shot) and not shot.alive)
    assert first.status == "finished"
    with pytest.raises(InputError, match="has finished"):
        resume_run(run)
    kept = (run / "adapter" / "adapter_model.safetensors").read_bytes()
    (run / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match="no safetensors"):
        merge_run(run, tmp_path / "merged")
    resume_run(run)
    again = wait_for(run, lambda shot: ended(shot) and (run / "adapter" / "adapter_model.safetensors").is_file())
    assert again.status == "finished"
    assert (run / "adapter" / "adapter_model.safetensors").read_bytes() == kept
    assert [point.step for point in again.steps] == [point.step for point in first.steps]
    assert (again.state.loss, again.state.eval_loss) == (first.state.loss, first.state.eval_loss)


def test_the_device_is_free_while_the_persons_command_runs(make_config: MakeConfig, tmp_path: Path) -> None:
    again = tmp_path / "go-on"
    run = start(make_config(run__on_end=f"while [ ! -e {again} ]; do sleep 0.1; done"), tmp_path / "runs")
    shot = wait_for(run, lambda shot: shot.state.ended and device_holder(CPU) is None)
    assert shot.alive
    with pytest.raises(InputError, match="is still ending"):
        resume_run(run)
    again.touch()
    wait_for(run, lambda shot: not shot.alive)
