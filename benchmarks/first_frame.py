"""Time from exec to the first painted screen, against a two-widget Textual app in the same run.

usage: python benchmarks/first_frame.py [--repeats 7] [--json FILE]

Each program is started in a pseudo-terminal of 120×40 by fork and exec, alternating, and timed until the terminal holds
a painted frame: the text of its footer or label. Exit 1
when the ratio is over the limit. (What is imported by then is held by tests/functional/test_first_frame.py.)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pexpect

LIMIT = 2.0
BASELINE = """
from textual.app import App, ComposeResult
from textual.widgets import Footer, Label

class Two(App):
    BINDINGS = [("q", "quit", "quit")]
    def compose(self) -> ComposeResult:
        yield Label("painted")
        yield Footer()

Two().run()
"""


def environment() -> dict[str, str]:
    """A terminal as over SSH, with runs and caches of its own."""
    kept = {key: value for key, value in os.environ.items() if key not in {"COLORTERM", "TEXTUAL"}}
    return kept | {"TERM": "xterm-256color", "LORA_WIZARD_RUNS": tempfile.mkdtemp()}


def seconds_to(painted: str, command: str, arguments: list[str]) -> float:
    """Seconds from exec until the terminal was sent the text."""
    began = time.perf_counter()
    child = pexpect.spawn(command, arguments, dimensions=(40, 120), env=environment(), timeout=30)
    child.expect_exact(painted)
    took = time.perf_counter() - began
    child.close(force=True)
    return took


def main() -> int:
    """Measure, print the table, and say whether the limit holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    wizard = str(Path(sys.executable).with_name("lora-wizard"))
    times: dict[str, list[float]] = {"two widgets": [], "lora-wizard": []}
    for _ in range(chosen.repeats + 1):
        times["two widgets"].append(seconds_to("painted", sys.executable, ["-c", BASELINE]))
        times["lora-wizard"].append(seconds_to("Machine", wizard, []))
    # The first of each warms the disk cache.
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    ratio = medians["lora-wizard"] / medians["two widgets"]
    print(f"{'program':<14}{'median s':>10}{'min s':>9}{'max s':>9}")
    for name, values in times.items():
        print(f"{name:<14}{medians[name]:>10.3f}{min(values[1:]):>9.3f}{max(values[1:]):>9.3f}")
    print(f"ratio {ratio:.2f} (at most {LIMIT})")
    if chosen.json:
        chosen.json.write_text(json.dumps({"seconds": medians, "ratio": ratio}, indent=2) + "\n")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
