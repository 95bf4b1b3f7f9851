from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.dashboard.made import MadeRun

RUN_ID = "20261121-0312-smollm2-135m-house-style"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MadeRun]:
    """Make a run folder below the test's own, where commands look by themselves."""
    monkeypatch.setenv("LORA_WIZARD_RUNS", str(tmp_path / "runs"))

    def made(name: str = RUN_ID, **options: Any) -> MadeRun:
        return MadeRun(tmp_path / "runs" / name, **options)

    return made
