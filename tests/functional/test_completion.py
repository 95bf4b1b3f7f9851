"""Completion of the command line, as a shell asks for it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tui.cli import main

BASH = shutil.which("bash")


def test_the_script_is_printed_for_a_shell_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--show-completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "complete_bash" in script
    assert main(["--show-completion=bash"]) == 0
    assert capsys.readouterr().out == script
    assert main(["--show-completion", "klingon"]) == 2
    assert "There is no completion for 'klingon'" in capsys.readouterr().err


@pytest.mark.skipif(BASH is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["lora-wizard", "resu"], ["resume"]),
        (["lora-wizard", "resume", "--allow-b"], ["--allow-busy"]),
        (["lora-wizard", "--runs", "elsewhere", "mer"], ["merge"]),
        (["lora-wizard", "./mod"], []),
    ],
)
def test_what_install_writes_completes_in_bash(line: list[str], expected: list[str], tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    program = tmp_path / "lora-wizard"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tui.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    subprocess.run([program, "--install-completion", "bash"], env=environment, check=True, capture_output=True)
    assert "lora-wizard.sh" in (tmp_path / ".bashrc").read_text(encoding="utf-8")
    asks = (
        f"source ~/.bashrc; COMP_WORDS=({shlex.join(line)}); COMP_CWORD={len(line) - 1}; "
        f'_lora_wizard_completion {shlex.quote(str(program))}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    assert BASH is not None
    answer = subprocess.run([BASH, "-c", asks], env=environment, check=True, capture_output=True, text=True)
    assert answer.stdout.split() == expected, answer.stderr


@pytest.mark.parametrize("shell", ["pwsh", "bash"])
def test_what_cannot_be_installed_is_bad_input_with_another_way(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".bashrc").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--install-completion", shell]) == 2
    told = capsys.readouterr().err
    assert f"Completion for {shell} cannot be installed here" in told
    assert f"lora-wizard --show-completion {shell}" in told
