"""Whole-command times: `recommend` for an 8B model with the shipped data, and whether it imported torch.

usage: python -m benchmarks.commands [--repeats 5]

Exit 1 when the median of the processor time is over the limit, a multiple of the reference work (`benchmarks.pace`), or
torch was imported.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.pace import Pace

LIMIT = 230.0
"""Of the median, in multiples of the reference work."""


def of_children() -> float:
    """Return the processor seconds of all programs that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Measure, print the table, and say whether the limit holds."""
    from presets.demo import demo_data_path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="meta-llama/Llama-3.1-8B-Instruct", help="a catalogue name or a folder")
    chosen = parser.parse_args()
    wizard = str(Path(sys.executable).with_name("lora-wizard"))
    arguments = ["recommend", "--model", chosen.model, "--data", str(demo_data_path()), "--gpu", "RTX 4090", "--json"]
    pace, times, clock = Pace(), [], []
    for _ in range(chosen.repeats + 1):
        pace.sample(10)
        began, at = of_children(), time.perf_counter()
        done = subprocess.run([wizard, *arguments], capture_output=True, text=True, check=False)
        clock.append(time.perf_counter() - at)
        times.append(of_children() - began)
        if done.returncode not in {0, 1}:
            print(done.stderr, file=sys.stderr)
            return 2
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", wizard, *arguments], capture_output=True, text=True, check=False
    ).stderr
    torch_imported = any(line.rsplit("|", 1)[-1].strip() == "torch" for line in listing.splitlines())
    print(f"recommend, 8B, shipped data, by the clock: median {statistics.median(clock[1:]):.2f} s")
    held = pace.judge("processor time", statistics.median(times[1:]), LIMIT)
    print(f"torch imported: {'yes' if torch_imported else 'no'}")
    return int(not held or torch_imported)


if __name__ == "__main__":
    sys.exit(main())
