"""Real runs of a tiny model on the CPU, watched through their folders."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recommender.config.edit import apply
from recommender.config.schema import Data, FinetuneConfig, Quantization
from recommender.machine.facts import Device
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.history.reader import RunReader, Snapshot

CPU = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=2)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_llama(tmp_path_factory.mktemp("model") / "tiny-llama")


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    words = ("rank", "rate", "batch", "adapter", "model", "token", "loss", "epoch")
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"What is the {words[i % 8]} number {i}?"},
                {"role": "assistant", "content": f"Short answer: the {words[i % 8]} is {i}."},
            ]
        }
        for i in range(48)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def make_config(tiny_model: Path, rows: Path) -> Callable[..., FinetuneConfig]:
    def make(**changes: Any) -> FinetuneConfig:
        base = FinetuneConfig(
            model=str(tiny_model),
            method="lora",
            quantization=Quantization(bits=None),
            data=Data(train=[str(rows)], max_length=64, eval_fraction=0.2),
        )
        quick = {
            "training.max_steps": 6,
            "training.per_device_train_batch_size": 4,
            "training.gradient_accumulation_steps": 1,
            "training.precision": "fp32",
            "training.learning_rate": 0.01,
            "training.gradient_checkpointing": False,
            "run.eval_steps": 3,
            "run.save_steps": 3,
        }
        return apply(base, quick | {key.replace("__", "."): value for key, value in changes.items()})

    return make


LONGEST = 600.0
"""Seconds after which a run is taken to hang: its start takes a hundred where a dozen processes share two cores."""
GONE = 30.0
"""Seconds for what is still to be seen of a run of which no process is left."""


def wait_for(run: Path, condition: Callable[[Snapshot], bool], seconds: float = LONGEST) -> Snapshot:
    """Read the run until the condition holds.

    Raises:
        AssertionError: It does not within that time, or no process is left that could make it hold.
    """
    reader = RunReader(run)
    began = lived = time.monotonic()
    while not condition(shot := reader.poll()):
        now = time.monotonic()
        lived = now if shot.alive else lived
        waits = now - began < seconds and now - lived < GONE
        assert waits, (shot.state, shot.died, list(shot.events)[-5:], shot.log[-20:])
        time.sleep(0.05)
    return shot


def ended(shot: Snapshot) -> bool:
    return shot.state.ended and not shot.alive
