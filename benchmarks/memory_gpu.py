"""Measure worst steps on the GPU that is here, beside the estimates: `python -m benchmarks.memory_gpu`.

usage: python -m benchmarks.memory_gpu [--minutes 8] [--trace] [--cpu] [--only N] [--results DIR]

Every configuration runs in a process of its own, the most telling first. What is measured is kept at once in
results/<gpu>.json, and is not measured again: the next call goes on from there. Then some plans are asked about on
imitated smaller cards (the process may take only a share of the memory): where the answer was 'yes' it must run, where
it was 'no' it must not. `--trace` adds the trace's answer to every row that ran, also to one that an earlier call
measured. `--cpu` proves the program on tiny models without a GPU.

Exit 1 when a 'yes' did not run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.gpu_matrix import Step, matrix
from presets.errors import WizardError
from recommender.estimate.estimate import estimate
from recommender.estimate.types import Estimate
from recommender.machine.devices import default_device, device_for_cpu
from recommender.machine.facts import Device
from recommender.machine.probe import probe
from trainer.process.children import ask
from trainer.run.folder import write_atomically

RESULTS = Path(__file__).parent / "results"
GIB = 2**30
IMITATED = ("yes", "no")
BELOW = 0.93
"""Free memory of the imitated card on which the answer must be 'no', as a share of the estimate."""


@dataclass
class Session:
    """One call of the program."""

    device: Device
    path: Path
    document: dict[str, Any]
    deadline: float
    clock: Callable[[], float] = time.monotonic

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Measured rows by key."""
        return self.document["rows"]  # type: ignore[no-any-return]  # a JSON document

    @property
    def over(self) -> bool:
        """Whether no more is to be started."""
        return self.clock() >= self.deadline

    def keep(self, key: str, row: Mapping[str, Any]) -> None:
        """Write a row down at once: a session that is ended loses one measurement at most."""
        self.rows[key] = dict(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(self.document, indent=1) + "\n")


def open_session(device: Device, folder: Path, minutes: float) -> Session:
    """Read what earlier calls measured on such a card with this torch; begin anew where torch has changed."""
    path = folder / f"{re.sub(r'[^a-z0-9]+', '-', device.name.lower()).strip('-')}.json"
    begun = {"device": device.name, "driver": device.driver, "torch": device.torch_version}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    if not isinstance(document, dict) or {name: document.get(name) for name in begun} != begun:
        document = {**begun, "rows": {}}
    return Session(device, path, document, time.monotonic() + 60 * minutes)


def predicted(step: Step, device: Device) -> Estimate:
    """The formula's answer, without what this machine has measured before."""
    return estimate(step.config(precision=precision(device)), step.spec(), replace(device, simulated=True))


def precision(device: Device) -> str:
    """The precision that `gpu_step` takes on such a device."""
    return "fp32" if device.kind == "cpu" else "bf16" if device.bf16 else "fp16"


def why_not(step: Step, device: Device, answer: Estimate) -> str:
    """The reason why a step is not tried; empty when it is."""
    if step.attention.startswith("flash") and not device.flash_attention:
        return "flash-attn is not installed"
    if device.kind == "cpu" and (step.optim != "sgd" and step.optim.endswith("8bit")):
        return "8-bit optimizers need a GPU"
    return "larger than the card" if answer.fits == "no" else ""


def run(step: Step, device: Device, limit: int | None) -> dict[str, Any]:
    """Measure in a child process; a child that died is told by its last line."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as asked:
        json.dump({"step": asdict(step), "limit_bytes": limit}, asked)
        asked.flush()
        answer = ask("benchmarks.gpu_step", asked.name, device=device)
    if answer.document is not None:
        return answer.document
    last = answer.errors.strip().splitlines()[-1:] or [f"exit code {answer.code}"]
    return {"status": f"failed: {last[0][:200]}"}


def measure(session: Session, step: Step) -> None:
    """One row of the results, unless it is there."""
    answer = predicted(step, session.device)
    row: dict[str, Any] = {"step": asdict(step), "formula": asdict(answer.peak), "parts": dict(answer.parts)}
    row["step_seconds_predicted"] = answer.time.step_seconds if answer.time else None
    reason = why_not(step, session.device, answer)
    row["measured"] = {"status": f"skipped: {reason}"} if reason else run(step, session.device, None)
    session.keep(step.key, row)
    print(line(step.key, row), flush=True)


def imitate(session: Session, step: Step) -> None:
    """Ask about two smaller cards, and try: on one the answer is just 'yes', on the other 'no'."""
    row = session.rows[step.key]
    beyond = row["measured"]["process_bytes"] - row["measured"]["reserved_bytes"]
    answer = predicted(step, session.device)
    free = {"yes": answer.peak.high_bytes, "no": round(BELOW * answer.peak.process_bytes)}
    row["imitated"] = {}
    for verdict in IMITATED:
        card = replace(session.device, free_bytes=free[verdict], total_bytes=free[verdict])
        assert predicted(step, card).fits == verdict
        ended = run(step, session.device, free[verdict] - beyond)
        row["imitated"][verdict] = {"free_bytes": free[verdict], "status": ended["status"]}
        print(f"  a card with {free[verdict] / GIB:.2f} GiB free, answer {verdict}: {ended['status']}", flush=True)
    session.keep(step.key, row)


def add_trace(session: Session, step: Step) -> None:
    """The trace's levels, or why it refuses, beside a row."""
    from trainer.trace.ask import trace

    row = session.rows[step.key]
    device = replace(session.device, simulated=True)
    try:
        row["trace"] = asdict(trace(step.config(precision=precision(device)), step.spec(), device).peak)
    except WizardError as refused:
        row["trace"] = {"refused": refused.message}
    session.keep(step.key, row)


