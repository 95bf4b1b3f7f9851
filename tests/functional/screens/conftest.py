import json
from pathlib import Path

import pytest

from tests.functional.screens.made import MadeServices


@pytest.fixture
def services(tmp_path: Path) -> MadeServices:
    return MadeServices(tmp_path / "runs")


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """60 questions and answers of growing length."""
    path = tmp_path / "train.jsonl"
    lines = [
        {"instruction": f"Name {number} things.", "input": "", "output": " ".join(["word"] * (20 + 10 * number))}
        for number in range(60)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)
