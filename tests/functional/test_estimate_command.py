"""What `estimate` says of a configuration beside its parts: what cannot be run, and what should be known before."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from recommender.machine.devices import device_from_catalogue
from recommender.plan.recommend import recommend
from recommender.units import gib
from tests.functional.conftest import Run, assert_bad_input
from tests.unit.plan.facts import model
from tui.screens.plan.text import room_row

NAME = "llama-3.2-1b-instruct"


def _file(folder: Path, text: str = "") -> Path:
    path = folder / "plan.yaml"
    path.write_text(f"model: {NAME}\nmethod: lora\nquantization: {{bits: null}}\n{text}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "card", "says"),
    [
        ("training: {precision: bf16}\n", "T4", "T4 has no bf16"),
        ("training: {precision: fp16, tf32: true}\n", "T4", "T4 has no TF32"),
        ("training: {attn_implementation: flash_attention_3}\n", "RTX 4090", "cannot run flash_attention_3"),
        ("run: {early_stopping: 2}\ndata: {eval_fraction: 0}\n", "RTX 4090", "nothing is held out"),
        ("lora: {target_modules: [q_proj, lm_head]}\n", "RTX 4090", "lora.modules_to_save=[lm_head]"),
    ],
)
def test_what_recommend_refuses_is_refused_here_too(run: Run, tmp_path: Path, text: str, card: str, says: str) -> None:
    assert_bad_input(run("estimate", _file(tmp_path, text), "--gpu", card), says)


def test_the_warnings_of_a_plan_are_printed_and_in_the_document(run: Run, tmp_path: Path) -> None:
    file = _file(tmp_path, "data: {max_length: 300000}\n")
    arguments = ("estimate", file, "--gpu", "RTX 4090", "--rows", 50, "--tokens", 100)
    said = run(*arguments).stdout
    document = json.loads(run(*arguments, "--json").stdout)
    assert any("50 rows are few" in warning for warning in document["warnings"])
    assert all(f"! {warning}" in said for warning in document["warnings"])


def test_what_does_not_fit_is_told_what_would_help(run: Run, tmp_path: Path) -> None:
    file = _file(tmp_path, "training: {per_device_train_batch_size: 64, gradient_checkpointing: false}\n")
    done = run("estimate", file, "--gpu-memory", "8GiB")
    assert done.returncode == 1
    assert "✗ Does not fit" in done.stdout
    assert "what would help:" in done.stdout
    told = json.loads(run("estimate", file, "--gpu-memory", "8GiB", "--json").stdout)["remedies"]
    assert told
    assert all(remedy["label"] in done.stdout for remedy in told)


def test_a_merge_is_told_as_what_it_is(run: Run, tmp_path: Path) -> None:
    lines = run("estimate", _file(tmp_path), "--gpu", "RTX 4090").stdout.splitlines()
    phases = next(line for line in lines if line.startswith("phases"))
    assert "merge" not in phases
    assert "in a process of its own" in next(line for line in lines if line.startswith("merge"))


def test_the_command_and_the_wizard_tell_one_figure_of_nvidia_smi(run: Run) -> None:
    plan = recommend(model(NAME), device_from_catalogue("T4"), None)
    shown = room_row(plan, "", 100).plain
    done = run("recommend", "--model", NAME, "--gpu", "T4")
    figure = re.search(r"nvidia-smi will show about [^·\n]+\b", done.stdout)
    assert figure is not None
    assert figure[0].strip() in shown
    assert gib(plan.estimate.peak.process_bytes) not in figure[0]


def test_nothing_is_said_to_be_read_where_no_file_was_named(run: Run) -> None:
    for arguments in (("recommend", "--model", NAME, "--data", ""), ("data", " ", "--model", NAME)):
        done = run(*arguments)
        assert_bad_input(done, "No data file was given.")
        assert "reading" not in done.stderr


def test_one_step_is_a_step(run: Run, tmp_path: Path) -> None:
    file = _file(tmp_path, "training: {max_steps: 1}\n")
    assert "   1 step   " in run("estimate", file, "--gpu", "RTX 4090", "--rows", 50, "--tokens", 100).stdout
