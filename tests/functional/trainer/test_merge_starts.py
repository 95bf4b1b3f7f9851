"""Adapters that go with a base other than the one on the disk: rounded to 4 bits, or with stretched positions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from recommender.config.schema import FinetuneConfig
from tests.fixtures.child import run_python
from tests.functional.trainer.conftest import CPU, ended, wait_for
from trainer.process.launch import launch
from trainer.results.merge import merge_run

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]

AS_TRAINED = """
import json, sys, torch
from pathlib import Path
from peft import PeftModel
from transformers import AutoModelForCausalLM
from recommender.config.io import load_config
from recommender.model.reader import read_model
from trainer.run.folder import RunFolder
from trainer.worker.setup.model import load_model
run, merged = RunFolder(Path(sys.argv[1])), sys.argv[2]
config = load_config(run.effective_config)
ids = torch.arange(40).unsqueeze(0)
with torch.no_grad():
    base = load_model(config, read_model(config.model), cuda=False)
    before = base(ids).logits
    tuned = PeftModel.from_pretrained(base, str(run.adapter)).eval()(ids).logits
    found = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()(ids).logits
print(json.dumps({"moved": float((tuned - before).norm()), "off": float((found - tuned).norm())}))
"""


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "qlora", "quantization__bits": 4, "lora__init_lora_weights": "loftq", "lora__r": 32},
        {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    ],
    ids=["loftq", "stretched"],
)
def test_the_merged_model_is_what_was_trained(
    make_config: MakeConfig, tmp_path: Path, changes: dict[str, object]
) -> None:
    config = make_config(training__precision="fp32", training__learning_rate=0.01, **changes)
    run = launch(config, plan_document={"estimate": {}}, device=CPU, runs=tmp_path / "runs")
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)
    told = merge_run(run, tmp_path / "merged")
    assert told["off"] < 0.25
    if config.rope_scaling:
        # A model this small answers nearly the same without them.
        told_of = json.loads((tmp_path / "merged" / "config.json").read_text())
        assert told_of["rope_parameters"]["factor"] == 4.0 and not {"rope_scaling", "rope_theta"} & set(told_of)
    found = run_python(AS_TRAINED, str(run), str(tmp_path / "merged"))
    # What is left is the merged weights' rounding to bf16.
    assert found["off"] < 0.05 * found["moved"], found
