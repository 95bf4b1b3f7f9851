"""Whole-command times: `recommend` for an 8B model with the shipped data, and whether it imported torch.

usage: python benchmarks/commands.py [--repeats 5]

Exit 1 when the median is over 1.5 s or torch was imported.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

LIMIT_SECONDS = 1.5


def main() -> int:
    """Measure, print the table, and say whether the limit holds."""
    from presets.demo import demo_data_path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="meta-llama/Llama-3.1-8B-Instruct", help="a catalogue name or a folder")
    chosen = parser.parse_args()
    wizard = str(Path(sys.executable).with_name("lora-wizard"))
    arguments = ["recommend", "--model", chosen.model, "--data", str(demo_data_path()), "--gpu", "RTX 4090", "--json"]
    times = []
    for _ in range(chosen.repeats + 1):
        began = time.perf_counter()
        done = subprocess.run([wizard, *arguments], capture_output=True, text=True, check=False)
        times.append(time.perf_counter() - began)
        if done.returncode not in {0, 1}:
            print(done.stderr, file=sys.stderr)
            return 2
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", wizard, *arguments], capture_output=True, text=True, check=False
    ).stderr
    torch_imported = any(line.rsplit("|", 1)[-1].strip() == "torch" for line in listing.splitlines())
    median = statistics.median(times[1:])
    spread = f"min {min(times[1:]):.2f}, max {max(times[1:]):.2f}"
    print(f"recommend, 8B, shipped data: median {median:.2f} s (at most {LIMIT_SECONDS}), {spread}")
    print(f"torch imported: {'yes' if torch_imported else 'no'}")
    return int(median > LIMIT_SECONDS or torch_imported)


if __name__ == "__main__":
    sys.exit(main())
