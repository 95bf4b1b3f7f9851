"""Allocator cache left by mixed lengths: `python -m benchmarks.mixed_lengths [--steps N] [--orders N]`.

One step of a real model class is traced on fake tensors at two lengths; its storages grow in a straight line between
them, so that a step of any length can be replayed. Runs of random lengths then go through the simulated caching
allocator, and what it holds beyond a run of the longest alone is set against the formula's loss times the earlier
records (`recommender/memory/lengths.py`). LoRA with and without checkpointing and a full fine-tune of a small model
with a large vocabulary; rows spread evenly, and lognormal ones. Some two minutes. Exit 1 when the median share of a
LoRA run with checkpointing is not within 0.1 of `fitted.LEFT_AT_MOST`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log
from statistics import median
from typing import Any

from benchmarks.reference_rows import GIB
from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_from_catalogue
from recommender.memory.allocator import CachingAllocator
from recommender.memory.fitted import LEFT_AT_MOST
from recommender.memory.loss import loss_bytes
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.families import spec_from_config
from trainer.trace.architecture import architecture_of
from trainer.trace.order import make_order
from trainer.trace.record import HOST

LIMIT = 2048
NEAR = 0.1
MODEL = {
    "model_type": "qwen2",
    "hidden_size": 2048,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "intermediate_size": 5504,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}
DRAWS: dict[str, Callable[[random.Random], int]] = {
    "even": lambda pick: pick.randint(LIMIT // 16, LIMIT),
    "lognormal": lambda pick: max(16, min(LIMIT, round(pick.lognormvariate(log(LIMIT / 4), 0.7)))),
}


@dataclass(frozen=True, slots=True)
class Tape:
    """A step's births (the number of a storage plus one) and deaths (its negative), with the sizes at two lengths."""

    events: Sequence[int]
    lengths: tuple[int, int]
    sizes: tuple[Sequence[int], Sequence[int]]

    def at(self, length: int) -> list[int]:
        """Bytes of each storage at a length."""
        (shorter, longer), (few, many) = self.lengths, self.sizes
        share = (length - shorter) / (longer - shorter)
        return [round(one + (other - one) * share) for one, other in zip(few, many, strict=True)]


def case_of(method: str, *, checkpointing: bool) -> Workload:
    """All logits, fixed segments."""
    config = FinetuneConfig.model_validate(
        {
            "model": "mixed",
            "method": method,
            "quantization": {"bits": None},
            "data": {"max_length": LIMIT, "packing": False},
            "training": {
                "per_device_train_batch_size": 1,
                "gradient_accumulation_steps": 1,
                "gradient_checkpointing": checkpointing,
                "attn_implementation": "flash_attention_2",
                "optim": "adamw_torch",
            },
        }
    )
    card = device_from_catalogue("A100 SXM 80GB")
    return resolve_workload(config, spec_from_config(MODEL, "mixed"), card, None, STACKS["hf-trainer-noupcast"])


def record(case: Workload) -> tuple[Sequence[int], Tape]:
    """Bytes by storage that stay after the first step, and the tape of a later one."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    from trainer.trace.kernels import HIDDEN
    from trainer.trace.model import build_model, give_tensors
    from trainer.trace.record import Recorder
    from trainer.trace.step import Run
    from trainer.worker.setup.before_training import as_in_training

    lengths = (LIMIT // 2, LIMIT)
    order = make_order(case, architecture_of(case.model))
    model, recorder = build_model(order), Recorder(HIDDEN)
    with FakeTensorMode(allow_non_fake_inputs=True), ExitStack() as stack:
        stack.enter_context(recorder)
        run = Run(model, give_tensors(model, order, recorder), order, recorder, lambda *_: None)
        stack.enter_context(as_in_training(model, order.finetune.training))
        run.step(keeps_gradients=False)
        marks = [len(recorder.recording.events)]
        for length in lengths:
            run.order = replace(order, length=length, trained_tokens=length - 1)
            run.step(keeps_gradients=False)
            marks.append(len(recorder.recording.events))
        recording = recorder.recording
        events = list(recording.events)
        del run, model
    sizes = [0 if kind == HOST else size for size, kind in zip(recording.sizes, recording.categories, strict=True)]
    staying = set[int]()
    for event in events[: marks[0]]:
        (staying.add if event > 0 else staying.discard)(abs(event))
    one, other = (numbered(events[begin:end], sizes) for begin, end in pairwise(marks))
    if one[0] != other[0]:
        raise ValueError("steps of two lengths are not the same operations")
    return [sizes[event - 1] for event in staying if event], Tape(one[0], lengths, (one[1], other[1]))


def numbered(events: Sequence[int], sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """A step's own storages numbered from 1, and their bytes; what was there before is left out."""
    names: dict[int, int] = {}
    own: list[int] = []
    for event in events:
        if event > 0:
            names[event] = len(names) + 1
        if abs(event) in names:
            own.append(names[abs(event)] if event > 0 else -names[abs(event)])
    return own, [sizes[event - 1] for event in names]


def reserved(staying: Sequence[int], tape: Tape, lengths: Sequence[int]) -> int:
    """Bytes that a run of these lengths takes from the driver."""
    allocator = CachingAllocator()
    for size in staying:
        if size:
            allocator.allocate(size)
    for length in lengths:
        sizes, live = tape.at(length), dict[int, Any]()
        for event in tape.events:
            if event > 0:
                if sizes[event - 1] > 0:
                    live[event] = allocator.allocate(sizes[event - 1])
            elif -event in live:
                allocator.release(live.pop(-event))
        for block in live.values():
            allocator.release(block)
    return allocator.peak_reserved


def earlier(lengths: Sequence[int]) -> float:
    """Records before the longest, in its length."""
    total = longest = 0
    for length in lengths:
        if length > longest:
            total, longest = total + longest, length
    return total / longest


def shares(case: Workload, steps: int, orders: int) -> list[float]:
    """Printed run by run: what is left, over the loss at the longest times the earlier records."""
    staying, tape = record(case)
    found = []
    training = case.config.training
    for name, draw in DRAWS.items():
        for seed in range(orders):
            pick = random.Random(seed)
            lengths = [draw(pick) for _ in range(steps)]
            longest, records = max(lengths), earlier(lengths)
            left = reserved(staying, tape, lengths) - reserved(staying, tape, [longest] * 2)
            loss = loss_bytes(case) * longest / LIMIT
            said = f"{case.config.method} ckpt={training.gradient_checkpointing} {name:9s} longest {longest:4d}"
            print(
                f"{said} records {records:4.2f} left {left / GIB:5.2f} GiB = {left / loss:4.2f} of the loss", flush=True
            )
            if records > 0.5:
                found.append(left / loss / records)
    return found


def main() -> int:
    """Print every run and the median share of each way of training; 1 when the first is another than `fitted` says."""
    words = sys.argv[1:]
    steps = int(words[words.index("--steps") + 1]) if "--steps" in words else 60
    orders = int(words[words.index("--orders") + 1]) if "--orders" in words else 4
    medians = []
    for method, checkpointing in (("lora", True), ("lora", False), ("full", True)):
        found = shares(case_of(method, checkpointing=checkpointing), steps, orders)
        medians.append(median(found))
        print(f"{method}, checkpointing {checkpointing}: left over loss × records, median {medians[-1]:.2f}")
    return int(abs(medians[0] - LEFT_AT_MOST) > NEAR)


if __name__ == "__main__":
    sys.exit(main())
