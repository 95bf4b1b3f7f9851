"""What a person may name as the adapter that training goes on from, and what is said of a run that has finished."""

from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.model.reader import read_model
from recommender.plan.recommend import recommend
from tests.fixtures.adapters import build_adapter
from tests.fixtures.tiny_model import build_tiny_llama
from tests.unit.plan.facts import EXAMPLE, RTX_4090
from trainer.preflight.start_from import digests, placed, require_same_start, start_place
from trainer.process.device_lock import lock_path
from trainer.process.launch import resume_run
from trainer.run.folder import RunFolder, append_event
from trainer.run.state import RunState, write_state
from tui.wizard.plan_service import RealPlans


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run that left an adapter, and a newer one that left a whole model."""
    base = build_tiny_llama(tmp_path / "m")
    for started, name in enumerate(("20260101-0000-mine", "20260102-0000-whole")):
        folder = RunFolder(tmp_path / "runs" / name)
        folder.path.mkdir(parents=True)
        append_event(folder, "start", model=str(base))
        write_state(folder, RunState(status="finished", started=float(started)))
    build_adapter(tmp_path / "runs" / "20260101-0000-mine" / "adapter", str(base))
    build_tiny_llama(tmp_path / "runs" / "20260102-0000-whole" / "adapter")
    return tmp_path / "runs"


def test_a_run_or_a_folder_stands_for_its_adapter(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = runs / "20260101-0000-mine" / "adapter"
    monkeypatch.chdir(runs)
    for named in ("mine", "20260101-0000-mine", str(adapter), str(adapter.parent), "20260101-0000-mine/adapter"):
        assert start_place(named, runs) == str(adapter), named
    assert placed({"start_from": "mine", "lora.r": 8}, runs) == {"start_from": str(adapter), "lora.r": 8}
    assert placed({"start_from": None}, runs) == {"start_from": None}


def test_what_has_no_adapter_says_what_to_name(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trained every weight and left a model") as caught:
        start_place("latest", runs)
    assert "model=" in caught.value.remedy
    (tmp_path / "empty").mkdir()
    for named in ("nonesuch", str(tmp_path / "empty"), "org/adapter"):
        with pytest.raises(InputError, match="start_from: there is no adapter") as caught:
            start_place(named, runs)
        assert "hf download" in caught.value.remedy


def test_the_form_takes_a_run_by_its_name(runs: Path, tmp_path: Path) -> None:
    plans = RealPlans(runs)
    plan = recommend(read_model(str(tmp_path / "m")), RTX_4090, EXAMPLE)
    edited = plans.replan(plan, {"start_from": "mine"})
    assert edited.config.start_from == str(runs / "20260101-0000-mine" / "adapter")
    assert edited.config.lora.r == 4
    priced = plans.price(plan, {"start_from": "mine"})
    assert priced.trainable_parameters == edited.estimate.trainable_parameters < plan.estimate.trainable_parameters


def test_a_finished_run_says_how_to_train_on_from_it(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(runs / "20260101-0000-mine")
    config = FinetuneConfig(model=str(tmp_path / "m"), method="lora", quantization=Quantization(bits=None))
    folder.effective_config.write_text(dump_config(config))
    # In the usual folder of runs an id is enough; elsewhere the command finds the run by its path.
    for usual, named in ((runs, "20260101-0000-mine"), (tmp_path / "other", str(folder.path))):
        monkeypatch.setenv("LORA_WIZARD_RUNS", str(usual))
        with pytest.raises(InputError, match="has finished; its adapter is in") as caught:
            resume_run(folder.path, changes={"data.train": ["my rows.jsonl"]})
        assert (
            f"lora-wizard train {folder.effective_config} --set start_from={named} "
            "--set 'data.train=[my rows.jsonl]'" in caught.value.remedy
        )
        assert start_place(named, usual) == str(folder.adapter)


def test_an_adapter_that_changed_before_the_first_checkpoint(runs: Path) -> None:
    folder, adapter = RunFolder(runs / "20260102-0000-whole"), runs / "20260101-0000-mine" / "adapter"
    require_same_start(folder, adapter)
    append_event(folder, "start", start_from={"adapter": str(adapter), "sha256": digests(adapter)})
    require_same_start(folder, adapter)
    build_adapter(adapter, "m", seed=1)
    with pytest.raises(InputError, match="has changed since 20260102-0000-whole began from it"):
        require_same_start(folder, adapter)


def test_a_lock_of_an_instance_that_is_called_by_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    device = replace(RTX_4090, uuid="MIG-GPU-8932f937/1/0")
    assert lock_path(device).name == "MIG-GPU-8932f937-1-0.lock" and lock_path(device).parent.name == "locks"
