"""Paths that `--set` gives are of the folder that the command runs in, those in a file of the file's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui.cli import main
from tui.commands.planning import read_config

FILE = """
model: org/name
method: lora
data: {train: [rows.jsonl], eval: [held.jsonl]}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command runs in; the configuration is in `file`, and both have files of the same names."""
    for folder in ("file", "here"):
        (tmp_path / folder / "model").mkdir(parents=True)
        for name in ("rows.jsonl", "held.jsonl", "template.jinja"):
            (tmp_path / folder / name).touch()
    (tmp_path / "file" / "config.yaml").write_text(FILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_a_path_is_of_where_it_was_written(here: Path) -> None:
    file = here.parent / "file"
    plain = read_config(Path("../file/config.yaml"), None, here / "runs")
    assert (plain.data.train, plain.data.eval) == ([str(file / "rows.jsonl")], [str(file / "held.jsonl")])
    given = ["data.train=rows.jsonl", "data.template=template.jinja"]
    config = read_config(Path("../file/config.yaml"), given, here / "runs")
    assert config.data.train == [str(here / "rows.jsonl")]
    assert config.data.eval == [str(file / "held.jsonl")]
    assert config.data.template == str(here / "template.jinja")
    assert config.model == "org/name"
    assert read_config(Path("../file/config.yaml"), ["data.train=org/rows"], here).data.train == ["org/rows"]


@pytest.mark.parametrize("typed", ["model", "./model", "../here/model"])
def test_a_model_folder_too(here: Path, typed: str) -> None:
    config = read_config(Path("../file/config.yaml"), [f"model={typed}"], here / "runs")
    assert config.model == str(here / "model")
    trusting = read_config(Path("../file/config.yaml"), [f"model={typed}", f"trust_remote_code={typed}"], here / "runs")
    assert trusting.trust_remote_code == trusting.model == str(here / "model")


def test_a_hub_id_stays_one(here: Path) -> None:
    (here / "org" / "name").mkdir(parents=True)
    config = read_config(Path("../file/config.yaml"), ["learning_rate=1e-4"], here / "runs")
    assert config.model == "org/name", "the file's, in whose folder there is none of that name"
    assert read_config(Path("../file/config.yaml"), ["model=other/name"], here / "runs").model == "other/name"


def test_recommend_writes_paths_of_set_so_that_the_file_finds_them(here: Path) -> None:
    rows = "".join(f'{{"prompt": "Ask {n}", "completion": "Say {n}"}}\n' for n in range(12))
    for name in ("rows.jsonl", "held.jsonl"):
        (here / name).write_text(rows, encoding="utf-8")
    line = ["recommend", "--model", "smollm2-135m-instruct", "--data", "rows.jsonl", "--gpu", "RTX 4090"]
    assert main([*line, "--set", "data.eval=held.jsonl", "-o", "../file/new.yaml"]) == 0
    written = read_config(Path("../file/new.yaml"), None, here / "runs")
    assert (written.data.train, written.data.eval) == ([str(here / "rows.jsonl")], [str(here / "held.jsonl")])
