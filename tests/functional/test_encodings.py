"""Output of another encoding than UTF-8: no command ends for it, and files stay what they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.tiny_model import build_tiny_llama
from tests.functional.conftest import LORA_WIZARD
from tests.functional.terminal import Terminal

ROW = {"messages": [{"role": "user", "content": "三加四 ≤ 多少？"}, {"role": "assistant", "content": "七 — café ✓"}]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and rows in a file whose name is no ASCII."""
    folder = tmp_path_factory.mktemp("place")
    build_tiny_llama(folder / "m")
    rows = [
        {**ROW, "messages": [{**ROW["messages"][0], "content": f"{i} 三加四"}, ROW["messages"][1]]} for i in range(12)
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "数据.jsonl").write_text(text, encoding="utf-8")
    config = "model: m\nmethod: lora\ndata: {train: [数据.jsonl]}\ntraining: {precision: fp32}\n"
    (folder / "c.yaml").write_text(config, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the locale zh_CN.GBK."""
    compiler = shutil.which("localedef")
    if compiler is None:
        pytest.skip("no localedef: a locale of another encoding cannot be made")
    folder = tmp_path_factory.mktemp("locales")
    command = [compiler, "-c", "-i", "zh_CN", "-f", "GBK", str(folder / "zh_CN.GBK")]
    subprocess.run(command, capture_output=True, check=False)
    if not (folder / "zh_CN.GBK").is_dir():
        pytest.skip("localedef lacks the sources of zh_CN or GBK")
    return folder


def run(place: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"LORA_WIZARD_RUNS": str(place / "runs")} | variables
    return subprocess.run([LORA_WIZARD, *arguments], cwd=place, env=environment, capture_output=True, check=False)


COMMANDS = (
    ("probe",),
    ("data", "数据.jsonl", "-m", "m"),
    ("recommend", "-m", "m", "-d", "数据.jsonl"),
    ("estimate", "c.yaml"),
    ("estimate", "c.yaml", "--terms", "--no-unicode"),
    ("presets",),
    ("--help",),
)


@pytest.mark.parametrize(
    ("command", "encoding"),
    [*((command, "latin-1") for command in COMMANDS), (COMMANDS[1], "gbk"), (COMMANDS[1], "ascii")],
)
def test_what_an_encoding_lacks_is_replaced(place: Path, command: tuple[str, ...], encoding: str) -> None:
    done = run(place, *command, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding)
    done.stderr.decode(encoding)


def test_an_error_too(place: Path) -> None:
    done = run(place, "data", "数.jsonl", "-m", "m", PYTHONIOENCODING="latin-1")
    assert done.returncode == 2
    assert "-> Did you mean" in done.stderr.decode("latin-1")


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "ascii"])
def test_json_loses_nothing(place: Path, encoding: str) -> None:
    done = run(place, "data", "数据.jsonl", "-m", "m", "--json", PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout.decode(encoding))["files"] == ["数据.jsonl"]


def test_no_unicode_holds_for_plain_output(place: Path) -> None:
    done = run(place, "--no-unicode", "data", "数据.jsonl", "-m", "m", PYTHONIOENCODING="utf-8")
    assert done.stdout.isascii()
    assert done.stderr.isascii()


def test_names_of_files_are_utf8_under_another_locale(place: Path, locales: Path) -> None:
    done = run(
        place, "recommend", "-m", "m", "-d", "数据.jsonl", "-o", "made.yaml", LOCPATH=str(locales), LC_ALL="zh_CN.GBK"
    )
    assert done.returncode == 0, done.stderr
    assert "数据.jsonl" in done.stderr.decode("gbk")
    assert "数据.jsonl" in (place / "made.yaml").read_text(encoding="utf-8")


def test_the_wizard_draws_letters_of_the_locale_and_survives_other_bytes(place: Path, locales: Path) -> None:
    environment = {"LOCPATH": str(locales), "LC_ALL": "zh_CN.GBK"}
    with Terminal("m", "数据.jsonl", runs=place / "runs", environment=environment) as terminal:
        terminal.stream.select_other_charset("@")  # what comes is bytes, read below
        terminal.wait("max_length")
        terminal.press("3")
        terminal.wait("sample 1 of")
        drawn = terminal.text.encode("latin-1", "replace").decode("gbk", "replace")
        assert "三加四" in drawn
        assert "+-" in drawn
        terminal.child.send(b"\xff")
        terminal.press("1")
        terminal.wait("RAM")
        terminal.press("q")
        assert terminal.wait_exit() == 0
