"""Runs beside each other: what came of them, and whether their losses can be held against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.functional.dashboard.made import CONFIG, MadeRun
from trainer.results.compare import compare
from tui.cli import main


def made(runs: Path, name: str, config: str = CONFIG, held_out: str | None = "a") -> Path:
    """A run that has trained a little, with its record of the rows that it held out."""
    run = MadeRun(runs / name, total=20)
    run.folder.config.write_text(config, encoding="utf-8")
    contents: dict[str, Any] | None = None
    if held_out is not None:
        contents = {"rows": 9, "rows_sha256": "r", "held_out": 1, "held_out_sha256": held_out}
    run.say("start", model="m", total_steps=20, contents=contents)
    run.train(20)
    return run.path


OTHERS = {
    "max_length": CONFIG.replace("{train", "{max_length: 64, train"),
    "template": CONFIG.replace("{train", "{template: chatml, train"),
    "train_on": CONFIG.replace("{train", "{train_on: all, train"),
    "model": CONFIG.replace("135M", "360M"),
    "format": CONFIG.replace("{train", "{format: alpaca, train"),
}


@pytest.mark.parametrize("key", OTHERS)
def test_losses_of_other_tokens_are_not_comparable(tmp_path: Path, key: str) -> None:
    found = compare(made(tmp_path, "20261120-0100-a"), made(tmp_path, "20261120-0200-b", OTHERS[key]))
    assert found.not_comparable == (f"{key} differs",)


def test_held_out_rows_are_known_by_their_content_else_by_what_decides_them(tmp_path: Path) -> None:
    first = made(tmp_path, "20261120-0100-a")
    assert compare(first, made(tmp_path, "20261120-0200-b")).not_comparable == ()
    other = made(tmp_path, "20261120-0300-c", held_out="b")
    assert compare(first, other).not_comparable == ("held-out rows differ",)
    # The same rows under another name are the same rows.
    renamed = CONFIG.replace("house-style", "copy")
    assert compare(first, made(tmp_path, "20261120-0400-d", renamed)).not_comparable == ()
    old = made(tmp_path, "20261120-0500-e", renamed, held_out=None)
    assert compare(first, old).not_comparable == ("held-out rows differ",)
    rate = CONFIG + "training: {learning_rate: 1.0e-5}\n"
    assert compare(first, made(tmp_path, "20261120-0600-f", rate)).not_comparable == ()


def test_the_command_says_so_and_shows_sizes_as_people_read_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = made(tmp_path, "20261120-0100-a"), made(tmp_path, "20261120-0200-b", OTHERS["max_length"])
    assert main(["--runs", str(tmp_path), "compare", first.name, second.name]) == 0
    shown = capsys.readouterr().out
    assert "not comparable: max_length differs" in shown
    assert "GiB" in shown and "peak_bytes" not in shown
    assert main(["--runs", str(tmp_path), "compare", first.name, second.name, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["not_comparable"] == ["max_length differs"]
    assert document["results"]["peak_bytes"][0] > 2**20