def line(key: str, row: Mapping[str, Any]) -> str:
    """A row as printed."""
    measured, formula = row["measured"], row["formula"]
    if measured["status"] != "ran":
        return f"{key:62s} {measured['status']}"
    told = []
    for name in ("allocated_bytes", "reserved_bytes", "process_bytes"):
        if name in measured:
            truth, mine = measured[name], formula[name]
            off = f"{mine / truth - 1:+6.1%}" if truth else "   –"
            told.append(f"{name.removesuffix('_bytes')} {truth / GIB:6.2f} {mine / GIB:6.2f} {off}")
    told.append(f"step {measured['step_seconds']:.2f} s")
    return f"{key:62s} " + "  ".join(told)


def table(session: Session) -> str:
    """The results as Markdown, with their errors and what became of the imitated cards."""
    document = session.document
    lines = [f"# {document['device']}, driver {document['driver']}, torch {document['torch']}", ""]
    lines += ["GiB measured / by the formula (error); seconds of a step.", ""]
    lines += [
        "| configuration | allocated | reserved | process | seconds | imitated cards |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in session.rows.items():
        measured, formula = row["measured"], row["formula"]
        if measured["status"] != "ran":
            lines.append(f"| {key} | {measured['status']} | | | | |")
            continue
        cells = [
            _cell(measured.get(name), formula[name]) for name in ("allocated_bytes", "reserved_bytes", "process_bytes")
        ]
        tried = "; ".join(f"{verdict}: {what['status']}" for verdict, what in row.get("imitated", {}).items())
        lines.append(f"| {key} | {' | '.join(cells)} | {measured['step_seconds']:.2f} | {tried} |")
    return "\n".join([*lines, "", *summary(session), ""])


def _cell(truth: int | None, mine: int) -> str:
    return f"{truth / GIB:.2f} / {mine / GIB:.2f} ({mine / truth - 1:+.1%})" if truth else ""


def summary(session: Session) -> list[str]:
    """Mean and worst error of each level, and how the answers held."""
    ran = [row for row in session.rows.values() if row["measured"]["status"] == "ran"]
    told = [f"{len(ran)} of {len(session.rows)} configurations ran."]
    for name in ("allocated_bytes", "process_bytes"):
        for tier in ("formula", "trace"):
            pairs = [(row["measured"].get(name), row.get(tier, {}).get(name)) for row in ran]
            if errors := [abs(mine / truth - 1) for truth, mine in pairs if truth and mine]:
                level = name.removesuffix("_bytes")
                told.append(f"{level}, {tier}: mean error {mean(errors):.1%}, worst {max(errors):.1%}.")
    for verdict in IMITATED:
        tried = [row["imitated"][verdict]["status"] for row in ran if verdict in row.get("imitated", {})]
        if tried:
            told.append(f"Imitated cards, answer {verdict}: {tried.count('ran')} of {len(tried)} ran.")
    return told


def broken_promises(session: Session) -> int:
    """Number of 'yes' answers that did not run: on imitated cards, and on this one."""
    small = sum(row["imitated"]["yes"]["status"] != "ran" for row in session.rows.values() if row.get("imitated"))
    free = session.device.free_bytes
    here = [row for row in session.rows.values() if row["formula"]["high_bytes"] <= free]
    lost: int = sum(row["measured"]["status"] == "out of memory" for row in here)
    return int(small) + lost


def main() -> int:
    """Measure what is missing until the time is up, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="start nothing new after this")
    parser.add_argument("--trace", action="store_true", help="add the trace's answers to what ran")
    parser.add_argument("--cpu", action="store_true", help="tiny models on the CPU")
    parser.add_argument("--only", type=int, default=None, metavar="N", help="the first N of the matrix")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    machine = probe(Path.cwd())
    device = device_for_cpu(machine) if chosen.cpu else default_device(machine)
    if device.kind == "cpu" and not chosen.cpu:
        print("There is no CUDA GPU here. --cpu proves the program on tiny models.", file=sys.stderr)
        return 2
    session = open_session(device, chosen.results, chosen.minutes)
    for number, step in enumerate(matrix(tiny=chosen.cpu)[: chosen.only]):
        if session.over:
            break
        if step.key not in session.rows:
            measure(session, step)
        row = session.rows[step.key]
        wanted = number % 4 == 0 and row["measured"]["status"] == "ran" and not row.get("imitated")
        if wanted and device.kind == "cuda" and not session.over:
            imitate(session, step)
        if chosen.trace and row["measured"]["status"] == "ran" and "trace" not in row and not session.over:
            add_trace(session, step)
    write_atomically(session.path.with_suffix(".md"), table(session))
    print("\n".join(summary(session)))
    return int(broken_promises(session) > 0)


if __name__ == "__main__":
    sys.exit(main())
