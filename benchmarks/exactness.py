"""Kill a run at random points and resume it: its losses and its adapter must be those of a run never stopped.

    python -m benchmarks.exactness --points 30 -o benchmarks/results/exactness.md

Each point is a signal at a phase, drawn from a seed. Equal means equal bit for bit: loss, gradient norm and rate of
every step as the events hold them, and the SHA-256 of the adapter's weights. CPU, fp32, LoRA with dropout, 12 steps
over the end of an epoch, a checkpoint every 2.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults import KILLS, STEPS, Curve, Ground, LiveRun
from benchmarks.warm import reap, warm_up

PHASES = ("loading", "preflight", "evaluating", "saving", *(f"step {n}" for n in range(1, STEPS)))


@dataclass(frozen=True, slots=True)
class Point:
    """The phase in which a run is killed, and the signal."""

    signal: str
    phase: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a killed and resumed run."""

    point: Point
    attempts: int
    same_curve: bool
    same_adapter: bool
    seconds: float

    @property
    def exact(self) -> bool:
        """Whether nothing can be told apart."""
        return self.same_curve and self.same_adapter


def points(count: int, seed: int) -> list[Point]:
    """Draw signals and phases."""
    chance = random.Random(seed)
    # The named phases first, with every signal in turn, then steps at random.
    phases = [*PHASES[:4]] * 3 + [chance.choice(PHASES[4:]) for _ in range(count)]
    return [Point(list(KILLS)[i % len(KILLS)], phase) for i, phase in enumerate(phases[:count])]


def reached(run: LiveRun, phase: str) -> bool:
    """Whether a run has come to a phase."""
    if phase.startswith("step "):
        return run.saw("step", step=int(phase[5:]))
    return run.saw("status", status=phase)


def try_point(ground: Ground, point: Point, reference: tuple[Curve, str]) -> Outcome:
    """Start, kill, resume to the end, compare."""
    began = time.monotonic()
    run = ground.start()
    run.until(lambda: reached(run, point.phase), point.phase)
    for who, number in KILLS[point.signal]:
        run.send(who, number)
    run.until_dead()
    attempts = 1
    while run.status() != "finished" and attempts < 4:
        run.resume()
        run.until_dead()
        attempts += 1
    return Outcome(
        point, attempts, run.curve() == reference[0], run.adapter_digest() == reference[1], time.monotonic() - began
    )


def run_reference(ground: Ground) -> tuple[Curve, str]:
    """A run never stopped."""
    run = ground.start()
    run.until_dead()
    curve, digest = run.curve(), run.adapter_digest()
    if sorted(curve) != list(range(1, STEPS + 1)) or not digest:
        raise SystemExit(f"the reference did not finish: {run.path}")
    return curve, digest


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as Markdown."""
    lines = ["| signal | phase | attempts | losses equal | adapter equal | seconds |", "|---|---|---:|---|---|---:|"]
    lines += [
        f"| {o.point.signal} | {o.point.phase} | {o.attempts} | {_word(o.same_curve)} | {_word(o.same_adapter)} | "
        f"{o.seconds:.0f} |"
        for o in outcomes
    ]
    exact = sum(outcome.exact for outcome in outcomes)
    return "\n".join([f"{exact} of {len(outcomes)} exact.", "", *lines])


def _word(good: bool) -> str:
    return "yes" if good else "NO"


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory(prefix="lora-wizard-exactness-") as scratch:
        os.environ["XDG_STATE_HOME"] = scratch + "/state"
        ground = Ground(Path(scratch))
        reference = run_reference(ground)
        outcomes = []
        for point in points(chosen.points, chosen.seed):
            outcome = try_point(ground, point, reference)
            outcomes.append(outcome)
            print(f"{point.signal} at {point.phase}: {_word(outcome.exact)}", file=sys.stderr, flush=True)
            reap()
    if chosen.output:
        command = f"python -m benchmarks.exactness --points {chosen.points} --seed {chosen.seed}"
        chosen.output.write_text(f"# Exactness\n\n`{command}`\n\n{table(outcomes)}\n")
    print(table(outcomes))
    return 0 if all(outcome.exact for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
