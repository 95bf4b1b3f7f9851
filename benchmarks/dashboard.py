"""Cost of the dashboard: at rest on a live run, and to open a run of 200 000 steps.

usage: python -m benchmarks.dashboard [--seconds 40] [--steps 200000]

`lora-wizard watch` in a pseudo-terminal of 120×40, on run folders that this program writes. At rest: a step a second
and a device reading every five, as a live run of that speed writes them; counted are the processor's time, the bytes
that come out of the terminal and the repaints (what comes without a pause of 20 ms is one). Opening: the time from
exec until the terminal holds a curve, in seconds and in the processor's, and until it holds the last step; the most
memory that the process had. First frame: from exec until something of the dashboard is painted, against a two-widget
Textual app. Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil
import pyte

from benchmarks.first_frame import BASELINE, environment, seconds_to
from tests.functional.dashboard.made import MadeRun
from trainer.run.events import event

CORE_SHARE, BYTES_A_SECOND, REPAINTS_A_SECOND = 0.03, 2048.0, 4.0
OPEN_SECONDS, OPEN_BYTES, FRAMES = 1.0, 150 * 2**20, 3.0
SETTLING_SECONDS = 6.0
BURST_SECONDS = 0.02
WIZARD = str(Path(sys.executable).with_name("lora-wizard"))


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value with its limit."""

    name: str
    value: float
    limit: float
    shown: str

    @property
    def held(self) -> bool:
        """Whether it is within the limit."""
        return self.value <= self.limit


def spawn(run: Path) -> pexpect.spawn:
    """The dashboard of a run in a terminal."""
    return pexpect.spawn(WIZARD, ["watch", str(run)], dimensions=(40, 120), env=environment(), timeout=30)


def live_run(folder: Path) -> MadeRun:
    """A run that this process keeps alive, some way in."""
    made = MadeRun(folder / "live", now=time.time() - 700, total=5000)
    made.begin()
    made.train(500)
    made.now = time.time()
    made.save()
    return made


def keep_alive(made: MadeRun, left: threading.Event) -> None:
    """A step each second, a reading each fifth, until told to leave."""
    while not left.wait(1.0):
        made.now = time.time()
        step = made.state.step + 1
        made.say("step", **made.figures(step, 1.0))
        if step % 5 == 0:
            made.say("device", **reading(step))


def reading(step: int) -> dict[str, float]:
    """A made-up device reading at a step."""
    return {
        "cpu_percent": 97.0 + step % 3,
        "rss_bytes": 1_610_612_736,
        "memory_used": 6 * 2**30 + step * 2**20,
        "memory_total": 16 * 2**30,
        "utilisation": 90 + step % 9,
        "temperature": 60 + step % 4,
        "power_watts": 200 + step % 11,
    }


def at_rest(folder: Path, seconds: float) -> list[Figure]:
    """Watch a live run and touch nothing."""
    made, left = live_run(folder), threading.Event()
    writer = threading.Thread(target=keep_alive, args=(made, left), daemon=True)
    writer.start()
    child = spawn(made.path)
    try:
        _drain(child, SETTLING_SECONDS)
        process = psutil.Process(child.pid)
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        count, bursts = _drain(child, seconds)
        took = time.monotonic() - began
        busy = (sum(process.cpu_times()[:2]) - before) / took
    finally:
        left.set()
        child.close(force=True)
        writer.join()
    return [
        Figure("at rest, share of a core", busy, CORE_SHARE, f"{busy:.2%}"),
        Figure("at rest, bytes a second", count / took, BYTES_A_SECOND, f"{count / took:.0f}"),
        Figure("at rest, repaints a second", bursts / took, REPAINTS_A_SECOND, f"{bursts / took:.2f}"),
    ]


def _drain(child: pexpect.spawn, seconds: float) -> tuple[int, int]:
    """Read for some time; bytes, and how many times they came after a pause."""
    until, last, count, bursts = time.monotonic() + seconds, 0.0, 0, 0
    while (now := time.monotonic()) < until:
        try:
            came = len(child.read_nonblocking(65536, timeout=min(0.5, until - now)))
        except pexpect.TIMEOUT:
            continue
        now = time.monotonic()
        bursts += now - last > BURST_SECONDS
        last, count = now, count + came
    return count, bursts


