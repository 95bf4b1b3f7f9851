"""Where things are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender import paths


def test_runs() -> None:
    assert paths.runs_dir({}) == Path.home() / ".local/share/lora-wizard/runs"
    assert paths.runs_dir({"XDG_DATA_HOME": "/data"}) == Path("/data/lora-wizard/runs")
    assert paths.runs_dir({"XDG_DATA_HOME": "/data", "LORA_WIZARD_RUNS": "~/r"}) == Path.home() / "r"
    assert paths.runs_dir({"LORA_WIZARD_RUNS": "here"}) == Path.cwd() / "here"


def test_cache_and_state() -> None:
    assert paths.cache_dir({"XDG_CACHE_HOME": "/c"}) == Path("/c/lora-wizard")
    assert paths.state_dir({}) == Path.home() / ".local/state/lora-wizard"


@pytest.mark.process
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HF_HOME": "/hf"},
        {"HF_HOME": "~/hf"},
        {"XDG_CACHE_HOME": "/c"},
        {"HF_HUB_CACHE": "/hub", "HF_HOME": "/hf"},
        {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/hf"},
        {"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"},
    ],
)
def test_the_model_cache_is_where_huggingface_hub_has_it(variables: dict[str, str]) -> None:
    names = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in names} | variables
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert paths.model_cache_dir(variables) == Path(done.stdout.strip())


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(InputError, match="HOME is not set") as raised:
        paths.runs_dir({})
    assert "Set HOME" in raised.value.remedy
    assert paths.runs_dir({"LORA_WIZARD_RUNS": "/runs"}) == Path("/runs")


def test_a_home_folder_of_nobody_is_a_plain_name() -> None:
    assert paths.expanded("~no-such-user-here/a") == Path("~no-such-user-here/a")
