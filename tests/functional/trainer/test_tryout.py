"""Short trials, for real: ranked by held-out loss, taken as they are when asked again."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from tests.functional.trainer.conftest import LONGEST
from trainer.results.trials import require_held_out, settled, shown, trials

MakeConfig = Callable[..., FinetuneConfig]


def test_one_value_of_how_rows_are_read_holds_for_every_trial(make_config: MakeConfig) -> None:
    told = ['data.columns={"prompt": "a", "chosen": "b"}', "data.format=preference", "lora.r=4,8"]
    base, left = settled(make_config(), told)
    assert (base.data.format, base.data.columns, left) == ("preference", {"prompt": "a", "chosen": "b"}, ["lora.r=4,8"])
    assert settled(make_config(), ["data.max_length=64,128"])[1] == ["data.max_length=64,128"]


def test_every_combination_is_a_trial(make_config: MakeConfig) -> None:
    found = trials(make_config(), ["learning_rate=1e-4,3e-4", "lora.target_modules=all-linear,[q_proj, v_proj]"], 7)
    assert [shown(trial.values) for trial in found] == [
        "learning_rate 1.0e-4, target_modules all-linear",
        "learning_rate 1.0e-4, target_modules [q_proj, v_proj]",
        "learning_rate 3.0e-4, target_modules all-linear",
        "learning_rate 3.0e-4, target_modules [q_proj, v_proj]",
    ]
    assert {trial.config.training.max_steps for trial in found} == {7}
    assert len({trial.config.run.name for trial in found}) == 4


def test_without_values_three_learning_rates_are_compared(make_config: MakeConfig) -> None:
    found = trials(make_config(training__learning_rate=2e-4), [], 7)
    assert [dict(trial.values) for trial in found] == [
        {"training.learning_rate": rate} for rate in (1.1e-4, 2e-4, 3.6e-4)
    ]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (["learning_rate=1e-4"], "nothing to compare"),
        (["learning_rate"], "is not key=value"),
        (["learning_rat=1,2"], "learning_rat"),
        (["learning_rate=1e-4,fast"], "learning_rate"),
        (["max_steps=10,20"], "cannot be tried"),
        ([f"r={','.join(map(str, range(1, 41)))}"], "40 trials"),
        (["seed=1,2"], "draws the held-out rows"),
        (["per_device_train_batch_size=1,2"], "mean over micro-batches"),
        (["max_length=64,128"], "taken over"),
    ],
)
def test_what_cannot_be_compared_is_refused(make_config: MakeConfig, choices: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        trials(make_config(), choices, 5)
    assert said in str(caught.value)


def test_without_held_out_rows_there_is_no_ranking(make_config: MakeConfig) -> None:
    with pytest.raises(InputError, match="Nothing is held out"):
        trials(make_config(data__eval_fraction=0.0), ["learning_rate=1e-4,3e-4"], 5)


@pytest.mark.parametrize(("count", "refused"), [(1, True), (40, False)])
def test_rows_of_which_none_can_be_held_out_are_refused(make_config: MakeConfig, count: int, refused: bool) -> None:
    config, profile = make_config(data__eval_fraction=0.1), synthetic_profile(count, 50)
    with pytest.raises(InputError, match="None of 1 row can be held out") if refused else nullcontext():
        require_held_out(config, profile)


@pytest.mark.torch
def test_the_better_rate_wins_and_asking_again_trains_nothing(make_config: MakeConfig, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(make_config()))
    command = [sys.executable, "-m", "tui.cli", "--runs", str(tmp_path / "runs"), "try", str(file)]
    command += ["--set", "training.learning_rate=1e-7,1e-2", "--steps", "4", "--json"]
    first = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, env=os.environ)
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert document["best"] == {"training.learning_rate": 0.01}
    losses = [trial["eval_loss"] for trial in document["trials"]]
    assert losses == sorted(losses)
    assert document["trials"][0]["first_eval_loss"] == document["trials"][1]["first_eval_loss"] > losses[0]
    again = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, env=os.environ)
    assert again.stderr.count("done already") == 2
    assert json.loads(again.stdout) == document
    assert len(list((tmp_path / "runs").glob("*try-*"))) == 2
