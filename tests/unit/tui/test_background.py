"""Work in threads has one home."""

from __future__ import annotations

from pathlib import Path

import pytest

import tui
from presets.errors import InputError
from tui.terminal.background import Failures
from tui.terminal.errors import crash_log_path


def test_no_other_module_starts_threads() -> None:
    found = [
        path.name
        for path in Path(tui.__file__).parent.rglob("*.py")
        if any(way in path.read_text() for way in ("run_worker(", "@work", "Thread(", "call_from_thread("))
    ]
    assert found == ["background.py"]


def test_what_fails_each_time_is_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    failures = Failures()
    assert failures.take(None) is None
    first = failures.take(OSError("boom"))
    assert first is not None
    assert failures.take(OSError("boom")) is first
    assert crash_log_path().read_text().count("boom") == 1
    refused = InputError("The folder is gone.")
    assert failures.take(refused) is refused
    assert failures.take(None) is None
    assert failures.take(OSError("boom")) is not first
