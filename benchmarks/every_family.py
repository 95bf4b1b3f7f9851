"""Model types trained end to end with random tiny weights: `python -m benchmarks.every_family [--bits 4] [TYPE...]`.

For each type, in a child of its own: the class that config.json names is saved with a tokenizer; the worker trains it
for three steps as it trains any run (preflight, samples, checkpoints, events), and resumes it from its second step,
which must give the same adapter to the bit; the adapter is merged, held against base + adapter by the merge's own
check; and the adapter is loaded by plain PEFT into the class of config.json, whose logits must be those of the trained
class with it. In 16 bits (bf16), and with --bits 4 over NF4. A line a type goes to results/every_family.jsonl (…_nf4),
types that have one are not tried again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig

from benchmarks.coverage import attention_of, configured, model_types, save
from benchmarks.each_type import reason, try_each, versions
from benchmarks.tiny_configs import VOCABULARY, small
from presets.errors import WizardError
from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig
from recommender.machine.facts import Device
from recommender.model.anatomies import keep
from tests.fixtures.tiny_classes import CONFIGS, tiny_config
from tests.fixtures.tiny_model import write_tokenizer
from trainer.anatomy.learn import learn
from trainer.classes.build import load_trained
from trainer.classes.choose import classes_of
from trainer.run.folder import RunFolder, create
from trainer.worker.after.merge import merge
from trainer.worker.loop.requests import Requests
from trainer.worker.output.adapter import adapter_for_trained
from trainer.worker.train import train

RESULTS: Final = Path(__file__).parent / "results"
CPU: Final = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=2)
MOST_OFF: Final = 1e-4
"""Largest difference of two logits, of the size of the largest, that is still the rounding of another order of sums."""
FORTY: Final = (
    "qwen3_5",
    "qwen3_5_moe",
    "gemma4",
    "gemma4_unified",
    "gpt_oss",
    "qwen3",
    "qwen3_moe",
    "qwen3_vl",
    "llama",
    "llama4",
    "muse_glimmer",
    "mistral3",
    "phi3",
    "gemma3_text",
    "gemma3",
    "lfm2",
    "granitemoehybrid",
    "nemotron_h",
    "glm4_moe_lite",
    "smollm3",
    "qwen2",
    "olmo3",
    "ernie4_5_moe",
    "mistral",
    "seed_oss",
    "hunyuan_v1_dense",
    "falcon_h1",
    "apertus",
    "qwen3_next",
    "mellum",
    "lfm2_moe",
    "kimi_linear",
    "exaone4",
    "deepseek_v3",
    "gpt_neox",
    "falcon",
    "starcoder2",
    "phi",
)
"""The families of the models that people tune most come first; then the 2023 ones, then all others."""


def ordered() -> list[str]:
    """Every type of AutoModelForCausalLM and the text towers of the others, the most used first."""
    return list(dict.fromkeys([*FORTY, *CONFIGS, *model_types()]))


def whole(model_type: str, bits: int | None) -> dict[str, Any]:
    """Train, resume, merge and serve one type; the first thing that fails ends it."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        os.environ |= dict.fromkeys(("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), place)
        stage = "build"
        try:
            base = build(model_type, Path(place) / "base")
            stage = "train"
            run, losses = trained(base, Path(place), bits)
            first = load_file(run.adapter / "adapter_model.safetensors")
            stage = "resume"
            resumed_off = resumed_alike(run, first, exact=bits is None)
            stage = "serve"
            off = served_alike(base, run.adapter)
            stage = "merge"
            into = Path(place) / "merged"
            into.mkdir()
            merged = merge(run, into)
        except (WizardError, AssertionError) as problem:
            return {"failed": stage, "why": " ".join(str(problem).split())[:300]}
        except Exception as problem:
            return {"failed": stage, "why": reason(problem)}
    return {
        "failed": None,
        "losses": losses,
        "resumed_off": resumed_off,
        "logits_off": off,
        "merge_off": merged["off"],
        "modules": merged["modules"],
    }


def build(model_type: str, folder: Path) -> Path:
    """Write a served class and a tokenizer of its vocabulary."""
    config = tiny_config(model_type) if model_type in CONFIGS else small(model_type)
    save(classes_of(config).served, config, folder)
    write_tokenizer(folder, VOCABULARY, with_template=True)
    # Learned here, where the libraries are loaded; a run asks a child for it.
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    keep(document, learn(document))
    return folder


