"""No test reads or writes what is the person's own, in its own process or in those that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recommender import paths
from tests.conftest import PERSONS_OWN
from tests.home import OWN, ROOT, own_places, watch

ROOT_OF_THE_TESTS = Path(__file__).parents[1]

# Read by every interpreter that finds it on its path, so by the children of children too.
GUARD = """
import os, sys

HOME, LOG = os.environ["GUARDED_HOME"], os.environ["GUARD_LOG"]

def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.rmdir"):
        path = arguments[0]
        if isinstance(path, (str, bytes)) and os.fsdecode(path).startswith(HOME):
            log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(log, f"{event} {os.fsdecode(path)} by {sys.orig_argv}\\n".encode())
            os.close(log)

sys.addaudithook(hook)
"""

REPRESENTATIVE = (
    "unit/plan/test_recommend.py::test_same_question_same_plan",
    "functional/screens/test_everywhere.py::test_a_fault_of_our_own_is_one_sentence_with_the_log",
    "functional/test_estimate_command.py",
    "functional/trainer/test_runs.py::test_a_killed_worker_is_reported_with_its_signal",
)
"""A plan, a screen that writes the crash log, commands, and a run with its supervisor and its worker."""

AT_FAULT = """
import subprocess, sys
from pathlib import Path

def test_reads() -> None:
    program = "import os; os.listdir(os.environ['GUARDED_HOME'])"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
"""


def session(tmp_path: Path, *tests: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run tests as a person with a home of her own does; return how it went and what of that home was touched."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    mine, log = tmp_path / "mine", tmp_path / "touched"
    mine.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in (ROOT, OWN)}
    environment |= {
        "HOME": str(mine),
        "GUARDED_HOME": str(mine),
        "GUARD_LOG": str(log),
        "PYTHONPATH": str(tmp_path / "guard"),
        "XDG_STATE_HOME": str(mine / "state"),
        "HF_HOME": str(mine / "hf"),
        "LORA_WIZARD_RUNS": str(mine / "runs"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base")]
    done = subprocess.run(
        [*command, *tests],
        cwd=ROOT_OF_THE_TESTS.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, log.read_text() if log.exists() else ""


@pytest.mark.torch
def test_a_session_touches_nothing_of_the_home_it_was_started_with(tmp_path: Path) -> None:
    done, touched = session(tmp_path, *(str(ROOT_OF_THE_TESTS / name) for name in REPRESENTATIVE))
    assert done.returncode == 0, done.stdout[-4000:]
    assert touched == ""


def test_a_child_that_did_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "test_at_fault.py").write_text(AT_FAULT)
    done, touched = session(tmp_path, str(tmp_path / "test_at_fault.py"))
    assert done.returncode == 0, done.stdout
    assert touched.startswith(f"os.listdir {tmp_path / 'mine'}")


def test_each_test_has_an_empty_home(home: Path) -> None:
    kept = (paths.runs_dir(), paths.cache_dir(), paths.state_dir(), paths.model_cache_dir())
    assert all(place.is_relative_to(home) for place in kept)
    assert list(home.iterdir()) == []
    assert not {*map(str, kept)} & {*PERSONS_OWN}


def test_what_is_the_persons_own_is_found_as_the_program_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = own_places({"XDG_STATE_HOME": "/fast", "HF_HOME": "/models", "LORA_WIZARD_RUNS": "/r"})
    assert found == (
        "/fast/lora-wizard",
        "/home/me/.cache/lora-wizard",
        "/home/me/.config/lora-wizard",
        "/models",
        "/models/hub",
        "/r",
    )


def test_what_is_touched_in_this_process_is_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    touched = watch((str(tmp_path / "own"),))
    (tmp_path / "owner.txt").write_text("a neighbour's")
    assert touched == []
    monkeypatch.chdir(tmp_path)
    Path("own/crash.log").write_text("")
    (tmp_path / "owner.txt").rename(tmp_path / "own" / "moved")
    os.listdir(tmp_path / "own")  # noqa: PTH208 - what is audited
    assert [line.partition(" ")[0] for line in touched] == ["open", "os.rename", "os.listdir"]
