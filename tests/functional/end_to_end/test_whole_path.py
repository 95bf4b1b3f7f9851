"""From the plan to the end of the run without leaving the wizard."""

from pathlib import Path

import pytest

from tests.functional.end_to_end.steps import measured, planned, shows, start, summary
from tests.functional.terminal import Terminal
from tests.functional.trainer.conftest import ended, wait_for

pytestmark = pytest.mark.torch


def test_plan_check_train_and_summary(tiny_model: Path, rows: Path, runs: Path) -> None:
    with Terminal(str(tiny_model), str(rows), runs=runs) as wizard:
        planned(wizard)
        assert not runs.exists()
        wizard.press("g")
        wizard.wait(measured)
        for title in ("disk", "host RAM", "model", "data", "torch on this device"):
            assert shows(f"✓ {title}", wizard.text), wizard.text
        assert not runs.exists()
        start(wizard, "lora")
        wizard.wait(lambda text: shows("training|evaluating|finished", text))
        (run,) = runs.iterdir()
        wizard.wait(lambda text: shows(r"\bstep \d+ / \d+", text) and run.name in text)
        shot = wait_for(run, ended)
        assert shot.status == "finished", (shot.state.reason, shot.log)
        first, last = summary(wizard, "held-out", "after")
        assert first == pytest.approx(shot.evals[0].eval_loss, rel=0.01)
        assert last == pytest.approx(shot.evals[-1].eval_loss, rel=0.01)
        assert last < first
        wizard.resize(160, 60)
        wizard.wait("PeftModel.from_pretrained")
        wizard.press("4")
        wizard.wait("learning_rate")
        wizard.press("6")
        wizard.wait("PeftModel.from_pretrained")
        wizard.press("q")
        assert wizard.wait_exit() == 0
        assert run.name in wizard.text
    assert (run / "adapter" / "adapter_model.safetensors").is_file()
