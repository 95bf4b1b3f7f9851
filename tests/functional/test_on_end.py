"""A shell command in a configuration runs only where somebody agreed to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.tiny_model import build_tiny_llama
from tests.functional.conftest import Run, assert_bad_input
from tests.functional.terminal import Terminal


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_llama(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def shared(tmp_path: Path, model: Path) -> Path:
    """A configuration as somebody may send it around; its data is not there, so nothing can be trained."""
    path = tmp_path / "shared.yaml"
    path.write_text(
        f"model: {model}\nmethod: lora\ndata: {{train: [none.jsonl]}}\nrun: {{on_end: 'touch {tmp_path}/ran'}}\n"
    )
    return path


def test_without_a_terminal_nothing_starts(run: Run, shared: Path, tmp_path: Path) -> None:
    assert_bad_input(run("train", shared, "--plain"), "run.on_end", f"touch {tmp_path}/ran", "--allow-on-end")
    named = run("train", shared, "--plain", "--set", "run.on_end=null", "--set", "run.on_end=null")
    assert_bad_input(named, "none.jsonl")
    assert_bad_input(run("train", shared, "--plain", "--allow-on-end"), "none.jsonl")
    changed = run("train", shared, "--plain", "--set", "run.on_end=touch other")
    assert_bad_input(changed, "touch other", "--allow-on-end")
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("answer", "then"), [("n", "Nothing was started"), ("y", "none.jsonl")])
def test_a_terminal_is_asked_once_for_each_command(shared: Path, tmp_path: Path, answer: str, then: str) -> None:
    with Terminal("train", str(shared), "--plain", runs=tmp_path / "runs") as seen:
        seen.wait("[y/N]")
        assert f"touch {tmp_path}/ran"[:60] in seen.text
        seen.child.sendline(answer)
        seen.wait(then)
    with Terminal("train", str(shared), "--plain", runs=tmp_path / "runs") as seen:
        seen.wait("[y/N]" if answer == "n" else "none.jsonl")
    with Terminal("train", str(shared), "--plain", "--set", "run.on_end=other", runs=tmp_path / "runs") as seen:
        seen.wait("[y/N]")
