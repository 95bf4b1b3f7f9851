"""Runs of the tiny model under random faults: each must end finished, with nothing lost that had been acknowledged.

    python -m benchmarks.chaos --runs 100 -o benchmarks/results/chaos.md

Each run is drawn from a seed: one to three faults at random steps. A run that died is resumed, as a person would. Held
afterwards: it finished; its losses and its adapter are, bit for bit, those of a run that nobody hurt; every event that
a reader had seen is still there; the newest checkpoint that had been acknowledged is there, unless the fault took it.
Where NVML fails, the supervisor is told of a GPU that is not there and its every call to the driver's library raises.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import warm
from benchmarks.exactness import run_reference
from benchmarks.faults import CPU, KILLS, NO_CARD, STEPS, Curve, Ground, LiveRun
from trainer.history.listing import summarise
from trainer.history.reader import RunReader
from trainer.run.checkpoints import complete_checkpoints, damage

SILENT_SECONDS = 3.0
"""Longer than a heartbeat."""
DAY = 86_400.0


@dataclass
class Hurt:
    """A run under faults, and what must not be lost of it."""

    run: LiveRun
    disk: Path | None
    """A small file system of its own, where one could be mounted."""
    taken: bool = False
    """Whether the fault itself took a checkpoint."""
    seen: bytes = b""

    def look(self) -> None:
        """Remember every whole event line so far."""
        raw = self.run.folder.events.read_bytes() if self.run.folder.events.exists() else b""
        self.seen = raw[: raw.rfind(b"\n") + 1]


def silence(hurt: Hurt) -> None:
    """SIGSTOP to the worker for longer than a heartbeat."""
    if hurt.run.send("worker", signal.SIGSTOP):
        time.sleep(SILENT_SECONDS)
        hurt.run.send("worker", signal.SIGCONT)


def torn_line(hurt: Hurt) -> None:
    """A torn event line, then both processes die: what a power cut leaves."""
    for who in ("supervisor", "worker"):
        hurt.run.send(who, signal.SIGKILL)
    hurt.run.until_dead()
    with hurt.run.folder.events.open("ab") as stream:
        stream.write(b'{"v":1,"t":17952')


def torn_checkpoint(hurt: Hurt) -> None:
    """Both die, and the newest checkpoint loses its last bytes."""
    _die(hurt)
    if whole := complete_checkpoints(hurt.run.folder):
        weights = next(whole[-1].glob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:-100])
        hurt.taken = True


def lost_checkpoint(hurt: Hurt) -> None:
    """Both die, and the newest checkpoint is deleted."""
    _die(hurt)
    if whole := complete_checkpoints(hurt.run.folder):
        shutil.rmtree(whole[-1])
        hurt.taken = True


def full_disk(hurt: Hurt) -> None:
    """The disk is filled to its last byte for a while."""
    if hurt.disk is None:
        return
    ballast = hurt.disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as stream:
            while stream.write(bytes(1 << 16)):
                pass
    except OSError:
        pass
    time.sleep(SILENT_SECONDS)
    ballast.unlink()


def killed_dashboard(hurt: Hurt) -> None:
    """A reader of the run is killed in the middle of its reading."""
    pid = os.fork()
    if pid == 0:
        reader = RunReader(hurt.run.path)
        while True:
            reader.poll()
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _die(hurt: Hurt) -> None:
    for who in ("supervisor", "worker"):
        hurt.run.send(who, signal.SIGKILL)
    hurt.run.until_dead()


def _kill(name: str) -> Callable[[Hurt], None]:
    def kill(hurt: Hurt) -> None:
        for who, number in KILLS[name]:
            hurt.run.send(who, number)

    return kill


def supervisor_only(hurt: Hurt) -> None:
    """SIGKILL to the supervisor: the worker goes on alone."""
    hurt.run.send("supervisor", signal.SIGKILL)


FAULTS: dict[str, Callable[[Hurt], None]] = {
    **{name: _kill(name) for name in KILLS},
    "SIGKILL to the supervisor": supervisor_only,
    "SIGSTOP to the worker": silence,
    "torn event line": torn_line,
    "torn checkpoint": torn_checkpoint,
    "deleted checkpoint": lost_checkpoint,
    "full disk": full_disk,
    "dashboard killed": killed_dashboard,
}
JUMP, NVML = "clock jump", "NVML failing"
THROUGHOUT = (JUMP, NVML)
"""Faults that last as long as the run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one run."""

    seed: int
    faults: tuple[str, ...]
    attempts: int
    losses: tuple[str, ...]
    """Losses and faults, in words; empty when all is well."""
    seconds: float


def try_seed(ground: Ground, seed: int, reference: tuple[Curve, str]) -> Outcome:
    """One run with its faults."""
    began = time.monotonic()
    chance = random.Random(seed)
    faults = chance.sample([*FAULTS, *THROUGHOUT], chance.randint(1, 3))
    place = ground.path / f"disk-{seed}"
    disk = _small_disk(place) if "full disk" in faults else None
    warm.clock_jump = chance.choice((-DAY, DAY)) if JUMP in faults else 0.0
    warm.nvml_fails = NVML in faults
    try:
        return _live_through(ground, seed, faults, chance, reference, place if disk else None, began)
    finally:
        warm.clock_jump, warm.nvml_fails = 0.0, False
        if disk:
            subprocess.run(["umount", "-l", str(place)], check=True)


def _live_through(
    ground: Ground,
    seed: int,
    faults: list[str],
    chance: random.Random,
    reference: tuple[Curve, str],
    disk: Path | None,
    began: float,
) -> Outcome:
    run = ground.start(disk / "runs" if disk else None, device=NO_CARD if NVML in faults else CPU)
    hurt, attempts, wrong = Hurt(run, disk), 1, []
    for fault in [name for name in faults if name not in THROUGHOUT]:
        step = chance.randint(0, STEPS - 1)
        run.until(partial(_has_come_to, run, step), f"step {step}")
        hurt.look()
        FAULTS[fault](hurt)
        attempts, said = _settle(run, attempts)
        wrong += said
        wrong += _lost(hurt, fault)
    run.until_dead()
    while run.status() != "finished" and attempts < 8:
        run.resume()
        run.until_dead()
        attempts += 1
    wrong += _differs(run, reference)
    return Outcome(seed, tuple(faults), attempts, tuple(wrong), time.monotonic() - began)


def _has_come_to(run: LiveRun, step: int) -> bool:
    return run.saw("step", step=step) if step else run.saw("start")


def _settle(run: LiveRun, attempts: int) -> tuple[int, list[str]]:
    """Give a fault time to be felt; where it ended the run, look for its reason and resume."""
    time.sleep(0.5)
    if run.processes() or run.status() == "finished":
        return attempts, []
    summary = summarise(run.path, clock=lambda: time.time() + 2 * DAY)
    said = [] if summary.reason else ["it ended without a reason"]
    run.resume()
    return attempts + 1, said


def _lost(hurt: Hurt, fault: str) -> list[str]:
    """Acknowledged data that a fault destroyed, in words."""
    wrong = []
    if not hurt.run.folder.events.read_bytes().startswith(hurt.seen):
        wrong.append(f"events lost by {fault}")
    saved = [event for event in hurt.run.events() if event["kind"] == "checkpoint"]
    if saved and not hurt.taken and damage(hurt.run.path / saved[-1]["path"]):
        # It may be replaced at this very moment by the same step trained again.
        time.sleep(1.0)
        saved = [event for event in hurt.run.events() if event["kind"] == "checkpoint"]
        if damage(hurt.run.path / saved[-1]["path"]):
            wrong.append(f"{saved[-1]['path']} lost by {fault}")
    return wrong


def _differs(run: LiveRun, reference: tuple[Curve, str]) -> list[str]:
    wrong = [] if run.status() == "finished" else [f"it ended {run.status()}"]
    wrong += [] if run.curve() == reference[0] else ["its losses differ"]
    return wrong + ([] if run.adapter_digest() == reference[1] else ["its adapter differs"])


def _small_disk(place: Path) -> bool:
    """Mount a file system of 24 MiB; whether that is allowed here."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as Markdown."""
    well = sum(not outcome.losses for outcome in outcomes)
    counted = Counter(fault for outcome in outcomes for fault in outcome.faults)
    lines = [f"{well} of {len(outcomes)} runs ended finished with nothing lost.", "", "| fault | runs |", "|---|---:|"]
    lines += [f"| {fault} | {number} |" for fault, number in counted.most_common()]
    lines += ["", "| seed | faults | attempts | lost or wrong | seconds |", "|---:|---|---:|---|---:|"]
    lines += [
        f"| {o.seed} | {', '.join(o.faults)} | {o.attempts} | {'; '.join(o.losses) or 'nothing'} | {o.seconds:.0f} |"
        for o in outcomes
    ]
    return "\n".join(lines)


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    warm.warm_up()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="lora-wizard-chaos-") as scratch:
        os.environ["XDG_STATE_HOME"] = scratch + "/state"
        ground = Ground(Path(scratch))
        reference = run_reference(ground)
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.runs):
            outcomes.append(try_seed(ground, seed, reference))
            print(outcomes[-1], file=sys.stderr, flush=True)
            warm.reap()
            if chosen.output:
                # After each run: an hour's outcomes are not lost with the last of them.
                command = f"python -m benchmarks.chaos --runs {len(outcomes)} --first-seed {chosen.first_seed}"
                chosen.output.write_text(f"# Chaos\n\n`{command}`\n\n{table(outcomes)}\n")
    print(table(outcomes))
    return 1 if any(outcome.losses for outcome in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
