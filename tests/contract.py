"""Holds a lora-wizard command to what scripts may rely on: JSON keys, exit codes, and nothing else on standard output.

    python -m tests.contract [COMMAND]

Needs no GPU, no hub and no weights. Prints a line for each check; exit code 1 if one fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Check = tuple[str, bool, object]
"""What is checked, whether it holds, and what was found."""

LLAMA_8B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "rope_theta": 500000.0,
    "torch_dtype": "bfloat16",
}
ROWS = ("--rows", "50000", "--tokens", "200")
CARD = ("--gpu", "RTX 4090")
STACKS = ("hf-trainer", "hf-trainer-noupcast", "hf-trainer+liger")

PLAN = ["config", "estimate", "reasons", "alternatives", "remedies", "warnings", "machine", "model", "data"]
CONFIG = ["model", "method", "quantization", "lora", "data", "training", "run"]
TRAINING = [
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "optim",
    "max_grad_norm",
    "precision",
    "gradient_checkpointing",
    "attn_implementation",
    "seed",
]
REASON = {"value", "why", "source", "confidence"}
ESTIMATE = ["fits", "free_bytes", "peak", "parts", "basis", "time"]
PEAK = ["allocated_bytes", "reserved_bytes", "process_bytes", "low_bytes", "high_bytes"]


@dataclass(frozen=True)
class Place:
    """A folder to work in, and the command that is held to the contract."""

    command: str
    folder: Path

    @classmethod
    def make(cls, command: str, folder: Path) -> Place:
        """Write a model's config.json, and files that an unwary child process would import in place of others."""
        model = folder / "llama-8b"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(LLAMA_8B), encoding="utf-8")
        (folder / "trainer.py").write_text("raise SystemExit('shadowed')\n", encoding="utf-8")
        (folder / "datasets").mkdir()
        return cls(command, folder)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command with these arguments in the folder."""
        return subprocess.run(
            [self.command, *arguments], capture_output=True, text=True, encoding="utf-8", cwd=self.folder, check=False
        )


def checks(place: Place) -> Iterator[Check]:
    """All checks, one by one."""
    yield from _document(place, ("probe",), ["gpus", "host", "software"])
    yield from _plan(place)
    yield from _estimates(place)
    yield from _document(place, ("runs",), ["runs"], exits=(0,))
    yield from _document(place, ("doctor",), ["checks"])
    yield from _bad_input(place)


def _document(
    place: Place, arguments: tuple[str, ...], wanted: list[str], exits: tuple[int, ...] = (0, 1)
) -> Iterator[Check]:
    name = " ".join(arguments[:1])
    done = place.run(*arguments, "--json")
    yield f"{name}: exit code", done.returncode in exits, (done.returncode, done.stderr[-200:])
    document = _read(done.stdout)
    yield f"{name}: stdout is one JSON document", document is not None, done.stdout[:120]
    yield _has(name, document or {}, wanted)


def _plan(place: Place) -> Iterator[Check]:
    asked = ("recommend", "--model", "llama-8b", *ROWS, *CARD, "-o", "config.yaml", "--json")
    done = place.run(*asked)
    plan = _read(done.stdout) or {}
    yield "recommend: exit code", done.returncode in (0, 1), (done.returncode, done.stderr[-200:])
    yield _has("recommend", plan, PLAN)
    config = plan.get("config", {})
    yield _has("config", config, CONFIG)
    yield _has("config.training", config.get("training", {}), TRAINING)
    reasons = plan.get("reasons", {})
    values = [f"{section}.{key}" for section in ("lora", "training") for key in config.get(section, {})]
    unexplained = [key for key in values if key not in reasons]
    yield "each lora and training value has a reason", bool(values) and not unexplained, unexplained
    short = {key: sorted(reason) for key, reason in reasons.items() if not set(reason) >= REASON}
    yield "each reason has value, why, source and confidence", bool(reasons) and not short, short
    yield "recommend -o writes the file", (place.folder / "config.yaml").is_file(), "no config.yaml"


def _estimates(place: Place) -> Iterator[Check]:
    done = place.run("estimate", "config.yaml", *ROWS, *CARD, "--json")
    price = _read(done.stdout) or {}
    yield "estimate: exit code", done.returncode in (0, 1), (done.returncode, done.stderr[-200:])
    yield _has("estimate", price, ESTIMATE)
    peak, parts = price.get("peak", {}), price.get("parts", {})
    yield _has("estimate.peak", peak, PEAK)
    sum_is_peak = bool(parts) and sum(parts.values()) == peak.get("process_bytes")
    yield "parts add up to process_bytes", sum_is_peak, (parts, peak)
    numbers = [*parts.values(), *peak.values()]
    yield "bytes are whole numbers", all(isinstance(number, int) for number in numbers), numbers
    for stack in STACKS:
        of_stack = place.run("estimate", "config.yaml", "--stack", stack, "--gpu-memory", "24GiB", "--json")
        yield f"estimate --stack {stack}", of_stack.returncode in (0, 1), of_stack.stderr[-200:]
        yield f"estimate --stack {stack}: JSON", _read(of_stack.stdout) is not None, of_stack.stdout[:120]
    small = place.run("estimate", "config.yaml", "--gpu-memory", "4GiB", "--json")
    yield "what does not fit: exit code 1", small.returncode == 1, small.returncode


def _bad_input(place: Place) -> Iterator[Check]:
    good = (place.folder / "config.yaml").read_text(encoding="utf-8")
    (place.folder / "bad.yaml").write_text(good + "\nlearning_rat: 3\n", encoding="utf-8")
    bad = {
        "an unknown key": ("estimate", "bad.yaml", "--gpu-memory", "24GiB"),
        "a missing file": ("estimate", "none.yaml"),
        "an unknown GPU": ("recommend", "--model", "llama-8b", "--gpu", "RTX 9999"),
        "no such model folder": ("recommend", "--model", "./nothing", "--gpu", "T4"),
    }
    for name, arguments in bad.items():
        done = place.run(*arguments)
        told = bool(done.stderr.strip()) and "Traceback" not in done.stderr and done.stderr.count("error:") == 1
        held = done.returncode == 2 and told and not done.stdout
        yield f"{name}: exit code 2, one message, nothing on stdout", held, (done.returncode, done.stderr[-200:])


def _has(name: str, document: Mapping[str, Any], wanted: list[str]) -> Check:
    missing = [key for key in wanted if key not in document]
    return f"{name}: keys", not missing, f"missing: {missing}"


def _read(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def main() -> int:
    """Check the command named on the command line, or the one on PATH."""
    command = sys.argv[1] if len(sys.argv) > 1 else "lora-wizard"
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, holds, found in checks(Place.make(command, Path(folder))):
            print(f"ok    {name}" if holds else f"FAIL  {name}: {found}")
            failed += not holds
    print(f"{failed} failed" if failed else "all hold")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
