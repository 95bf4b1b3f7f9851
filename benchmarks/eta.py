"""Time left as told after 20 steps of a real run, against what it took: `python -m benchmarks.eta [RUN] [--steps 200]`.

RUN is the folder of a run that has ended, such as the demo's. Without one: a run of the tiny model on rows of many
lengths, with evaluations and checkpoints, under a real supervisor on this CPU, whose steps of 60 ms are a hard case.
What is compared is the dashboard's own figure. With nothing else running: a machine whose speed changes under the run
cannot be foretold. Exit 1 when it is off by more than 8 % (or the second that it is rounded to).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from recommender.config.schema import Data, FinetuneConfig, Quantization, Run, Training
from recommender.machine.facts import Device
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.history.columns import Steps
from trainer.history.reader import RunReader, Snapshot
from trainer.process.launch import launch
from tui.dashboard.time_left import seconds_left

LIMIT = 0.08
AFTER = 20
GRAIN = 1.0
WORDS = ["the", "adapter", "is", "trained", "while", "the", "weights", "of", "the", "base", "model", "stay", "frozen"]


def write_rows(path: Path, count: int) -> None:
    """Rows of 4 to 120 words."""
    dice = random.Random(0)
    lines = []
    for number in range(count):
        answer = " ".join(dice.choices(WORDS, k=dice.randint(4, 120)))
        lines.append(json.dumps({"prompt": f"Question {number}?", "completion": answer}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_to_its_end(here: Path, steps: int) -> Snapshot:
    """Train the tiny model; returns the run as it ended."""
    os.environ["XDG_STATE_HOME"] = str(here)
    write_rows(here / "rows.jsonl", 400)
    config = FinetuneConfig(
        model=str(build_tiny_llama(here / "model")),
        method="lora",
        quantization=Quantization(bits=None),
        data=Data(train=[str(here / "rows.jsonl")], max_length=256, eval_fraction=0.05),
        training=Training(
            max_steps=steps, per_device_train_batch_size=4, gradient_accumulation_steps=2, precision="fp32"
        ),
        run=Run(eval_steps=max(5, steps // 20), save_steps=max(5, steps // 20)),
    )
    device = Device(kind="cpu", name="cpu", free_bytes=2**33, total_bytes=2**33)
    reader = RunReader(launch(config, plan_document={}, device=device, runs=here / "runs"))
    while not (shot := reader.poll()).state.ended or shot.alive:
        time.sleep(0.5)
    return shot


def as_it_was(shot: Snapshot, step: int) -> Snapshot:
    """The run as the dashboard saw it when this step had just been taken."""
    known = Steps.of(point for point in shot.steps if point.step <= step)
    return replace(shot, steps=known, state=replace(shot.state, status="training"), died="")


def main() -> int:
    """Run, look back, print, and say whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    chosen = parser.parse_args()
    if chosen.run:
        shot = RunReader(chosen.run).poll()
    else:
        with tempfile.TemporaryDirectory() as scratch:
            shot = run_to_its_end(Path(scratch), chosen.steps)
    if shot.status != "finished":
        print(shot.state.reason, file=sys.stderr)
        return 2
    missed = False
    total = int(shot.steps[-1].step)
    for step in sorted({AFTER, total // 4, total // 2}):
        then = as_it_was(shot, step)
        told, took = seconds_left(then), float(shot.end["t"]) - then.steps[-1].t
        assert told is not None
        off = told / took - 1
        print(f"after step {step:4d} of {total}: told {told:6.1f} s, took {took:6.1f} s, {off:+.1%}")
        missed = missed or (step == AFTER and abs(told - took) > max(GRAIN, LIMIT * took))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
