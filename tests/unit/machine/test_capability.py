"""What each generation of GPUs can do, and that nobody else keeps a compute capability of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import recommender
from recommender.machine.capability import (
    AMPERE,
    BLACKWELL,
    HOPPER,
    TURING,
    Capability,
    cublas_workspace_bytes,
    has_bf16,
    has_flash_kernel,
    has_tf32,
    version,
)

MIB = 2**20
LITERAL = re.compile(r"capability\b[^\n]*[<>]=? *\(\d+, \d+\)")


@pytest.mark.parametrize(
    ("capability", "bf16", "flash", "workspace"),
    [
        (TURING, False, False, 8 * MIB + 128 * 1024),
        (AMPERE, True, True, 8 * MIB + 128 * 1024),
        (HOPPER, True, True, 32 * MIB),
        (BLACKWELL, True, True, 32 * MIB),
        (None, False, True, 8 * MIB + 128 * 1024),
    ],
)
def test_each_generation_answers(capability: Capability | None, bf16: bool, flash: bool, workspace: int) -> None:
    assert (has_bf16(capability), has_tf32(capability), has_flash_kernel(capability)) == (bf16, bf16, flash)
    assert cublas_workspace_bytes(capability) == workspace


def test_it_is_written_as_it_is_spoken() -> None:
    assert (version(TURING), version(None)) == ("7.5", "unknown")


def test_no_other_module_compares_a_capability_with_numbers_of_its_own() -> None:
    """wheels.py lists the kernels of builds, and diagnostics.py the oldest card that any torch supports."""
    root = Path(recommender.__file__).parents[1]
    found = {
        str(path.relative_to(root))
        for room in ("recommender", "trainer", "tui")
        for path in (root / room).rglob("*.py")
        if LITERAL.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"recommender/machine/diagnostics.py"}
