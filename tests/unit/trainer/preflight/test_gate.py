"""One gate for every door: what cannot be trained is refused alike, in a moment, before anything is started."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError, NoError
from recommender.config.edit import apply
from recommender.config.io import dump_config
from recommender.config.schema import Data, FinetuneConfig, Quantization
from recommender.data.load import profile_data
from recommender.machine.facts import Device
from recommender.model.reader import read_model
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.preflight.checks import run_checks
from trainer.preflight.gate import require_trainable
from trainer.preflight.line import CheckLine
from trainer.process.launch import launch, resume_run
from trainer.run.folder import create, write_atomically
from trainer.run.state import RunState, write_state
from tui.cli import main

CPU = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=2)

ANYWHERE: Mapping[str, Mapping[str, Any]] = {
    "reads the weights as they are": {"method": "qlora", "lora.init_lora_weights": "pissa"},
    "Did you mean q_proj?": {"lora.target_modules": ["q_projj"]},
    "needs both weights": {"lora.init_lora_weights": "loftq"},
    "cannot run flash_attention_2": {"training.attn_implementation": "flash_attention_2"},
    "nothing is held out": {"run.early_stopping": 2, "data.eval_fraction": 0},
    "needs even ranks": {"lora.init_lora_weights": "orthogonal", "lora.r": 5},
    "over 8 bits on a CPU": {"method": "qlora", "quantization.bits": 8, "lora.use_dora": True},
    "about an adapter's two matrices": {"method": "full", "training.loraplus_lr_ratio": 16},
    "gets no adapter": {"lora.target_modules": ["q_proj"], "lora.rank_pattern": {"v_proj": 4}},
    "has no TF32": {"training.tf32": True},
    "target_modules is empty": {"lora.target_modules": []},
    "no module called 'hed'": {"lora.modules_to_save": ["hed"]},
}
"""What is said, and what is asked for."""
HERE: Mapping[str, Mapping[str, Any]] = {"needs the package wandb": {"run.report_to": ["wandb"]}}
"""The same of this installation, which a plan for another machine need not know."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    build_tiny_llama(folder / "m", with_weights=True)
    turns = [
        {"messages": [{"role": "user", "content": f"Is {i} odd?"}, {"role": "assistant", "content": f"{i % 2 == 1}."}]}
        for i in range(40)
    ]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turns))
    return folder


@pytest.fixture(autouse=True)
def nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No child process, and no row read."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def never(*_arguments: object, **_options: object) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr("subprocess.Popen", never)


@pytest.fixture
def base(folder: Path) -> FinetuneConfig:
    return FinetuneConfig.model_validate(
        {
            "model": str(folder / "m"),
            "method": "lora",
            "quantization": Quantization(bits=None),
            "data": Data(train=[str(folder / "d.jsonl")], max_length=64, eval_fraction=0.2),
            "training": {"precision": "fp32", "gradient_checkpointing": False},
        }
    )


def written(config: FinetuneConfig, path: Path) -> str:
    path.write_text(dump_config(config))
    return str(path)


Refuses = Callable[[FinetuneConfig, Mapping[str, Any], Path], str]
"""A door: what it says of these values over that configuration."""


def by_command(*line: str, as_options: bool = False) -> Refuses:
    """A command; its values stand in the file, or behind it with --set."""

    def refuses(config: FinetuneConfig, changes: Mapping[str, Any], tmp_path: Path) -> str:
        from contextlib import redirect_stderr, redirect_stdout
        from io import StringIO

        said, printed = StringIO(), StringIO()
        with redirect_stderr(said), redirect_stdout(printed):
            file = written(config if as_options else apply(config, changes), tmp_path / "c.yaml")
            options = [part for key, value in changes.items() for part in ("--set", f"{key}={json.dumps(value)}")]
            code = main(["--runs", str(tmp_path / "runs"), *line, file, *(options if as_options else ())])
        assert (code, printed.getvalue()) == (2, ""), (printed.getvalue(), said.getvalue())
        assert "reading" not in said.getvalue(), "refused before a row is read"
        return said.getvalue()

    return refuses


def recommends(config: FinetuneConfig, changes: Mapping[str, Any], _tmp_path: Path) -> str:
    from recommender.plan.recommend import recommend

    with pytest.raises(InputError) as caught:
        recommend(read_model(config.model), CPU, None, overrides={"method": "lora", **changes})
    return str(caught.value)


