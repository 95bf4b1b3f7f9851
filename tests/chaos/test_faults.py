"""A few of the benchmarks' hurt runs, each held against a run that nobody hurt."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

HERE = Path(__file__).resolve().parents[2]


def measured(*arguments: str) -> str:
    """The table of a benchmark, which forks and must not do so in pytest's own process."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return done.stdout


def test_three_kill_points_give_the_same_losses_and_adapter() -> None:
    said = measured("benchmarks.exactness", "--points", "3")
    assert "3 of 3 exact." in said
    assert "SIGKILL to both | evaluating | 2 | yes | yes" in said


@pytest.mark.parametrize("seed", [5, 8])
def test_nothing_acknowledged_is_lost_under_random_faults(seed: int) -> None:
    said = measured("benchmarks.chaos", "--runs", "1", "--first-seed", str(seed))
    assert "1 of 1 runs ended finished with nothing lost." in said
