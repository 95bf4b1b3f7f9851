"""What stands before a supervisor's command."""

import getpass
from pathlib import Path

import pytest

from trainer.process.launch import logout_scope


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose logind ends the processes of a user who is not root."""
    monkeypatch.setattr("os.getuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    (tmp_path / "run/systemd/seats").mkdir(parents=True)
    (tmp_path / "etc/systemd").mkdir(parents=True)
    (tmp_path / "etc/systemd/logind.conf").write_text("[Login]\nKillUserProcesses=yes\n")
    linger = tmp_path / "var/lib/systemd/linger"
    linger.mkdir(parents=True)
    (linger / getpass.getuser()).touch()
    return tmp_path


def test_a_scope_where_logind_kills_and_the_manager_lingers(box: Path) -> None:
    assert logout_scope(box)[:3] == ["systemd-run", "--user", "--scope"]


def test_none_without_lingering(box: Path) -> None:
    next((box / "var/lib/systemd/linger").iterdir()).unlink()
    assert logout_scope(box) == []


def test_none_without_systemd_run(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert logout_scope(box) == []


def test_none_where_logind_spares(box: Path) -> None:
    (box / "etc/systemd/logind.conf").write_text("[Login]\nKillUserProcesses=no\n")
    assert logout_scope(box) == []
