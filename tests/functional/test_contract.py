"""What scripts may rely on of the command line, checked by the program that anyone can aim at an installed command."""

import json
from pathlib import Path

import pytest

from tests import contract
from tests.functional.conftest import LORA_WIZARD


def test_the_command_line_holds_its_contract(tmp_path: Path) -> None:
    found = list(contract.checks(contract.Place.make(LORA_WIZARD, tmp_path)))
    assert [(name, detail) for name, holds, detail in found if not holds] == []
    assert len(found) > 30


@pytest.mark.parametrize(
    ("answer", "failing"),
    [
        ("print('{}')", "probe: keys"),
        ("print('one moment'); print('{}')", "probe: stdout is one JSON document"),
        ("raise SystemExit(3)", "probe: exit code"),
        ("print('{}')", "what does not fit: exit code 1"),
    ],
)
def test_a_command_that_breaks_it_is_told(tmp_path: Path, answer: str, failing: str) -> None:
    command = tmp_path / "lora-wizard"
    command.write_text(f"#!/usr/bin/env python3\n{answer}\n")
    command.chmod(0o700)
    (tmp_path / "place").mkdir()
    place = contract.Place.make(str(command), tmp_path / "place")
    (place.folder / "config.yaml").write_text(json.dumps({}))
    assert failing in [name for name, holds, _ in contract.checks(place) if not holds]
