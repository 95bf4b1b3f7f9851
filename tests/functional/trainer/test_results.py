"""What a run leaves, used: merged, talked with, compared. One short run serves all."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from tests.fixtures.child import run_python
from tests.functional.trainer.conftest import CPU, LONGEST, ended, wait_for
from trainer.process.launch import launch
from trainer.results.chat import Chat
from trainer.results.compare import compare
from trainer.results.merge import merge_run

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]

SAME = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, merged = sys.argv[1:]
ids = torch.arange(12).unsqueeze(0)
with torch.no_grad():
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = plain(ids).logits
    tuned = PeftModel.from_pretrained(plain, adapter)(ids).logits
    found = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)(ids).logits
print(json.dumps({"moved": float((tuned - before).norm()), "off": float((found - tuned).norm())}))
"""


def cli(*arguments: str | Path, said: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui.cli", *map(str, arguments)]
    return subprocess.run(command, input=said, capture_output=True, text=True, check=False, timeout=LONGEST)


def test_merge_chat_and_compare(make_config: MakeConfig, tmp_path: Path, tiny_model: Path) -> None:
    runs = tmp_path / "runs"
    config = make_config(lora__rank_pattern={"q_proj": 4}, training__learning_rate=0.05)
    run = launch(config, plan_document={"estimate": {}}, device=CPU, runs=runs)
    with pytest.raises(InputError, match="no adapter yet"):
        merge_run(run, tmp_path / "early")
    shot = wait_for(run, ended)
    assert shot.status == "finished", (shot.state.reason, shot.log)

    merged = tmp_path / "merged"
    done = cli("--runs", runs, "merge", "latest", "-o", merged, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["modules"] == 14
    assert told["off"] < 0.25
    assert json.loads((merged / "config.json").read_text())["dtype"] == "bfloat16"
    measured = run_python(SAME, str(tiny_model), str(run / "adapter"), str(merged))
    assert measured["moved"] > 0
    assert measured["off"] < 0.1 * measured["moved"]
    again = cli("--runs", runs, "merge", "latest", "-o", merged)
    assert again.returncode == 2
    assert "is there already" in again.stderr

    with Chat(run) as pair:
        said: dict[str, str] = {"base": "", "tuned": ""}
        for side, piece in pair.ask("What is the rank number 3?", most=12):
            said[side] += piece
        assert said["base"] != said["tuned"]
        assert [side for side, _ in pair.ask("And 4?", most=3, forget=True)]
    talked = cli("--runs", runs, "chat", "latest", "--tokens", "4", said="What is the loss?\n")
    assert talked.returncode == 0, talked.stderr
    assert [line.split(":")[0] for line in talked.stdout.splitlines() if ":" in line][:1] == ["base"]

    other = launch(
        make_config(training__max_steps=2, training__learning_rate=0.01),
        plan_document={"estimate": {}},
        device=CPU,
        runs=runs,
    )
    wait_for(other, ended)
    found = compare(run, other)
    assert found.settings["training.learning_rate"] == (0.05, 0.01)
    assert found.results["steps"] == (6, 2)
    shown = cli("--runs", runs, "compare", run.name, other.name)
    assert shown.returncode == 0, shown.stderr
    assert "training.learning_rate" in shown.stdout
