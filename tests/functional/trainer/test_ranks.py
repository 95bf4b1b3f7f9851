"""Runs of two processes on the CPU: they learn what one does, and lose nothing when one of them dies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from presets.errors import NoError
from recommender.config.schema import FinetuneConfig
from recommender.estimate.estimate import estimate
from recommender.model.reader import read_model
from tests.functional.trainer.conftest import CPU, ended, wait_for
from trainer.history.reader import Snapshot
from trainer.preflight.worst_step import measure_worst_step
from trainer.process.launch import launch, resume_run
from trainer.run.folder import RunFolder
from trainer.run.ranks import process_of

pytestmark = [pytest.mark.process, pytest.mark.torch, pytest.mark.slow]

STEPS, SAVED = 20, 10
Make = Callable[..., FinetuneConfig]


def write_rows(path: Path, first: int, last: int) -> str:
    lines = [
        {"messages": [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": f"It is {number}."}]}
        for number in range(first, last)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture(scope="module")
def make(make_config: Make, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Each epoch is a whole number of steps of eight rows: ranks are given rows of the beginning else, to be equal."""
    place = tmp_path_factory.mktemp("even")
    train, held_out = write_rows(place / "train.jsonl", 0, 80), write_rows(place / "eval.jsonl", 80, 96)

    def make(**changes: Any) -> FinetuneConfig:
        few = {"training.max_steps": STEPS, "run.eval_steps": SAVED, "run.save_steps": SAVED}
        return make_config(**{"data.train": [train], "data.eval": [held_out]} | few | changes)

    return make


def trained(config: FinetuneConfig, runs: Path) -> Snapshot:
    run = launch(config, plan_document={}, device=CPU, runs=runs, allow_busy=True)
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log[-5:])
    return shot


@pytest.fixture(scope="module")
def of_two(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return trained(make(**{"launch.processes": 2}), tmp_path_factory.mktemp("two"))


def weights(shot: Snapshot) -> dict[str, Any]:
    found: dict[str, Any] = load_file(str(shot.adapter / "adapter_model.safetensors"))
    return found


def apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """The norm of the difference of all weights, as a share of their norm."""
    norms = [
        sum(float(np.square(value).sum()) for value in each)
        for each in (first.values(), (first[name] - second[name] for name in first))
    ]
    return float(np.sqrt(norms[1] / norms[0]))


def test_two_processes_learn_what_one_does(make: Make, of_two: Snapshot, tmp_path: Path) -> None:
    one = trained(make(**{"training.gradient_accumulation_steps": 2}), tmp_path)
    said = [[shot.start[key] for key in ("world_size", "strategy", "sharded_parameters")] for shot in (one, of_two)]
    assert said == [[1, "single", 0], [2, "ddp", 0]]
    for key in ("effective_batch_size", "tokens_per_step", "total_steps", "contents"):
        assert one.start[key] == of_two.start[key], key
    assert len(one.steps) == len(of_two.steps) == STEPS
    for mine, other in zip(one.steps, of_two.steps, strict=True):
        assert mine.tokens == other.tokens, "other rows in a step"
        assert other.loss == pytest.approx(mine.loss, rel=1e-4)
    first, second = weights(one), weights(of_two)
    assert set(first) == set(second)
    assert apart(first, second) <= 1e-3


def test_the_other_process_has_a_record_and_a_log_of_its_own(of_two: Snapshot) -> None:
    folder = RunFolder(of_two.path, rank=1)
    mine = [json.loads(line) for line in folder.events.read_text().splitlines()]
    assert {event["rank"] for event in mine} == {1}
    assert len([event for event in mine if event["kind"] == "step"]) == STEPS
    assert {"start", "preflight", "end"} <= {event["kind"] for event in mine}
    assert "'loss'" not in folder.log.read_text(), "what the first one prints is in the run's own log"
    (start,) = [event for event in mine if event["kind"] == "start"]
    assert start["contents"] == of_two.start["contents"], "it read the rows that the first one had prepared"
    assert not (folder.ranks / ".rows").exists()


def test_a_run_one_of_whose_processes_dies_ends_whole_and_resumes_as_if_it_never_had(
    make: Make, of_two: Snapshot, tmp_path: Path
) -> None:
    run = launch(make(**{"launch.processes": 2}), plan_document={}, device=CPU, runs=tmp_path, allow_busy=True)
    wait_for(run, lambda shot: bool(shot.checkpoints))
    folder = RunFolder(run)
    ranks = [process_of(folder, rank) for rank in (0, 1)]
    assert ranks[1] is not None
    os.kill(ranks[1].pid, signal.SIGKILL)
    shot = wait_for(run, ended)
    assert (shot.status, shot.state.signal) == ("failed", "SIGKILL")
    assert str(shot.state.reason).startswith("rank 1 was killed by SIGKILL")
    assert not [process for process in ranks if process is not None and process.alive()]
    assert not [each.pid for each in psutil.process_iter(["cmdline"]) if str(run) in (each.info["cmdline"] or [])]
    resume_run(run, allow_busy=True)
    again = wait_for(run, ended)
    assert (again.status, again.start["resumed_from"]) == ("finished", SAVED)
    assert again.start["world_size"] == 2
    for name, value in weights(of_two).items():
        np.testing.assert_array_equal(weights(again)[name], value, err_msg=name)


def test_shards_are_trained_saved_and_resumed_as_if_they_were_whole(
    make: Make, of_two: Snapshot, tmp_path: Path
) -> None:
    config = make(**{"launch.processes": 2, "launch.strategy": "fsdp", "launch.offload": "all"})
    run = launch(config, plan_document={}, device=CPU, runs=tmp_path, allow_busy=True)
    wait_for(run, lambda shot: bool(shot.checkpoints))
    first = process_of(RunFolder(run), 0)
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    shot = wait_for(run, ended)
    assert str(shot.state.reason).startswith("rank 0 was killed by SIGKILL")
    resume_run(run, allow_busy=True)
    shot = wait_for(run, ended)
    assert (shot.status, shot.start["resumed_from"]) == ("finished", SAVED), shot.state.reason
    assert (shot.start["strategy"], shot.start["world_size"]) == ("fsdp", 2)
    assert shot.start["sharded_parameters"] > 0 and shot.state.strategy == "fsdp"
    for mine, other in zip(of_two.steps, shot.steps, strict=True):
        assert other.loss == pytest.approx(mine.loss, rel=1e-4)
    whole, sharded = weights(of_two), weights(shot)
    assert {name: value.shape for name, value in whole.items()} == {
        name: value.shape for name, value in sharded.items()
    }
    assert apart(whole, sharded) <= 1e-3
    files = {path.name for path in shot.adapter.iterdir()}
    assert files == {path.name for path in of_two.adapter.iterdir()}, "an ordinary adapter's folder"


def test_the_worst_step_is_measured_in_all_processes_at_once(make: Make) -> None:
    config = make(**{"launch.processes": 2, "launch.strategy": "fsdp"})
    planned = estimate(config, read_model(config.model), CPU)
    measured = measure_worst_step(config, CPU, planned)
    assert measured is not None
    assert measured["rows"] == 4 and measured["step_seconds"] > 0 and measured["process_bytes"] > 0


def test_what_one_process_cannot_do_is_why_there_is_no_measured_step(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_WIZARD_IMITATE_OOM_TOKENS", "1:1")
    config = make(**{"launch.processes": 2})
    with pytest.raises(NoError, match="out of memory"):
        measure_worst_step(config, CPU, estimate(config, read_model(config.model), CPU))
