"""The real SmolLM2-135M-Instruct, held in 4 bits, from the plan to the answers before and after."""

import json
from pathlib import Path

import pytest
import yaml

from tests.functional.end_to_end.steps import (
    choose_method,
    measured,
    planned,
    set_max_steps,
    shows,
    start,
    summary,
)
from tests.functional.terminal import Terminal
from tests.functional.trainer.conftest import ended, wait_for

pytestmark = [pytest.mark.torch, pytest.mark.model]

STEPS = 5


@pytest.fixture
def few_rows(tmp_path: Path) -> Path:
    """Short questions with one short, clear style of answer."""
    path = tmp_path / "few.jsonl"
    words = ("rank", "rate", "batch", "adapter", "model", "token", "loss", "epoch")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is a {word}?"},
                {"role": "assistant", "content": f"In short: the {word}."},
            ]
        }
        for word in words
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_nf4_from_plan_to_answers(demo_model: Path, few_rows: Path, runs: Path) -> None:
    with Terminal(str(demo_model), str(few_rows), runs=runs) as wizard:
        planned(wizard)
        choose_method(wizard, "lora", "qlora")
        set_max_steps(wizard, STEPS)
        wizard.press("g")
        wizard.wait(measured)
        for title in ("torch on this device", "quantisation"):
            assert shows(f"✓ {title}", wizard.text), wizard.text
        start(wizard, "qlora")
        wizard.wait(lambda text: shows(r"loss +\d\.\d+ .*", text) and shows(rf"step [1-{STEPS}] / {STEPS}", text))
        (run,) = runs.iterdir()
        shot = wait_for(run, ended)
        assert shot.status == "finished", (shot.state.reason, shot.log)
        asked_first = shot.samples[0]["prompt"]
        answers = {s["when"]: str(s["answer"]) for s in shot.samples if s["prompt"] == asked_first}
        before, after = answers["before"], answers["after"]
        assert before != after
        first, last = summary(wizard, "held-out", "after", " ".join(before.split()[:3]))
        assert first == pytest.approx(shot.evals[0].eval_loss, rel=0.01)
        assert last == pytest.approx(shot.evals[-1].eval_loss, rel=0.01)
        assert last < first
        wizard.press("q")
        assert wizard.wait_exit() == 0
    asked = yaml.safe_load((run / "config.yaml").read_text())
    assert (asked["method"], asked["quantization"]["bits"], asked["quantization"]["quant_type"]) == ("qlora", 4, "nf4")
    assert shot.start["method"] == "qlora"
    assert len(shot.steps) == STEPS
    assert (shot.adapter / "adapter_model.safetensors").is_file()
