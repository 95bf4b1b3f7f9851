"""Test that the run trains the share that the Data screen shows: `python -m benchmarks.data_truth [--steps 2]`.

One data set of each shape, from those beside the repository where there are any, is trained for a few steps by the
program's own supervisor and worker, with SmolLM2-135M-Instruct, once with its chat template and once with that taken
away; the trained share in the run's start event must be the one that the screen shows for the same data and length,
to the last digit. Prints a line for each run and exits 1 when one differs or fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults import CPU, LiveRun
from recommender.config.schema import Data, FinetuneConfig
from recommender.data.load import profile_data
from recommender.model.reader import read_model
from recommender.units import percent
from trainer.models.demo import ensure_demo_model
from trainer.process.launch import launch
from tui.screens.data.text import summary

SHARED = Path(__file__).parents[2] / "shared" / "data"
"""Data sets of many makers beside the repository, which are not part of it; without them the shipped rows serve."""
LENGTH = 96
FROM_SHARED = {
    "alpaca": "alpaca_en_demo.json",
    "sharegpt with tools": "glaive_toolcall_en_demo.json",
    "text": "c4_demo.jsonl",
    "plain text": "wiki_demo.txt",
    "preference": "dpo_en_demo.json",
    "alpaca in Chinese": "alpaca_zh_demo.json",
    "alpaca, short": "identity.json",
}
MADE: dict[str, Callable[[int], dict[str, Any]]] = {
    "messages": lambda i: {
        "messages": [{"role": "user", "content": f"Ask {i}"}, {"role": "assistant", "content": f"Say {i}"}]
    },
    "prompt-completion": lambda i: {"prompt": f"Ask {i}: ", "completion": f"say {i}"},
    "kto": lambda i: {"instruction": f"Ask {i}", "response": f"Say {i}", "label": i % 3 > 0},
    "question and answer": lambda i: {"question": f"Ask {i}", "answer": f"Say {i}"},
}


def data_sets(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name and a data section for each shape."""
    for name, file in FROM_SHARED.items():
        if (SHARED / file).is_file():
            yield name, {"train": [str(SHARED / file)], **({"format": "preference"} if name == "preference" else {})}
    for name, row in MADE.items():
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row(i)) + "\n" for i in range(60)), encoding="utf-8")
        yield name, {"train": [str(path)], **({"format": "kto", "skip_bad_rows": True} if name == "kto" else {})}


def without_template(model: Path, folder: Path) -> Path:
    """The same model as one that has no chat template."""
    copy = folder / "without-template"
    copy.mkdir()
    for path in model.iterdir():
        if path.suffix == ".safetensors":
            (copy / path.name).symlink_to(path)
        elif path.name != "chat_template.jinja":
            shutil.copy(path, copy)
    settings = json.loads((copy / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings.pop("chat_template", None)
    (copy / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return copy


def trained(model: Path, data: dict[str, Any], folder: Path, steps: int) -> float:
    """The trained share in the event log of a short run.

    Raises:
        RuntimeError: The run failed.
    """
    config = {
        "model": str(model),
        "method": "lora",
        "quantization": {"bits": None},
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]},
        "data": {**data, "max_length": LENGTH, "eval_fraction": 0.01},
        "training": {
            "max_steps": steps,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "precision": "fp32",
            "optim": "adamw_torch",
        },
    }
    plan = {"estimate": {"checkpoint_bytes": 1}}
    wanted = FinetuneConfig.model_validate(config)
    run = LiveRun(launch(wanted, plan_document=plan, device=CPU, runs=folder / "runs", allow_busy=True))
    run.until_dead()
    events = run.events()
    shares = [event["trained_share"] for event in events if event["kind"] == "start"]
    ended = [(event["status"], event["reason"]) for event in events if event["kind"] == "end"]
    if not shares or [status for status, _ in ended] != ["finished"]:
        raise RuntimeError(str(ended))
    return float(shares[0])


def main() -> int:
    """Train them all, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--only", help="a part of the shapes' names")
    asked = parser.parse_args()
    held = True
    print(f"{'shape':22s} {'template':10s} {'screen':>8s} {'trained':>8s}")
    with tempfile.TemporaryDirectory(prefix="data-truth-") as name:
        folder = Path(name)
        own = ensure_demo_model()
        models = (own, without_template(own, folder))
        for shape, data in data_sets(folder):
            for model in models:
                if asked.only and asked.only not in shape:
                    continue
                profile = profile_data(
                    Data.model_validate({**data, "max_length": LENGTH}), model=read_model(str(model))
                ).profile
                screen = profile.trained_at(LENGTH) / profile.tokens_at(LENGTH)
                shown = any(percent(screen) in line.plain for line in summary(profile, LENGTH, 80))
                try:
                    worker = trained(model, data, folder, asked.steps)
                except RuntimeError as error:
                    print(f"{shape:22s} failed: {error}")
                    held = False
                    continue
                same = worker == screen and shown
                held &= same
                mark = "" if same else "  DIFFERENT"
                print(f"{shape:22s} {profile.template:10s} {screen:8.5f} {worker:8.5f}{mark}", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
