"""Runs of the tiny model that are hurt while they live: what the chaos and the exactness benchmarks share."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recommender.config.edit import apply
from recommender.config.schema import Data, FinetuneConfig, Quantization
from recommender.machine.facts import Device
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.history.listing import is_alive
from trainer.history.tail import Tail
from trainer.process.launch import launch, resume_run
from trainer.run.folder import RunFolder
from trainer.run.identity import Process
from trainer.run.state import read_state

CPU = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=2)
NO_CARD = Device(kind="cuda", name="a card that is not there", free_bytes=2**33, total_bytes=2**33, uuid="GPU-none")
"""Watched as a GPU is; torch sees none, so that the run trains on the CPU."""
STEPS = 12
WAIT_SECONDS = 300.0

Curve = dict[int, tuple[float, float, float]]
"""Step to loss, gradient norm and rate, as the events say them, digit by digit."""


@dataclass
class LiveRun:
    """One run folder and what can be done to it."""

    path: Path

    @property
    def folder(self) -> RunFolder:
        """The run's paths."""
        return RunFolder(self.path)

    def events(self) -> list[dict[str, Any]]:
        """Every event so far."""
        return Tail(self.folder.events).documents()

    def processes(self) -> dict[str, Process]:
        """Those that live: 'supervisor', 'worker'."""
        state = read_state(self.folder)
        known = {"supervisor": state.supervisor, "worker": state.worker}
        return {name: process for name, process in known.items() if process is not None and process.alive()}

    def send(self, who: str, number: int) -> bool:
        """Signal one of them; whether it was there."""
        process = self.processes().get(who)
        if process is None:
            return False
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return False
        return True

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition, or for the run's end."""
        until = time.monotonic() + WAIT_SECONDS
        while not condition() and is_alive(read_state(self.folder)):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.path.name}: waited {WAIT_SECONDS:.0f} s for {what}")
            time.sleep(0.02)

    def until_dead(self) -> None:
        """Wait until neither process lives."""
        self.until(lambda: False, "its end")

    def saw(self, kind: str, **keys: Any) -> bool:
        """Whether there is such an event."""
        return any(
            event["kind"] == kind and all(event.get(key) == value for key, value in keys.items())
            for event in self.events()
        )

    def status(self) -> str:
        """The last status in the event log."""
        said = [event for event in self.events() if event["kind"] in ("status", "end")]
        return str(said[-1]["status"]) if said else "starting"

    def resume(self) -> None:
        """Continue."""
        resume_run(self.path, allow_busy=True)

    def curve(self) -> Curve:
        """Loss, gradient norm and learning rate by step, without steps that were trained again."""
        found: Curve = {}
        for event in self.events():
            if event["kind"] == "start":
                kept = int(event.get("resumed_from") or 0)
                found = {step: point for step, point in found.items() if step <= kept}
            elif event["kind"] == "step":
                found[event["step"]] = (event["loss"], event["grad_norm"], event["learning_rate"])
        return found

    def adapter_digest(self) -> str:
        """SHA-256 of the adapter's weights; empty when there are none."""
        path = self.folder.adapter / "adapter_model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


class Ground:
    """A folder with the tiny model and its rows, where runs are started.

    Args:
        path: An empty folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = build_tiny_llama(path / "tiny-llama")
        self.rows = path / "rows.jsonl"
        self.rows.write_text("".join(json.dumps(_row(i)) + "\n" for i in range(48)))

    def config(self, **changes: Any) -> FinetuneConfig:
        """Twelve steps over an epoch's end, with dropout, so that every random number counts."""
        base = FinetuneConfig(
            model=str(self.model),
            method="lora",
            quantization=Quantization(bits=None),
            data=Data(train=[str(self.rows)], max_length=64, eval_fraction=0.2),
        )
        usual = {
            "training.max_steps": STEPS,
            "training.per_device_train_batch_size": 2,
            "training.gradient_accumulation_steps": 2,
            "training.precision": "fp32",
            "training.learning_rate": 0.01,
            "training.gradient_checkpointing": False,
            "lora.lora_dropout": 0.1,
            "run.eval_steps": 4,
            "run.save_steps": 2,
        }
        return apply(base, usual | changes)

    def start(self, runs: Path | None = None, device: Device = CPU, **changes: Any) -> LiveRun:
        """Launch a run; several may share the CPU."""
        plan = {"estimate": {"checkpoint_bytes": 1}}
        place = runs or self.path / "runs"
        return LiveRun(launch(self.config(**changes), plan_document=plan, device=device, runs=place, allow_busy=True))


def _row(i: int) -> dict[str, Any]:
    word = ("rank", "rate", "batch", "adapter", "model", "token", "loss", "epoch")[i % 8]
    return {
        "messages": [
            {"role": "user", "content": f"What is the {word} number {i}?"},
            {"role": "assistant", "content": f"Short answer: the {word} is {i}." + " More words follow." * (i % 3)},
        ]
    }


KILLS: dict[str, tuple[tuple[str, int], ...]] = {
    "SIGTERM to the supervisor": (("supervisor", signal.SIGTERM),),
    "SIGKILL to the worker": (("worker", signal.SIGKILL),),
    "SIGKILL to both": (("supervisor", signal.SIGKILL), ("worker", signal.SIGKILL)),
    "SIGTERM to the worker": (("worker", signal.SIGTERM),),
    "SIGABRT to the worker": (("worker", signal.SIGABRT),),
}
"""Ways to end a run: who is sent what, in this order."""
