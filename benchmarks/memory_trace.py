"""Hold the trace against public measurements of allocated memory: `python -m benchmarks.memory_trace [--rows] [N ...]`.

The rows of memory_t4.csv, and those of memory_a100.csv on one GPU with `none`, `baseline-peft-bnb` and
`accelerated-peft-bnb`. Exit 1 when a limit is missed. Runs in this process, with torch.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from benchmarks.memory_reference import summary
from benchmarks.reference_rows import GIB, Row, load_rows
from recommender.memory.workload import HALF
from trainer.trace.architecture import architecture_of
from trainer.trace.order import Order, make_order

MEAN, WORST = 0.005, 0.02


def order_of(row: Row) -> Order:
    """The trace order of a reference row.

    Two facts about the A100 rows that the formula's stacks do not tell apart. Their steady memory is the same with
    and without the upcast (4.01 GiB of Mistral-7B, 2.00 of PowerLM-3b), which leaves no room for an fp32 embedding and
    head: only the norms were upcast, as TRL's `peft_module_casting_to_bf16` did. And PowerLM's rows are of a
    Transformers that turned Granite's logits into fp32 in place of the ones in half, then copied them to shift them.
    """
    order = make_order(row.case(), architecture_of(row.model))
    if row.group != "a100":
        return order
    if row.source.endswith("baseline-peft-bnb"):
        order = replace(order, plain=HALF, norms=4, empties_cache=True)
    return replace(order, shifted="instead") if "granite" in row.source else order


def allocated(row: Row) -> int:
    """The trace's answer, bytes."""
    from trainer.trace.__main__ import Speaker, trace_order

    class Silent(Speaker):
        def progress(self, phase: str, done: int, total: int) -> None:
            """Nothing."""

    return int(trace_order(order_of(row), Silent())["allocated"])


def main() -> int:
    """Print the table; 1 when a limit is missed."""
    chosen = {int(word) for word in sys.argv[1:] if word.isdigit()}
    rows = [row for row in load_rows() if row.scored]
    errors: dict[str, list[float]] = {"t4": [], "a100": []}
    for number, row in enumerate(rows):
        if chosen and number not in chosen:
            continue
        began = time.monotonic()
        mine = allocated(row)
        errors[row.group].append(mine / row.allocated - 1)
        if "--rows" in sys.argv:
            print(
                f"{row.label:68s} {row.allocated / GIB:7.3f} {mine / GIB:7.3f} {mine / row.allocated - 1:+7.2%}"
                f"  {time.monotonic() - began:5.1f} s",
                flush=True,
            )
    for name, found in errors.items():
        if found:
            print(f"allocated, {name:5s}", summary(found))
    every = [abs(error) for found in errors.values() for error in found]
    print("allocated, all  ", summary(every))
    return int(sum(every) / len(every) > MEAN or max(every) > WORST)


if __name__ == "__main__":
    sys.exit(main())