def long_run(folder: Path, steps: int) -> Path:
    """A finished run of many logged steps."""
    made = MadeRun(folder / "long", total=steps, alive=False)
    made.begin()
    with made.folder.events.open("a") as stream:
        for step in range(1, steps + 1):
            made.now += 0.5
            stream.write(json.dumps(event("step", made.now, **made.figures(step, 0.5)), separators=(",", ":")) + "\n")
            if step % 10 == 0:
                told = event(
                    "device", made.now, utilisation=95.0, memory_used=2**33, memory_total=2**34, power_watts=250
                )
                stream.write(json.dumps(told, separators=(",", ":")) + "\n")
    made.say("end", 1, status="stopped", reason="stopped as asked", steps=steps)
    return made.path


def opening(run: Path, steps: int, repeats: int) -> list[Figure]:
    """Open it, wait for the curve, then for the last step."""
    first, busy, whole, memory = [], [], [], []
    for _ in range(repeats):
        screen = pyte.Screen(120, 40)
        stream, began = pyte.ByteStream(screen), time.perf_counter()
        child = spawn(run)

        def shows(holds: Callable[[str], bool], stream: pyte.ByteStream = stream, screen: pyte.Screen = screen,
                  child: pexpect.spawn = child, began: float = began) -> float:  # fmt: skip
            while not holds("\n".join(screen.display)):
                stream.feed(child.read_nonblocking(65536, timeout=30))
            return time.perf_counter() - began

        first.append(shows(lambda text: any("\u2801" <= cell <= "\u28ff" for cell in text)))
        busy.append(sum(psutil.Process(child.pid).cpu_times()[:2]))
        whole.append(shows(lambda text: f"{steps:,}".replace(",", " ") in text.replace("\u202f", " ")))
        time.sleep(1.0)
        memory.append(_peak(child.pid))
        child.close(force=True)
    curve, end, peak = statistics.median(first), statistics.median(whole), max(memory)
    spent = statistics.median(busy)
    return [
        # What a machine with nothing else to do would take: the rest is waiting for a core.
        Figure(f"{steps} steps, processor seconds until then", spent, OPEN_SECONDS, f"{spent:.2f}"),
        Figure(f"{steps} steps, seconds to the first curve", curve, OPEN_SECONDS, f"{curve:.2f}"),
        Figure(f"{steps} steps, seconds to the last step", end, 3 * OPEN_SECONDS, f"{end:.2f}"),
        Figure(f"{steps} steps, most memory, MiB", peak, OPEN_BYTES, f"{peak / 2**20:.0f}"),
    ]


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) * 1024


def first_frame(run: Path, repeats: int) -> Figure:
    """Against a two-widget application, in turn."""
    two, ours = [], []
    for _ in range(repeats + 1):
        two.append(seconds_to("painted", sys.executable, ["-c", BASELINE]))
        ours.append(seconds_to("doctor", WIZARD, ["watch", str(run)]))
    ratio = statistics.median(ours[1:]) / statistics.median(two[1:])
    return Figure("first frame, times a two-widget app", ratio, FRAMES, f"{ratio:.2f}")


def main() -> int:
    """Measure, print the table, and say whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    os.environ["LC_ALL"] = "C.UTF-8"
    with tempfile.TemporaryDirectory(prefix="lora-wizard-dashboard-") as scratch:
        figures = at_rest(Path(scratch), chosen.seconds)
        figures += opening(long_run(Path(scratch), chosen.steps), chosen.steps, chosen.repeats)
        made = live_run(Path(scratch) / "frame")
        figures.append(first_frame(made.path, chosen.repeats))
    print(f"{'figure':<44}{'measured':>10}{'limit':>10}")
    for figure in figures:
        limit = figure.limit / 2**20 if "MiB" in figure.name else figure.limit
        print(f"{figure.name:<44}{figure.shown:>10}{limit:>10g}{'' if figure.held else '   missed'}")
    return int(not all(figure.held for figure in figures))


if __name__ == "__main__":
    raise SystemExit(main())
