"""Which state a run leaves, and that what is said of it is true."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recommender.config.edit import apply
from recommender.config.schema import FinetuneConfig, Quantization
from trainer.run.checkpoints import START, seal
from trainer.run.folder import RunFolder
from trainer.worker.loop.best import Kept, settle, why_kept


def trained(tmp_path: Path, *, best: tuple[float, int] | None, stops: int | None = 2, step: int = 20) -> Any:
    """A run that has been trained for 20 steps and was evaluated after the last."""
    base = FinetuneConfig(model="a/b", method="lora", quantization=Quantization(bits=None))
    loaded: list[str] = []
    return SimpleNamespace(
        folder=RunFolder(tmp_path),
        config=apply(base, {"run.early_stopping": stops}),
        model=None,
        state=SimpleNamespace(global_step=step),
        best=best,
        last_eval=1.5,
        evaluated_at=step,
        loaded=loaded,
        load_weights=lambda checkpoint, model: loaded.append(str(checkpoint)),
    )


def saved(folder: Path, *, state: bool = True) -> Path:
    """Weights that are there whole."""
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_text("weights")
    if state:
        (folder / "trainer_state.json").write_text("{}")
    seal(folder)
    return folder


def test_the_best_checkpoint_is_kept(tmp_path: Path) -> None:
    made = trained(tmp_path, best=(1.2, 10))
    place = saved(tmp_path / "checkpoints" / "checkpoint-10")
    assert settle(made, finished=True) == Kept(10, 1.2)
    assert made.loaded == [str(place)]
    assert why_kept(made, Kept(10, 1.2)) == "the adapter of step 10, whose evaluation was the best (1.2000), is kept"


def test_the_state_before_training_is_kept_where_nothing_was_better(tmp_path: Path) -> None:
    made = trained(tmp_path, best=(1.2, 0))
    place = saved(tmp_path / "checkpoints" / START, state=False)
    assert settle(made, finished=True) == Kept(0, 1.2)
    assert made.loaded == [str(place)]
    assert "made the held-out loss worse" in why_kept(made, Kept(0, 1.2))


@pytest.mark.parametrize("step", [0, 10])
@pytest.mark.parametrize("damaged", [True, False])
def test_a_better_state_that_is_gone_is_said_to_be(tmp_path: Path, step: int, damaged: bool) -> None:
    made = trained(tmp_path, best=(1.2, step))
    if damaged:
        place = saved(tmp_path / "checkpoints" / (f"checkpoint-{step}" if step else START))
        (place / "adapter_model.safetensors").write_text("others!")
    kept = settle(made, finished=True)
    assert kept == Kept(20, 1.5, better_lost=True)
    assert made.loaded == []
    said = why_kept(made, kept)
    assert "whose weights are not there: the last adapter is kept" in said
    assert ("before training" if step == 0 else "step 10") in said


@pytest.mark.parametrize(
    ("changes", "finished"),
    [
        ({"best": (1.5, 20)}, True),
        ({"best": None}, True),
        ({"best": (1.2, 10), "stops": None}, True),
        ({"best": (1.2, 10)}, False),
    ],
)
def test_else_the_last_state_is_kept(tmp_path: Path, changes: dict[str, Any], finished: bool) -> None:
    made = trained(tmp_path, **changes)
    saved(tmp_path / "checkpoints" / "checkpoint-10")
    kept = settle(made, finished=finished)
    assert kept == Kept(20, 1.5)
    assert made.loaded == []
    assert why_kept(made, kept) == ""
