"""Several processes of a run: what is started, whose end counts, and how a rank notices that another has gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig
from recommender.machine.facts import Device
from trainer.history.listing import summarise
from trainer.process.ending import last_words, unsaid_end
from trainer.process.environment import child_environment
from trainer.process.strategy import ONE_DEVICE, SeveralRanks, ranks_environment, strategy_for
from trainer.run.events import event
from trainer.run.exits import ANOTHER_RANK, BAD_INPUT, FAILED, OUT_OF_MEMORY, ROLL_BACK
from trainer.run.folder import RunFolder, append_event
from trainer.run.identity import Process
from trainer.run.ranks import Outcome, clear, of_rank, process_of, remember
from trainer.run.state import RunState, fold, read_state, write_state
from trainer.worker.launcher import outcome_of
from trainer.worker.loop.siblings import LOOK_SECONDS, SILENT_SECONDS, Siblings, is_because_of_another
from trainer.worker.world import World

CPU = Device(kind="cpu", name="this CPU", free_bytes=2**30, total_bytes=2**30, cores=8)
CARD = Device(kind="cuda", name="card", free_bytes=2**30, total_bytes=2**30, uuid="GPU-1", compute_capability=(8, 9))


def run_of(path: Path, **launch: Any) -> RunFolder:
    config = FinetuneConfig.model_validate({"model": "m", "method": "lora", "launch": launch})
    folder = RunFolder(path)
    folder.effective_config.write_text(dump_config(config))
    return folder


def test_processes_of_a_cpu_are_started_by_the_launcher_and_share_the_cores(tmp_path: Path) -> None:
    folder = run_of(tmp_path, processes=4)
    launch = strategy_for(folder, CPU).launch(folder, CPU, resume=True)
    said = ["trainer.worker.launcher", str(tmp_path), "--processes", "4", "--resume"]
    assert list(launch.command) == [sys.executable, "-m", *said]
    assert (launch.ranks, launch.launcher, launch.devices) == (4, True, (CPU,) * 4)
    assert launch.environment["OMP_NUM_THREADS"] == "2"
    assert {launch.environment[f"{name}_SOCKET_IFNAME"] for name in ("GLOO", "NCCL")} == {"lo"}


def test_one_process_needs_no_launcher_but_to_shard(tmp_path: Path) -> None:
    assert strategy_for(run_of(tmp_path), CPU) is ONE_DEVICE
    assert strategy_for(run_of(tmp_path, processes=1), CPU) is ONE_DEVICE
    assert isinstance(strategy_for(run_of(tmp_path, strategy="fsdp"), CPU), SeveralRanks)


def test_a_configuration_that_cannot_be_read_is_the_workers_to_tell(tmp_path: Path) -> None:
    assert strategy_for(RunFolder(tmp_path), CPU) is ONE_DEVICE


def test_each_rank_has_the_gpu_that_the_plan_names(tmp_path: Path) -> None:
    folder, other = run_of(tmp_path, gpus=[0, 1]), replace(CARD, uuid="GPU-2")
    devices = [
        {name: getattr(device, name) for name in ("kind", "name", "free_bytes", "total_bytes", "uuid")}
        for device in (CARD, other)
    ]
    folder.plan.write_text(json.dumps({"device": devices[0], "devices": devices}))
    launch = strategy_for(folder, CARD).launch(folder, CARD, resume=False)
    assert [device.uuid for device in launch.devices] == ["GPU-1", "GPU-2"]
    assert launch.environment["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2"
    assert "OMP_NUM_THREADS" not in ranks_environment([CARD, other], {})


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "PMI_RANK", "ACCELERATE_USE_FSDP"])
def test_a_child_is_no_rank_of_somebody_elses_launch(name: str) -> None:
    assert name not in child_environment(None, {name: "1"})
    assert child_environment(None, {f"MY_{name}": "1"})[f"MY_{name}"] == "1"


@pytest.mark.parametrize(
    ("codes", "rank", "code"),
    [
        ({1: -signal.SIGKILL}, 1, -signal.SIGKILL),
        ({0: ANOTHER_RANK, 1: -signal.SIGKILL}, 1, -signal.SIGKILL),
        ({0: -signal.SIGTERM, 1: FAILED}, 1, FAILED),
        ({0: FAILED, 1: OUT_OF_MEMORY}, 1, OUT_OF_MEMORY),
        ({0: ROLL_BACK, 1: ANOTHER_RANK}, 0, ROLL_BACK),
        ({0: BAD_INPUT, 1: BAD_INPUT}, 0, BAD_INPUT),
        ({0: ANOTHER_RANK}, 0, ANOTHER_RANK),
        # Frozen, and so killed by the agent after the first had gone.
        ({1: FAILED, 0: -signal.SIGKILL}, 1, FAILED),
    ],
)
def test_the_end_that_counts_is_the_one_that_ended_the_others(codes: dict[int, int], rank: int, code: int) -> None:
    assert outcome_of(codes) == Outcome(rank, code)


def test_an_outcome_is_read_back_and_forgotten_at_the_next_attempt(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    clear(folder, 2)
    Outcome(1, -9).write(folder)
    remember(of_rank(folder, 1))
    found = Outcome.read(folder)
    assert found is not None and (found.rank, found.signal) == (1, "SIGKILL")
    assert process_of(folder, 1) == Process.this()
    append_event(of_rank(folder, 1), "status", status="loading")
    clear(folder, 2)
    assert Outcome.read(folder) is None and process_of(folder, 1) is None
    assert of_rank(folder, 1).events.exists(), "records stay"


def test_a_rank_writes_its_own_record_with_its_number(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    clear(folder, 2)
    for rank in (0, 1):
        append_event(of_rank(folder, rank), "status", status="loading")
    assert "rank" not in json.loads(folder.events.read_text())
    assert json.loads((tmp_path / "ranks/1/events.jsonl").read_text())["rank"] == 1
    assert of_rank(folder, 1).log == tmp_path / "ranks/1/worker.log"


def test_the_end_of_a_rank_is_told_by_its_number_and_its_own_words(tmp_path: Path) -> None:
    folder = of_rank(RunFolder(tmp_path), 1)
    clear(RunFolder(tmp_path), 2)
    killed = unsaid_end(-signal.SIGKILL, folder, asked=False, who="rank 1")
    assert str(killed["reason"]).startswith("rank 1 was killed by SIGKILL")
    append_event(folder, "end", status="failed", reason="an earlier attempt's")
    append_event(folder, "status", status="loading")
    assert last_words(folder) is None
    append_event(folder, "end", status="failed", reason="ValueError: no", remedy="Try another.")
    failed = unsaid_end(FAILED, folder, asked=False, who="rank 1")
    assert (failed["reason"], failed["remedy"]) == ("rank 1: ValueError: no", "Try another.")


def test_what_torchruns_agent_prints_is_not_taken_for_the_reason(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    agent = "E1130 10:55:11.910000 3879 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9)"
    folder.log.write_text(f"a library's last word\n{agent}\n")
    assert str(unsaid_end(FAILED, folder, asked=False)["reason"]).endswith("the log ends with: a library's last word")


def test_state_and_list_of_runs_say_how_many_processes_and_how(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    state = fold(RunState(), event("start", 1.0, total_steps=5, world_size=2, strategy="ddp", sharded_parameters=0))
    write_state(folder, replace(state, job={"system": "slurm", "id": "7"}))
    assert read_state(folder) == replace(state, job={"system": "slurm", "id": "7"})
    said = summarise(tmp_path).document()
    assert (said["world_size"], said["strategy"], said["nodes"], said["job"]) == (
        2,
        "ddp",
        1,
        {"system": "slurm", "id": "7"},
    )


def test_the_state_of_an_earlier_version_has_no_processes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.state.write_text(json.dumps({"v": 1, "status": "training", "step": 3}))
    state = read_state(folder)
    assert (state.world_size, state.strategy, state.nodes, state.job) == (None, None, 1, None)


@pytest.mark.process
@pytest.mark.parametrize("alone", [False, True])
def test_a_rank_ends_when_another_has_gone_and_says_so_where_nobody_else_does(tmp_path: Path, alone: bool) -> None:
    folder, left = RunFolder(tmp_path), threading.Event()
    clear(folder, 2)
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()
        siblings.stop()

    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = Process.of(other.pid)
    assert known is not None
    (folder.ranks / "1/process.json").write_text(json.dumps(known.document()))
    append_event(of_rank(folder, 1), "end", status="failed", reason="out of memory")
    with Siblings(folder, World(0, 2, 0, launched=True), lambda: alone, leave) as siblings:
        assert siblings.gone() is None
        other.kill()
        other.wait()
        assert left.wait(30)
    assert codes == [ANOTHER_RANK]
    assert folder.events.exists() == alone
    if alone:
        assert json.loads(folder.events.read_text())["reason"] == "rank 1 has ended: out of memory"


def test_a_rank_that_has_not_come_up_is_waited_for(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    clear(folder, 2)
    assert Siblings(folder, World(0, 2, 0, launched=True), lambda: False).gone() is None


@pytest.mark.parametrize(
    ("error", "of_another"),
    [
        (RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:22063"), True),
        (RuntimeError("NCCL communicator was aborted on rank 0."), True),
        (ValueError("gloo"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_an_exchange_that_failed_is_told_from_a_rank_own_error(error: Exception, of_another: bool) -> None:
    assert is_because_of_another(error) == of_another


def test_a_rank_whose_heart_stands_still_is_told_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    clear(folder, 3)
    for rank in range(3):
        remember(of_rank(folder, rank))
    siblings = Siblings(folder, World(0, 3, 0, launched=True), lambda: False)
    looks = int(SILENT_SECONDS / LOOK_SECONDS)
    told = []
    for look in range(2 * looks):
        os.utime(folder.ranks / "1/process.json", (look, look))
        told.append(siblings.silent())
    assert [rank for rank in told if rank is not None] == [2]
    assert told.index(2) == looks
    siblings._warn(2)
    assert "Rank 2 has been silent for 60 s" in json.loads(folder.events.read_text())["message"]
