"""A supervisor whose worker ends in every way: how often it starts again, on which device, and from which plan."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.edit import apply
from recommender.config.io import dump_config, load_config
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.machine.facts import Device
from trainer.history.reader import RunReader
from trainer.history.tail import Tail
from trainer.process import supervisor
from trainer.process.device_lock import take_device
from trainer.process.recovery import MOST_RECOVERIES, Recovery
from trainer.process.strategy import ONE_DEVICE, OneDevice, WorkerLaunch
from trainer.process.supervisor import Supervisor, _take_devices
from trainer.run.exits import OUT_OF_MEMORY, ROLL_BACK
from trainer.run.folder import RunFolder, append_line
from trainer.run.plan_file import read_device, read_plan
from trainer.run.state import read_state

CPU = Device(kind="cpu", name="this CPU", free_bytes=2**30, total_bytes=2**30, cores=2)
CARD = Device(kind="cuda", name="card", free_bytes=2**30, total_bytes=2**30, uuid="GPU-1", compute_capability=(8, 9))
RATE = 1.6e-3


@dataclass
class Ended:
    """A worker that has ended with this exit code."""

    returncode: int
    pid: int = os.getpid()

    def poll(self) -> int:
        return self.returncode

    def wait(self, _seconds: float | None = None) -> int:
        return self.returncode


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    plain = FinetuneConfig(model=str(tmp_path / "m"), method="lora", quantization=Quantization(bits=None))
    config = apply(plain, {"training.learning_rate": RATE})
    made = RunFolder(tmp_path)
    for path in (made.config, made.effective_config):
        path.write_text(dump_config(config))
    return made


def supervised(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, *codes: int, resume: bool = False) -> list[bool]:
    """Supervise workers that end with these codes, the last one again and again; each start, and whether it resumed."""
    starts: list[bool] = []

    def start(self: Supervisor) -> Ended:
        starts.append(self.resume)
        assert len(starts) < 20, "it never gives up"
        return Ended(codes[min(len(starts), len(codes)) - 1])

    monkeypatch.setattr(Supervisor, "_start_worker", start)
    Supervisor(folder, CPU, resume=resume).run()
    return starts


def told(folder: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [document for document in Tail(folder.events).documents() if document["kind"] == kind]


def test_the_fifth_loss_that_is_no_number_ends_the_run(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = supervised(folder, monkeypatch, ROLL_BACK)
    assert starts == [False, *[True] * MOST_RECOVERIES]
    assert [event["attempt"] for event in told(folder, "recovery")] == [1, 2, 3, 4]
    assert {event["most"] for event in told(folder, "recovery")} == {4}
    assert load_config(folder.effective_config).training.learning_rate == pytest.approx(RATE / 2**4)
    (end,) = told(folder, "end")
    assert (end["status"], end["exit_code"]) == ("failed", ROLL_BACK)
    assert "after halving the learning rate 4 times" in end["reason"]
    assert read_state(folder).status == "failed"


def test_a_run_that_is_resumed_may_recover_anew(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    supervised(folder, monkeypatch, ROLL_BACK)
    starts = supervised(folder, monkeypatch, ROLL_BACK, 0, resume=True)
    assert starts == [True, True]
    assert [event["attempt"] for event in told(folder, "recovery")] == [1, 2, 3, 4, 1]


def test_the_fifth_out_of_memory_ends_the_run_with_what_is_left_to_do(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "training.gradient_accumulation_steps"
    smaller = (Recovery(f"{n} steps", {key: n}, {key: n + 1}) for n in range(1, 9))
    monkeypatch.setattr(supervisor, "find_recovery", lambda *_: next(smaller))
    starts = supervised(folder, monkeypatch, OUT_OF_MEMORY)
    assert len(starts) == 1 + MOST_RECOVERIES
    assert load_config(folder.effective_config).training.gradient_accumulation_steps == 1 + MOST_RECOVERIES
    (end,) = told(folder, "end")
    assert end["reason"] == "out of memory"
    assert "data.max_length" in end["remedy"]


def test_one_that_nothing_harmless_helps_is_not_started_again(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "find_recovery", lambda *_: None)
    assert supervised(folder, monkeypatch, OUT_OF_MEMORY) == [False]


def test_a_busy_device_is_refused_unless_that_was_agreed_to(folder: RunFolder, tmp_path: Path) -> None:
    held = take_device(CPU, str(tmp_path / "another"))
    assert held is not None
    try:
        with pytest.raises(InputError, match="another"):
            _take_devices(folder, [CPU], allow_busy=False)
        assert _take_devices(folder, [CPU], allow_busy=True) == ()
    finally:
        os.close(held)
    mine = _take_devices(folder, [CPU], allow_busy=False)
    (lock,) = mine
    os.close(lock)


def test_the_device_is_read_back_as_it_was_written(folder: RunFolder) -> None:
    for device in (CPU, CARD):
        folder.plan.write_text(json.dumps({"device": asdict(device)}))
        assert read_device(folder) == device


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        json.dumps({"device": asdict(CPU)})[:-20],
        '{"estimate": {}}',
        '{"device": null}',
        '{"device": {"kind": "cpu"}}',
        json.dumps({"device": asdict(CPU) | {"of_a_later_version": 1}}),
        json.dumps({"device": asdict(CPU) | {"free_bytes": "64 GB"}}),
        json.dumps({"device": asdict(CARD) | {"compute_capability": [8]}}),
        "[]",
    ],
    ids=[
        "missing",
        "empty",
        "torn",
        "no device",
        "null",
        "of an older version",
        "of a newer version",
        "not a number",
        "half a pair",
        "a list",
    ],
)
def test_a_plan_that_names_no_device_is_told_with_what_to_do(folder: RunFolder, text: str | None) -> None:
    if text is not None:
        folder.plan.write_text(text)
    with pytest.raises(InputError, match="does not say which device") as caught:
        read_device(folder)
    assert str(folder.config) in caught.value.remedy


def test_what_was_predicted_is_read_where_there_is_an_estimate(folder: RunFolder) -> None:
    estimate = {"peak": {"process_bytes": 5 * 2**30}, "checkpoint_bytes": 123}
    folder.plan.write_text(json.dumps({"device": asdict(CPU), "estimate": estimate}))
    assert (read_plan(folder).predicted_bytes, read_plan(folder).checkpoint_bytes) == (5 * 2**30, 123)
    folder.plan.write_text(json.dumps({"device": asdict(CPU), "estimate": {"peak": None}}))
    assert (read_plan(folder).predicted_bytes, read_plan(folder).checkpoint_bytes) == (None, 0)


def test_events_of_a_later_version_are_read_for_what_they_share(folder: RunFolder) -> None:
    lines: list[dict[str, Any]] = [
        {"v": 2, "t": 1.0, "kind": "status", "status": "training", "of_a_later_version": [1]},
        {"v": 2, "t": 2.0, "kind": "step", "step": 1, "loss": 2.5, "learning_rate": 1e-4, "more": {}},
        {"v": 2, "t": 3.0, "kind": "a kind of a later version", "step": 9},
        {"v": 2, "t": 4.0, "kind": "step", "step": 2, "loss": 2.25, "learning_rate": 1e-4},
    ]
    for line in lines:
        append_line(folder.events, line)
    shot = RunReader(folder.path).poll()
    assert [(point.step, point.loss) for point in shot.steps] == [(1, 2.5), (2, 2.25)]


@dataclass(frozen=True)
class TwoDevices(OneDevice):
    """A strategy of more than one device, with a command that ends at once."""

    def launch(self, folder: RunFolder, device: Device, *, resume: bool) -> WorkerLaunch:
        environment = {**super().launch(folder, device, resume=resume).environment, "RESUMED": str(resume)}
        command = (sys.executable, "-c", "import os; print('started', os.environ['RESUMED'], flush=True)")
        return WorkerLaunch(command, environment, (device, replace(device, uuid="GPU-2")), ranks=2)


@pytest.mark.process
def test_the_supervisor_starts_what_its_strategy_says_and_watches_each_device(folder: RunFolder) -> None:
    supervised = Supervisor(folder, CPU, resume=True, strategy=TwoDevices())
    assert [watch.device.uuid for watch in supervised.watches] == [None, "GPU-2"]
    assert supervised.run() == 1, "it had not said that it finished"
    assert "started True" in folder.log.read_text()


@pytest.mark.parametrize("resume", [False, True])
def test_one_device_is_one_process_that_sees_it_alone(folder: RunFolder, resume: bool) -> None:
    launch = ONE_DEVICE.launch(folder, CARD, resume=resume)
    options = ["--resume"] if resume else []
    assert list(launch.command) == [sys.executable, "-m", "trainer.worker", str(folder.path), *options]
    assert (launch.devices, launch.ranks) == ((CARD,), 1)
    assert launch.environment["CUDA_VISIBLE_DEVICES"] == CARD.uuid
    assert launch.environment == ONE_DEVICE.supervisor_environment(CARD)
