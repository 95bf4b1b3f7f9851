"""What is changed after an out-of-memory, and what never is."""

import math
import os
import signal
from pathlib import Path

import pytest

from recommender.config.edit import apply
from recommender.config.io import dump_config, load_config
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.machine.facts import Device
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.history.tail import Tail
from trainer.process.consent import write_run_consent
from trainer.process.ending import run_on_end, unsaid_end
from trainer.process.recovery import HARMLESS, find_recovery, half_the_rate, kernel_kills, out_of_memory_remedy
from trainer.run.folder import RunFolder
from trainer.run.state import RunState

CPU = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=2)
GPU = Device(kind="cuda", name="GPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, compute_capability=(8, 0))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_llama(tmp_path_factory.mktemp("model") / "tiny")


def folder_with(path: Path, model: Path, **changes: object) -> RunFolder:
    base = FinetuneConfig(model=str(model), method="lora", quantization=Quantization(bits=None))
    named = {key.replace("__", "."): value for key, value in changes.items()}
    folder = RunFolder(path)
    config = apply(base, named)
    folder.effective_config.write_text(dump_config(config))
    write_run_consent(folder, config.run.on_end)
    return folder


@pytest.mark.parametrize("device", [CPU, GPU])
def test_every_recovery_is_harmless_until_none_is_left(tmp_path: Path, model: Path, device: Device) -> None:
    folder = folder_with(
        tmp_path,
        model,
        training__per_device_train_batch_size=6,
        training__gradient_accumulation_steps=4,
        training__gradient_checkpointing=False,
    )
    asked = load_config(folder.effective_config)
    labels = []
    while (found := find_recovery(folder, device)) is not None:
        assert set(found.after) <= HARMLESS
        assert found.before != found.after
        labels.append(found.label)
        found.apply(folder)
        now = load_config(folder.effective_config)
        assert now.training.effective_batch_size == asked.training.effective_batch_size
        assert (now.data, now.lora, now.method, now.training.optim) == (
            asked.data,
            asked.lora,
            asked.method,
            asked.training.optim,
        )
        assert len(labels) < 8
    assert labels[0].startswith("batch 6×4 → ")
    assert "gradient checkpointing on" in labels
    assert now.training.per_device_train_batch_size == 1
    assert ("activation offloading on" in labels) is (device.kind == "cuda")
    assert "data.max_length" in out_of_memory_remedy(folder, device)


def test_a_run_without_its_model_has_no_recovery(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, tmp_path / "nowhere")
    assert find_recovery(folder, CPU) is None


def test_half_the_rate(tmp_path: Path, model: Path) -> None:
    folder = folder_with(tmp_path, model, training__learning_rate=3e-4)
    found = half_the_rate(folder)
    assert found is not None
    assert found.label == "learning_rate 3.0e-4 → 1.5e-4"
    found.apply(folder)
    assert math.isclose(load_config(folder.effective_config).training.learning_rate, 1.5e-4)


def test_kernel_kills(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("pgfault 12\noom_kill 7\n")
    assert kernel_kills(vmstat) == 7
    assert kernel_kills(tmp_path / "none") == 0


@pytest.mark.process
def test_on_end_runs_with_the_outcome_in_its_environment(tmp_path: Path, model: Path) -> None:
    folder = folder_with(tmp_path, model, run__on_end='echo "$LORA_WIZARD_STATUS: $LORA_WIZARD_REASON" > told; exit 3')
    run_on_end(folder, RunState(status="failed", reason="out of $(memory)"))
    assert (tmp_path / "told").read_text() == "failed: out of $(memory)\n"
    assert [(event["kind"], event["exit_code"]) for event in Tail(folder.events).documents()] == [("on_end", 3)]


def test_an_on_end_that_was_changed_behind_the_run_is_not_run(tmp_path: Path, model: Path) -> None:
    folder = folder_with(tmp_path, model, run__on_end="touch agreed")
    text = folder.effective_config.read_text()
    folder.effective_config.write_text(text.replace("touch agreed", "touch other"))
    run_on_end(folder, RunState(status="finished"))
    assert not (tmp_path / "other").exists()
    (told,) = Tail(folder.events).documents()
    assert (told["command"], told["reason"]) == ("touch other", "not run: nobody agreed to it")


@pytest.mark.process
def test_a_hanging_on_end_is_ended(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.process.ending.ON_END_SECONDS", 0.2)
    folder = folder_with(tmp_path, model, run__on_end="echo $$ > pid; exec sleep 3600")
    run_on_end(folder, RunState(status="finished"))
    assert "exit_code" not in Tail(folder.events).documents()[0]
    pid = int((tmp_path / "pid").read_text())
    while True:
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            break


@pytest.mark.process
def test_one_that_will_not_end_is_killed(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.process.ending.ON_END_SECONDS", 0.5)
    monkeypatch.setattr("trainer.process.ending.GRACE_SECONDS", 0.5)
    folder = folder_with(tmp_path, model, run__on_end="trap '' TERM; echo $$ > pid; while :; do sleep 60; done")
    run_on_end(folder, RunState(status="finished"))
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_a_worker_that_the_kernel_killed_is_explained(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    known = unsaid_end(-signal.SIGKILL, folder, asked=False, by_kernel=True)
    assert "the host's memory" in str(known["reason"])
    assert f"lora-wizard resume {folder.id}" in str(known["remedy"])
    guessed = unsaid_end(-signal.SIGKILL, folder, asked=False)
    assert guessed["reason"] == "the worker was killed by SIGKILL"
    assert unsaid_end(-signal.SIGKILL, folder, asked=True, by_kernel=True)["status"] == "stopped"