def launches(config: FinetuneConfig, changes: Mapping[str, Any], tmp_path: Path) -> str:
    with pytest.raises(InputError) as caught:
        launch(apply(config, changes), plan_document={}, device=CPU, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    return str(caught.value)


def checks(config: FinetuneConfig, changes: Mapping[str, Any], tmp_path: Path) -> str:
    """The Check screen's list: its first line fails, and the worst step is not tried."""
    model = read_model(config.model)
    dataset = profile_data(config.data, model=model)
    listed = run_checks(apply(config, changes), CPU, model=model, dataset=dataset, runs=tmp_path / "runs")
    first = next(line for line in listed if line.status != "running")
    assert (first.key, first.status) == ("settings", "fail")
    return f"{first.detail} {first.remedy}"


DOORS: Mapping[str, Refuses] = {
    "recommend": recommends,
    "estimate": by_command("estimate"),
    "train": by_command("train", "--plain"),
    "try": by_command("try"),
    "calibrate": by_command("calibrate"),
    "calibrate --set": by_command("calibrate", as_options=True),
    "train --set": by_command("train", "--plain", as_options=True),
    "check": checks,
    "launch": launches,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("said", ANYWHERE)
def test_every_door_refuses_alike(door: str, said: str, base: FinetuneConfig, tmp_path: Path) -> None:
    if (door, said) == ("try", "nothing is held out"):
        # Trials are ranked by held-out rows, which is said first.
        said, changes = "Nothing is held out", ANYWHERE[said]
    else:
        changes = ANYWHERE[said]
    assert said in " ".join(DOORS[door](base, changes, tmp_path).split())


@pytest.mark.parametrize("door", [door for door in DOORS if door not in ("recommend", "estimate")])
@pytest.mark.parametrize("said", HERE)
def test_every_door_to_training_knows_what_is_installed(
    door: str, said: str, base: FinetuneConfig, tmp_path: Path
) -> None:
    assert said in " ".join(DOORS[door](base, HERE[said], tmp_path).split())


def test_a_value_that_is_tried_is_refused_before_the_first_trial(
    base: FinetuneConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(base, tmp_path / "c.yaml")
    line = ["--runs", str(tmp_path / "runs"), "try", path, "--set", "lora.target_modules=[q_proj],[k_projj]"]
    assert main(line) == 2
    assert "Did you mean k_proj" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_resuming_with_another_value_goes_through_the_gate(base: FinetuneConfig, tmp_path: Path) -> None:
    whole = apply(base, {"data.eval_fraction": 0})
    run = create(tmp_path / "runs", "a-run")
    for path in (run.config, run.effective_config):
        write_atomically(path, dump_config(whole))
    write_atomically(run.plan, json.dumps({"device": asdict(CPU)}))
    write_state(run, RunState(status="stopped"))
    for changes, said in (
        ({"run.early_stopping": 2}, "nothing is held out"),
        ({"run.report_to": ["wandb"]}, "needs the package wandb"),
    ):
        with pytest.raises(InputError, match=said):
            resume_run(run.path, changes=changes)
    assert run.effective_config.read_text() == dump_config(whole), "what was refused is not kept"


def test_a_card_needs_the_package_of_its_attention(base: FinetuneConfig) -> None:
    card = replace(CPU, kind="cuda", name="a card", compute_capability=(9, 0), bf16=True)
    model = read_model(base.model)
    flash = apply(base, {"training.attn_implementation": "flash_attention_2", "training.precision": "bf16"})
    with pytest.raises(InputError, match="needs the package flash_attn"):
        require_trainable(flash, model, card, installed=lambda _module: False)
    require_trainable(flash, model, card, installed=lambda module: module == "flash_attn")
    require_trainable(flash, model, card, installed=lambda module: module == "kernels")
    with pytest.raises(InputError, match="16 bits only"):
        require_trainable(apply(flash, {"training.precision": "fp32"}), model, card, installed=lambda _module: True)


def test_what_can_be_trained_passes(base: FinetuneConfig) -> None:
    model = read_model(base.model)
    fine: tuple[Mapping[str, Any], ...] = (
        {},
        {"lora.init_lora_weights": "pissa"},
        {"lora.init_lora_weights": "orthogonal", "lora.r": 4},
        {"method": "qlora", "lora.init_lora_weights": "loftq"},
        {"method": "qlora", "quantization.bits": 4, "lora.use_dora": True},
        {"run.early_stopping": 2},
    )
    for changes in fine:
        require_trainable(apply(base, changes), model, CPU, installed=lambda _module: False)
    tracked = apply(base, {"run.report_to": ["tensorboard"]})
    require_trainable(tracked, model, CPU, installed=lambda module: module == "tensorboardX")


def test_every_check_that_failed_is_named_with_what_to_do(
    tmp_path: Path, base: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.preflight import checks as checking
    from tui.commands.training import run_check_list

    lines = [
        CheckLine("disk", "disk", "ok", "room enough"),
        CheckLine("data", "data", "fail", "no tokenizer.json", "Copy it."),
        CheckLine("device", "device", "fail", "another run trains on it", "Wait."),
    ]
    monkeypatch.setattr(checking, "run_checks", lambda *_, **__: iter(lines))
    model = read_model(base.model)
    dataset = profile_data(base.data, model=model)
    with pytest.raises(NoError) as caught:
        run_check_list(base, CPU, model, dataset, tmp_path / "runs")
    assert caught.value.message == "data: no tokenizer.json; device: another run trains on it"
    assert caught.value.remedy == "Copy it. Wait."
