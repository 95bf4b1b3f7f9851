"""A class that was never named in this program: trained by the worker from its published form, merged and served."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoConfig

from recommender.config.edit import with_values
from recommender.config.io import dump_config
from recommender.config.schema import Data, FinetuneConfig, Quantization
from recommender.machine.facts import Device
from recommender.model.anatomies import keep
from tests.fixtures.tiny_classes import VOCABULARY, save_served
from tests.fixtures.tiny_model import write_tokenizer
from trainer.anatomy.learn import learn
from trainer.classes.choose import classes_of
from trainer.run.folder import RunFolder, create
from trainer.worker.after.merge import merge

CPU = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=2)
IDS = torch.randint(20, VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(1))


def run_of(model_type: str, folder: Path, rows: Path) -> RunFolder:
    """A run folder as a launch makes it, over a tiny published model."""
    save_served(model_type, folder / "base")
    write_tokenizer(folder / "base", VOCABULARY, with_template=True)
    document = json.loads((folder / "base" / "config.json").read_text())
    keep(document, learn(document))
    config = with_values(
        FinetuneConfig(
            model=str(folder / "base"),
            method="lora",
            quantization=Quantization(bits=None),
            data=Data(train=[str(rows)], max_length=64, eval_fraction=0.0, packing=False),
        ),
        {"training.max_steps": 2, "training.precision": "fp32", "training.learning_rate": 0.02, "run.save_steps": 2},
    )
    run = create(folder / "runs", "tiny")
    for path in (run.config, run.effective_config):
        path.write_text(dump_config(config))
    run.plan.write_text(json.dumps({"device": asdict(CPU)}))
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> RunFolder:
    run = run_of("llama4", tmp_path_factory.mktemp("any"), rows)
    done = subprocess.run([sys.executable, "-m", "trainer.worker", str(run.path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return run


def events(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.events.read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def base_of(run: RunFolder) -> Path:
    return run.path.parents[1] / "base"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found


def test_every_adapter_learns_and_the_record_says_so(finished: RunFolder) -> None:
    (said,) = events(finished, "adapters")

    assert (said["count"], said["learning"], said["step"]) == (14, 14, 1)
    assert len(events(finished, "step")) == 2


def test_the_loss_is_the_class_s_own_where_trls_does_not_fit(finished: RunFolder) -> None:
    assert any(
        "TRL's fused loss does not fit Llama4ForCausalLM" in said["message"] for said in events(finished, "warning")
    )


def test_the_adapter_and_the_merged_model_answer_alike_in_the_class_that_is_served(
    finished: RunFolder, tmp_path: Path
) -> None:
    base = base_of(finished)
    classes = classes_of(AutoConfig.from_pretrained(base))
    plain = classes.served.from_pretrained(base, dtype=torch.float32)
    before = logits(plain)
    adapted = logits(PeftModel.from_pretrained(plain, finished.adapter))
    text = classes.trained.from_pretrained(base, config=classes.config, dtype=torch.float32)
    trained = logits(PeftModel.from_pretrained(text, finished.adapter / "text-only"))

    answer = merge(finished, tmp_path)

    merged = logits(classes.served.from_pretrained(tmp_path, dtype=torch.float32))
    moved = float((adapted - before).norm())
    assert moved > 0
    assert torch.allclose(adapted, trained, atol=1e-5)
    assert answer["modules"] == 14
    # Written in bf16, towers included.
    assert float((merged - adapted).norm()) < 0.25 * moved
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["Llama4ForConditionalGeneration"]
