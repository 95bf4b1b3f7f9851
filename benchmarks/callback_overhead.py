"""Time inside the worker's callback and event log, against the steps of the tiny model.

usage: python benchmarks/callback_overhead.py [--steps 200]

A real run under a real supervisor on this CPU. Exit 1 when the share is over 1 %.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 0.01


def main() -> int:
    """Run, print the table, and say whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    chosen = parser.parse_args()
    from recommender.config.schema import Data, FinetuneConfig, Quantization, Training
    from recommender.machine.facts import Device
    from tests.fixtures.tiny_model import build_tiny_llama
    from trainer.history.reader import RunReader
    from trainer.process.launch import launch

    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        os.environ["XDG_STATE_HOME"] = scratch
        rows = here / "rows.jsonl"
        row = {"prompt": "What is the rank of the adapter?", "completion": "The rank is sixteen, as a start."}
        rows.write_text("".join(json.dumps({**row, "prompt": f"{row['prompt']} {i}"}) + "\n" for i in range(64)))
        config = FinetuneConfig(
            model=str(build_tiny_llama(here / "model")),
            method="lora",
            quantization=Quantization(bits=None),
            data=Data(train=[str(rows)], max_length=64, eval_fraction=0.0),
            training=Training(
                max_steps=chosen.steps,
                per_device_train_batch_size=4,
                gradient_accumulation_steps=4,
                precision="fp32",
            ),
        )
        device = Device(kind="cpu", name="cpu", free_bytes=2**33, total_bytes=2**33)
        reader = RunReader(launch(config, plan_document={}, device=device, runs=here / "runs"))
        while not (shot := reader.poll()).state.ended or shot.alive:
            time.sleep(0.5)
    if shot.status != "finished":
        print(shot.state.reason, file=sys.stderr)
        return 2
    stepping = sum(point.step_seconds or 0.0 for point in shot.steps)
    recording = float(shot.end["recording_seconds"])
    steps = len(shot.steps)
    print(
        f"steps {steps}   a step {stepping / steps * 1000:.1f} ms   recording {recording / steps * 1000:.3f} ms a step"
    )
    print(f"share {recording / stepping * 100:.2f} % (at most {LIMIT * 100:.0f} %)")
    return int(recording / stepping > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
