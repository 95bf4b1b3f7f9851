"""On a machine with a GPU, real runs on it: the worst step measured, 4 bits trained, memory that runs out.

    .venv/bin/python -m pytest tests/gpu

About a minute, mostly imports. Elsewhere each test is skipped and says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from recommender.config.io import dump_config, load_config
from recommender.config.schema import FinetuneConfig
from recommender.machine.facts import Device
from tests.functional.trainer.conftest import ended, wait_for
from trainer.history.reader import Snapshot
from trainer.process.children import ask
from trainer.process.launch import launch
from trainer.run.folder import RunFolder

pytestmark = [pytest.mark.gpu, pytest.mark.torch]

MakeConfig = Callable[..., FinetuneConfig]
QLORA = {"method": "qlora", "quantization__bits": 4}


def precision(card: Device) -> str:
    return "bf16" if (card.compute_capability or (0, 0)) >= (8, 0) else "fp16"


def trained(config: FinetuneConfig, card: Device, runs: Path) -> Snapshot:
    run = launch(config, plan_document={"estimate": {"checkpoint_bytes": 1}}, device=card, runs=runs)
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    return shot


@pytest.mark.parametrize("method", [{"method": "lora"}, QLORA], ids=["lora", "qlora"])
def test_the_worst_step_is_measured_on_the_card(
    make_config: MakeConfig, card: Device, tmp_path: Path, method: dict[str, Any]
) -> None:
    folder = RunFolder(tmp_path)
    text = dump_config(make_config(training__precision=precision(card), **method))
    for path in (folder.config, folder.effective_config):
        path.write_text(text)
    folder.plan.write_text(json.dumps({"device": asdict(card)}))
    answer = ask("trainer.worker", str(tmp_path), "--preflight-only", device=card)
    assert answer.code == 0, answer.document
    assert answer.document is not None
    assert 0 < answer.document["process_bytes"] <= card.total_bytes


def test_a_qlora_run_learns_and_reads_its_card(make_config: MakeConfig, card: Device, tmp_path: Path) -> None:
    config = make_config(training__precision=precision(card), training__max_steps=40, **QLORA)
    shot = trained(config, card, tmp_path / "runs")
    first, last = shot.evals[0].eval_loss, shot.evals[-1].eval_loss
    assert first is not None and last is not None and last < first
    assert shot.devices and all(reading["memory_used"] > 0 for reading in shot.devices)
    assert (shot.adapter / "adapter_model.safetensors").is_file()


def test_memory_that_runs_out_is_recovered_from(
    make_config: MakeConfig, card: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(training__precision=precision(card))
    calm = trained(config, card, tmp_path / "calm")
    monkeypatch.setenv("LORA_WIZARD_IMITATE_OOM_TOKENS", "150")
    shot = trained(config, card, tmp_path / "runs")
    assert any(event["kind"] == "recovery" for event in shot.events)
    (run,) = (tmp_path / "runs").iterdir()
    asked, now = load_config(run / "config.yaml"), load_config(run / "config.effective.yaml")
    assert now.training.per_device_train_batch_size < asked.training.per_device_train_batch_size
    assert now.training.effective_batch_size == asked.training.effective_batch_size
    assert [point.tokens for point in shot.steps] == [point.tokens for point in calm.steps]