def trained(base: Path, place: Path, bits: int | None) -> tuple[RunFolder, list[float]]:
    """Train three steps by the worker, with a checkpoint after the second; the run and its losses."""
    rows = place / "rows.jsonl"
    rows.write_text("".join(json.dumps(row(i)) + "\n" for i in range(12)), encoding="utf-8")
    classes = classes_of(AutoConfig.from_pretrained(str(base)))
    changes: dict[str, Any] = {
        "data.train": [str(rows)],
        "data.max_length": 48,
        "data.eval_fraction": 0.0,
        "data.packing": False,
        "training.precision": "bf16",
        "training.max_steps": 3,
        "training.per_device_train_batch_size": 2,
        "training.gradient_accumulation_steps": 1,
        "training.learning_rate": 0.02,
        "training.warmup_steps": 0,
        "training.lr_scheduler_type": "constant",
        "training.gradient_checkpointing": False,
        "run.save_steps": 2,
        "run.eval_steps": 100,
    }
    if bits is not None:
        changes |= {"method": "qlora", "quantization.bits": bits}
    config = configured(str(base), attention_of(classes.trained), **changes)
    run = new_run(config, place / "runs")
    assert train(run, Requests(run), resume=False) == 0
    losses = [event["loss"] for event in events(run) if event["kind"] == "step"]
    assert len(losses) == 3, f"{len(losses)} steps were logged"
    learning = next(event for event in events(run) if event["kind"] == "adapters")
    assert learning["learning"] == learning["count"], learning
    return run, losses


def row(number: int) -> dict[str, Any]:
    """A short conversation."""
    return {
        "messages": [
            {"role": "user", "content": f"What is the rank number {number}?"},
            {"role": "assistant", "content": f"The rank is {number}."},
        ]
    }


def new_run(config: FinetuneConfig, runs: Path) -> RunFolder:
    """Make a run's folder as a launch does, without its supervisor."""
    run = create(runs, "tiny")
    for path in (run.config, run.effective_config):
        path.write_text(dump_config(config), encoding="utf-8")
    run.plan.write_text(json.dumps({"device": asdict(CPU)}), encoding="utf-8")
    return run


def events(run: RunFolder) -> list[dict[str, Any]]:
    """The run's record."""
    return [json.loads(line) for line in run.events.read_text(encoding="utf-8").splitlines()]


def resumed_alike(run: RunFolder, first: Mapping[str, torch.Tensor], *, exact: bool) -> float:
    """Go on from the second step once more: the adapter must be the same, over NF4 to the last place of bf16.

    Returns:
        The largest difference of two weights.
    """
    for path in run.checkpoints.glob("checkpoint-*"):
        if path.name != "checkpoint-2":
            shutil.rmtree(path)
    shutil.rmtree(run.adapter)
    assert train(run, Requests(run), resume=True) == 0
    again = load_file(run.adapter / "adapter_model.safetensors")
    assert again.keys() == first.keys()
    off = max(float((again[name].float() - first[name].float()).abs().max()) for name in first)
    size = max(float(tensor.float().abs().max()) for tensor in first.values())
    assert off <= (0.0 if exact else size * 2**-7), f"the resumed adapter is off by {off}"
    return off


def served_alike(base: Path, adapter: Path) -> float:
    """Hold plain PEFT over the class of config.json against the trained class; returns the largest difference."""
    classes = classes_of(AutoConfig.from_pretrained(str(base)))
    trained_class = load_trained(classes, base, dtype=torch.float32)
    here = PeftModel.from_pretrained(trained_class, str(adapter_for_trained(adapter))).eval()
    there = classes.served.from_pretrained(str(base), dtype=torch.float32)
    plain = logits(there.eval())
    there = PeftModel.from_pretrained(there, str(adapter)).eval()
    ids = logits(here), logits(there)
    size = float(ids[0].abs().max())
    off = float((ids[0] - ids[1]).abs().max()) / size
    moved = float((ids[1] - plain).abs().max()) / size
    assert off <= MOST_OFF < moved, (
        f"logits are off by {off:.2g} of their size, and the adapter moves them by {moved:.2g}"
    )
    return off


def logits(model: Any) -> torch.Tensor:
    """Of two fixed rows."""
    ids = torch.randint(20, 256, (2, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return found.float()


def shown(line: Mapping[str, Any]) -> str:
    """One type in a line."""
    if line.get("failed") is None and "error" not in line:
        return f"{line['type']:26s} ok   {line['seconds']:6.1f} s  losses {[round(x, 2) for x in line['losses']]}"
    return (
        f"{line['type']:26s} FAIL {line['seconds']:6.1f} s  {line.get('failed')}: {line.get('why', line.get('error'))}"
    )


def main() -> int:
    """Go through them and count; exit 1 where fewer than 90 types pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--bits", type=int, choices=[4], default=None)
    parser.add_argument("--hours", type=float, default=2.0, help="begin no further type after so long")
    chosen = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    kept = RESULTS / f"every_family{'_nf4' if chosen.bits else ''}.jsonl"
    ends = time.monotonic() + 3600 * chosen.hours
    lines = []
    for model_type in chosen.types or ordered():
        if time.monotonic() < ends:
            lines += try_each([model_type], lambda name: whole(name, chosen.bits), kept, shown)
    passed = [line["type"] for line in lines if line.get("failed") is None and "error" not in line]
    print(f"\n{versions()}\n{len(passed)} of {len(lines)} types")
    return 0 if len(passed) >= 90 else 1


if __name__ == "__main__":
    sys.exit(main())
