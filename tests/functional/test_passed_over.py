"""On a machine whose GPU cannot be used, training asks before it takes the CPU."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.tiny_model import build_tiny_llama
from tests.functional.conftest import LORA_WIZARD
from tests.functional.terminal import Terminal
from tests.unit.machine.conftest import compile_stub, stub

__all__ = ["compile_stub", "stub"]

UNMEASURED = "nvmlDeviceGetMemoryInfo:999,nvmlDeviceGetMemoryInfo_v2:999"
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    build_tiny_llama(tmp_path / "m")
    (tmp_path / "d.txt").write_text("a row\n\nanother row\n", encoding="utf-8")
    config = (
        "model: m\nmethod: lora\ndata: {train: [d.txt], max_length: 64}\ntraining: {precision: fp32, max_steps: 1}\n"
    )
    (tmp_path / "c.yaml").write_text(config, encoding="utf-8")
    return tmp_path


@pytest.fixture
def variables(stub: Path, place: Path) -> dict[str, str]:
    """One GPU that no catalogue knows, whose memory cannot be had."""
    return {
        "LD_LIBRARY_PATH": str(stub),
        "NVML_STUB_COUNT": "1",
        "NVML_STUB_NAME": "NVIDIA Nameless",
        "NVML_STUB_FAIL": UNMEASURED,
        "LORA_WIZARD_RUNS": str(place / "runs"),
    }


@pytest.fixture
def call(place: Path, variables: dict[str, str]) -> Call:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | variables | more
        return subprocess.run(
            [LORA_WIZARD, *arguments], cwd=place, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_train_does_not_take_the_cpu_without_a_yes(call: Call, place: Path) -> None:
    done = call("train", "c.yaml", "--plain")
    assert done.returncode == 2
    assert "NVIDIA Nameless is here and not used" in done.stderr
    assert "LORA_WIZARD_CPU=1" in done.stderr
    assert "driver and reboot" not in done.stderr
    assert not (place / "runs").exists()


def test_a_plan_says_so_too(call: Call) -> None:
    done = call("recommend", "-m", "m", "--rows", "100", "--tokens", "20", "--json")
    assert "NVIDIA Nameless is here and not used" in done.stdout
    assert "NVIDIA Nameless" not in call("estimate", "c.yaml", LORA_WIZARD_CPU="1").stdout


def test_on_a_terminal_it_is_asked(place: Path, variables: dict[str, str]) -> None:
    with Terminal("train", "c.yaml", runs=place / "runs", cwd=place, environment=variables) as terminal:
        terminal.wait("Train on the CPU")
        terminal.press("n\r")
        terminal.wait("LORA_WIZARD_CPU=1")
        assert terminal.wait_exit() == 2
