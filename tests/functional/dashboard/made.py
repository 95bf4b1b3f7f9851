"""Run folders made by hand, step by step, as a worker and a supervisor would leave them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trainer.run.events import Kind, event
from trainer.run.folder import RunFolder, append_line
from trainer.run.identity import Process
from trainer.run.state import RunState, fold, write_state

BEGAN = 1_763_700_000.0
CONFIG = "model: HuggingFaceTB/SmolLM2-135M-Instruct\nmethod: lora\ndata: {train: [house-style.jsonl]}\n"


GONE = Process(2**22 + 1, 0.0, "another boot")
"""A process that is no more."""


@dataclass
class MadeRun:
    """A run folder and the clock of whoever writes it."""

    path: Path
    now: float = BEGAN
    total: int = 400
    alive: bool = True
    state: RunState = field(default_factory=RunState)
    seed: int = 0
    shape: Callable[[int], float] | None = None
    """Loss level by step; one that falls well when None."""
    noise: float = 0.07

    def __post_init__(self) -> None:
        self.path.mkdir(mode=0o700, parents=True)
        self.folder = RunFolder(self.path)
        self.folder.config.write_text(CONFIG)
        self.folder.marker.touch()
        process = Process.this() if self.alive else GONE
        self.state = replace(self.state, supervisor=process, worker=process, started=self.now)
        self._random = random.Random(self.seed)
        self.save()

    def clock(self) -> float:
        return self.now

    def say(self, kind: Kind, after: float = 0.0, **keys: Any) -> None:
        """Append an event, `after` seconds later."""
        self.now += after
        made = event(kind, self.now, **keys)
        if kind == "end":
            self.state = replace(self.state, supervisor=GONE, worker=GONE)
        append_line(self.folder.events, made)
        self.state = fold(self.state, made)
        self.save()

    def save(self) -> None:
        self.state = replace(self.state, heartbeat=self.now)
        write_state(self.folder, self.state)

    def begin(self) -> None:
        """Everything until the first step."""
        self.say("status", status="loading")
        self.say(
            "start", 2, model="HuggingFaceTB/SmolLM2-135M-Instruct", method="lora", device="cpu",
            total_steps=self.total, epochs=2.0, trainable_parameters=4_884_480, train_rows=222, eval_rows=19,
        )  # fmt: skip
        self.say(
            "preflight",
            3,
            process_bytes=1_503_238_553,
            predicted_bytes=1_395_864_371,
            step_seconds=1.4,
            rows=4,
            length=96,
        )
        self.say("status", status="training")
        self.say("eval", 5, step=0, eval_loss=2.3141, rows=19, seconds=4.2, best=True)
        self.say("sample", 2, step=0, when="before", prompt="What is LoRA?", expected="Short answer: it is small.",
                 answer="LoRA is a radio technology.\nIt is used for the internet of things.")  # fmt: skip

    def train(self, until: int, *, evaluate_every: int = 100, seconds: float = 1.2) -> None:
        """Steps after the present one up to `until`, with evaluations and checkpoints."""
        lines = []
        for step in range(self.state.step + 1, until + 1):
            self.now += seconds
            lines.append(event("step", self.now, **self.figures(step, seconds)))
            if step % evaluate_every == 0:
                self._append(lines)
                lines = []
                self.say(
                    "eval", 4, step=step, eval_loss=round(self.level(step) + 0.02, 4), rows=19, seconds=3.9, best=True
                )
                self.say(
                    "checkpoint", 1, step=step, path=f"checkpoints/checkpoint-{step}", bytes=58_720_256, seconds=0.8
                )
        self._append(lines)
        self.say("device", cpu_percent=97.0, rss_bytes=1_610_612_736, memory_used=6 * 2**30, memory_total=16 * 2**30)

    def level(self, step: int) -> float:
        return self.shape(step) if self.shape else 0.9 + 1.4 * math.exp(-step / (self.total / 5))

    def figures(self, step: int, seconds: float) -> dict[str, Any]:
        return {
            "step": step,
            "epoch": round(step / self.total * 2, 3),
            "loss": round(self.level(step) + self._random.gauss(0, self.noise), 4),
            "learning_rate": 2.9e-4 * 0.5 * (1 + math.cos(math.pi * step / self.total)),
            "grad_norm": round(0.4 + 0.5 * math.exp(-step / 40) + abs(self._random.gauss(0, 0.05)), 4),
            "tokens": step * 210,
            "tokens_per_second": round(175 + self._random.gauss(0, 5), 1),
            "step_seconds": seconds,
            "memory_bytes": 1_503_238_553,
        }

    def finish(self) -> None:
        """A good end."""
        answer = "Short answer: LoRA trains two small matrices.\nWhy: the change is low rank.\nTry: r 16."
        self.say("sample", 2, step=self.total, when="after", prompt="What is LoRA?", answer=answer)
        (self.path / "adapter").mkdir(exist_ok=True)
        (self.path / "adapter" / "adapter_config.json").write_text("{}")
        self.say(
            "end", 1, status="finished", first_eval_loss=2.3141, last_eval_loss=0.93, best_eval_loss=0.93,
            best_step=self.total, adapter="adapter", steps=self.total, tokens=self.total * 210,
            seconds=self.now - BEGAN, peak_bytes=1_503_238_553, predicted_bytes=1_395_864_371,
        )  # fmt: skip

    def fail(self, reason: str, **keys: Any) -> None:
        """A bad end that was noticed."""
        self.log("Traceback (most recent call last):", "torch.OutOfMemoryError: CUDA out of memory.")
        self.say("end", 1, status="failed", reason=reason, **keys)

    def log(self, *lines: str) -> None:
        with self.folder.log.open("a") as stream:
            stream.writelines(f"{line}\n" for line in lines)

    def _append(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            append_line(self.folder.events, line)
            self.state = fold(self.state, line)
        self.save()
