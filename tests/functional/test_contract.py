"""DESIGN.md's contracts, by the program that stands beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.conftest import LORA_WIZARD

CHECK = Path(__file__).resolve().parents[2].parent / "shared" / "checks" / "contract.py"


@pytest.mark.skipif(not CHECK.exists(), reason="the contract's checking program is not beside this checkout")
def test_the_program_holds_the_contracts() -> None:
    done = subprocess.run([sys.executable, str(CHECK), LORA_WIZARD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
