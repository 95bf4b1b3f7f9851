"""A question on the command line: asked where a person is, an end with ready options where nobody is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from presets.questions import Choice
from tests.fixtures.tiny_model import build_tiny_llama
from tests.functional.conftest import Run
from tests.functional.terminal import Terminal
from tui.commands.asking import with_answer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_llama(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"What is {i}?", "chosen": f"It is {i}.", "rejected": "No idea."} for i in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def cutting(tmp_path: Path, model: Path) -> Path:
    """A configuration whose length limit cuts every row."""
    rows = tmp_path / "long.jsonl"
    row = json.dumps({"prompt": "Say it.", "completion": "red fox " * 40})
    rows.write_text(f"{row}\n" * 20)
    path = tmp_path / "config.yaml"
    path.write_text(
        f"model: {model}\nmethod: lora\ndata: {{train: [{rows}], max_length: 64}}\ntraining: {{precision: fp32}}\n"
    )
    return path


def test_the_answer_is_taken_and_said_as_an_option(model: Path, pairs: Path, tmp_path: Path) -> None:
    with Terminal("data", str(pairs), "-m", str(model), runs=tmp_path / "runs", columns=160, rows=60) as seen:
        seen.wait("Which one")
        assert "data.format=preference" in seen.text
        seen.child.sendline("7")
        seen.wait("'7' is none of these numbers")
        seen.child.sendline("1")
        seen.wait("goes on with --set data.format=preference")
        seen.wait("preference: 20 rows")
        assert seen.wait_exit() == 0


@pytest.mark.parametrize("command", ["train", "try"])
def test_a_limit_that_cuts_most_rows_is_asked_about_before_anything_starts(
    cutting: Path, tmp_path: Path, command: str
) -> None:
    with Terminal(command, str(cutting), runs=tmp_path / "runs", columns=160) as seen:
        seen.wait("Which one")
        assert "--set data.allow_cut_rows=true" in seen.text
        seen.child.sendline("")
        seen.wait("nothing was started")
        assert seen.wait_exit() == 2
    assert not list((tmp_path / "runs").glob("*"))


def test_training_goes_on_to_its_checks_with_the_answer(cutting: Path, tmp_path: Path) -> None:
    with Terminal("train", str(cutting), "--plain", runs=tmp_path / "runs", columns=160) as seen:
        seen.wait("Which one")
        seen.child.sendline("1")
        seen.wait("data: 20 rows")
        assert "cuts" not in seen.text.rpartition("goes on with")[2]


def test_a_program_is_never_asked(run: Run, model: Path, pairs: Path, tmp_path: Path) -> None:
    piped = run("data", pairs, "-m", model)
    assert (piped.returncode, piped.stdout) == (2, "")
    assert "Which one" not in piped.stderr
    with Terminal("data", str(pairs), "-m", str(model), "--json", runs=tmp_path / "runs", rows=60) as seen:
        seen.wait('"question"')
        assert seen.wait_exit() == 2


def test_an_answer_takes_the_place_of_what_was_given_for_its_keys() -> None:
    given = ["train", "c.yaml", "--set", "data.format=alpaca", "--set=training.seed=1", "--plain", "--", "--set"]
    answered = with_answer(given, Choice({"data.format": "preference", "data.columns": {"prompt": "a"}}, ""))
    assert answered == [
        "train", "c.yaml", "--set", "training.seed=1", "--plain",
        "--set", "data.format=preference", "--set", 'data.columns={"prompt": "a"}', "--", "--set",
    ]  # fmt: skip
