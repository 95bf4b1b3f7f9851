"""Hold runs of several processes against runs of one: `python -m benchmarks.ranks [--only WORD] [-o FILE.md]`.

Two tables. First: losses of 20 steps and the trained weights of two (and four) processes on the CPU against those of
one that accumulates as many micro-batches, by strategy, method and packing. Second: a run whose ranks are killed again
and again at random points and which is resumed each time, against one never stopped.

Each case is a line of `benchmarks/results/ranks.jsonl` as soon as it is there; a second start goes on with what is
missing, `--again` does all of it anew. Exit 1 when a limit is missed: 1e-4 relative of a loss, 1e-3 of the weights'
norm, equality after kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load_file

from recommender.config.edit import apply
from recommender.config.schema import Data, FinetuneConfig, Quantization
from recommender.machine.facts import Device
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.history.reader import RunReader, Snapshot
from trainer.process.launch import launch, resume_run
from trainer.run.folder import RunFolder
from trainer.run.ranks import process_of

HERE: Final = Path(__file__).parent / "results"
STEPS: Final = 20
LOSSES, WEIGHTS = 1e-4, 1e-3
KILLS: Final = 20
LONG: Final = 60
"""Steps of a run that is killed."""
SEED: Final = 15
LONGEST: Final = 600.0
CPU = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=os.cpu_count() or 1)
METHODS: Final[Mapping[str, Mapping[str, Any]]] = {
    "LoRA": {"method": "lora"},
    "NF4": {"method": "qlora", "quantization.bits": 4},
    "full": {"method": "full", "training.learning_rate": 1e-3},
}
STRATEGIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ddp": {"launch.strategy": "ddp"},
    "fsdp": {"launch.strategy": "fsdp"},
    "fsdp, offload all": {"launch.strategy": "fsdp", "launch.offload": "all"},
    "fsdp, offload params": {"launch.strategy": "fsdp", "launch.offload": "params"},
}


@dataclass(frozen=True, slots=True)
class Case:
    """A run of several processes, and the run of one that it is held against."""

    strategy: str
    method: str
    packed: bool
    processes: int = 2

    @property
    def name(self) -> str:
        """The key of its line."""
        return f"{self.strategy} · {self.method} · {'packed' if self.packed else 'rows'} · {self.processes}"

    def changes(self) -> dict[str, Any]:
        """Return the configuration of the run of several."""
        return {**METHODS[self.method], **STRATEGIES[self.strategy], **self._data(), "launch.processes": self.processes}

    def alone(self) -> dict[str, Any]:
        """Return the configuration of the run of one, whose steps have the same rows."""
        return {**METHODS[self.method], **self._data(), "training.gradient_accumulation_steps": self.processes}

    def _data(self) -> dict[str, Any]:
        return {"data.packing": self.packed}


def cases() -> Iterator[Case]:
    """Yield every case; those of one baseline one after another."""
    for method in METHODS:
        for packed in (False, True):
            for strategy in STRATEGIES:
                # Nothing is frozen in a full fine-tune.
                if not (method == "full" and strategy == "fsdp, offload params"):
                    yield Case(strategy, method, packed)
    for strategy in ("ddp", "fsdp"):
        yield Case(strategy, "LoRA", packed=False, processes=4)


class Ground:
    """A tiny model, rows and the runs made of them.

    Args:
        place: An empty folder.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.model = build_tiny_llama(place / "tiny-llama")
        # Whole steps of 16 rows in an epoch: an uneven end is filled up with rows of the beginning.
        self.train, self.held_out = self._rows("train", 0, 640), self._rows("eval", 640, 656)
        self._alone: dict[str, Snapshot] = {}

    def _rows(self, name: str, first: int, last: int) -> str:
        chance = random.Random(SEED)
        path = self.place / f"{name}.jsonl"
        with path.open("w", encoding="utf-8") as out:
            for number in range(first, last):
                words = " ".join(["so", "it", "is"][: chance.randint(1, 3)] * chance.randint(1, 4))
                turns = [("user", f"What is {number}?"), ("assistant", f"{words} {number}.")]
                document = {"messages": [{"role": role, "content": content} for role, content in turns]}
                out.write(json.dumps(document) + "\n")
        return str(path)

    def config(self, **changes: Any) -> FinetuneConfig:
        """Return a configuration of few quick steps."""
        base = FinetuneConfig(
            model=str(self.model),
            method="lora",
            quantization=Quantization(bits=None),
            data=Data(train=[self.train], eval=[self.held_out], max_length=64),
        )
        few = {
            "training.max_steps": STEPS,
            "training.per_device_train_batch_size": 4,
            "training.gradient_accumulation_steps": 1,
            "training.precision": "fp32",
            "training.learning_rate": 0.01,
            "training.gradient_checkpointing": False,
            "run.eval_steps": STEPS,
            "run.save_steps": STEPS,
        }
        return apply(base, few | changes)

    def start(self, **changes: Any) -> Path:
        """Start a run."""
        return launch(self.config(**changes), plan_document={}, device=CPU, runs=self.place / "runs", allow_busy=True)

    def finished(self, **changes: Any) -> Snapshot:
        """Start a run and return it once it has finished."""
        shot = until(self.start(**changes), ended)
        if shot.status != "finished":
            raise SystemExit(f"{shot.path}: {shot.state.reason}")
        return shot

    def alone(self, case: Case) -> Snapshot:
        """Return the run of one that a case is held against, made once."""
        key = json.dumps(case.alone(), sort_keys=True)
        if key not in self._alone:
            self._alone[key] = self.finished(**case.alone())
        return self._alone[key]


def ended(shot: Snapshot) -> bool:
    """Return true when no process of a run is left."""
    return (shot.state.ended and not shot.alive) or bool(shot.died)


def until(run: Path, condition: Any) -> Snapshot:
    """Read a run until the condition holds."""
    reader, began = RunReader(run), time.monotonic()
    while not condition(shot := reader.poll()):
        if time.monotonic() - began > LONGEST:
            raise SystemExit(f"{run}: {shot.state.status} for {LONGEST:.0f} s")
        time.sleep(0.02)
    return shot


def weights(shot: Snapshot) -> dict[str, Any]:
    """Return what a run has left, by name, in double precision."""
    files = sorted(shot.adapter.glob("*.safetensors"))
    return {name: value.astype(np.float64) for file in files for name, value in load_file(str(file)).items()}


def apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """Return the norm of the difference of all weights, as a share of the first one's norm."""
    if set(first) != set(second):
        return float("inf")
    norms = [sum(float(np.square(value).sum()) for value in each.values()) for each in (first, _minus(first, second))]
    return float(np.sqrt(norms[1] / norms[0]))


def _minus(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value - second[name] for name, value in first.items()}


def compare(ground: Ground, case: Case) -> dict[str, Any]:
    """Run a case and return its line."""
    began, one = time.monotonic(), ground.alone(case)
    shot = ground.finished(**case.changes())
    losses = [
        abs((mine.loss or 0.0) - (other.loss or np.nan)) / abs(mine.loss or np.nan)
        for mine, other in zip(one.steps, shot.steps, strict=True)
    ]
    return {
        "case": case.name,
        "steps": len(losses),
        "world_size": shot.start["world_size"],
        "strategy": shot.start["strategy"],
        "sharded_parameters": shot.start["sharded_parameters"],
        "same_rows": [step.tokens for step in one.steps] == [step.tokens for step in shot.steps]
        and one.start["contents"] == shot.start["contents"],
        "loss": max(losses),
        "weights": apart(weights(one), weights(shot)),
        "seconds": round(time.monotonic() - began),
    }


def holds(line: Mapping[str, Any]) -> bool:
    """Return true when a line is within the limits and ran the strategy that it was asked for."""
    if "kills" in line:
        return bool(line["same_steps"] and line["same_weights"])
    sharded = line["sharded_parameters"] > 0
    real = line["case"].startswith(line["strategy"]) and sharded == (line["strategy"] == "fsdp")
    return bool(real and line["same_rows"] and line["loss"] <= LOSSES and line["weights"] <= WEIGHTS)


def killed(ground: Ground, strategy: str, count: int) -> dict[str, Any]:
    """Kill ranks of a run at random points, resume it each time, and compare it with one never stopped."""
    began, chance = time.monotonic(), random.Random(SEED)
    long = {"training.max_steps": LONG, "run.eval_steps": 10, "run.save_steps": 2, "lora.lora_dropout": 0.05}
    changes = {**STRATEGIES[strategy], **long, "launch.processes": 2}
    whole = ground.finished(**changes)
    points = sorted(chance.sample(range(1, LONG), count))
    run, told = ground.start(**changes), []
    for point in points:
        shot = until(run, lambda shot, at=point: shot.state.step >= at or ended(shot))
        if ended(shot):
            break
        time.sleep(chance.random() * 0.1)
        rank = chance.randrange(2)
        victim = process_of(RunFolder(run), rank)
        if victim is None:
            raise SystemExit(f"{run}: rank {rank} is not there")
        os.kill(victim.pid, signal.SIGKILL)
        shot = until(run, ended)
        told.append(f"rank {rank} was killed by SIGKILL" in str(shot.state.reason))
        resume_run(run, allow_busy=True)
    shot = until(run, ended)
    figures = ("step", "loss", "grad_norm", "learning_rate", "tokens")
    curves = [[tuple(getattr(step, name) for name in figures) for step in each.steps] for each in (whole, shot)]
    return {
        "case": f"{strategy} · killed",
        "strategy": shot.start["strategy"],
        "kills": len(told),
        "named": sum(told),
        "same_steps": curves[0] == curves[1] and len(curves[0]) == LONG,
        "same_weights": apart(weights(whole), weights(shot)) == 0.0,
        "seconds": round(time.monotonic() - began),
    }


def table(lines: list[dict[str, Any]]) -> str:
    """Return both tables as Markdown."""
    compared, kills = ([line for line in lines if ("kills" in line) == which] for which in (False, True))
    out = ["| case | sharded parameters | same rows in each step | losses differ by | weights by | seconds |"]
    out += ["|---|---:|---|---:|---:|---:|"]
    out += [
        f"| {line['case']} | {line['sharded_parameters']} | {_word(line['same_rows'])} | {line['loss']:.1e} | "
        f"{line['weights']:.1e} | {line['seconds']} |"
        for line in compared
    ]
    out += ["", "| run | kills | reason names the rank | steps equal | weights equal | seconds |"]
    out += ["|---|---:|---:|---|---|---:|"]
    out += [
        f"| {line['case']} | {line['kills']} | {line['named']} | {_word(line['same_steps'])} | "
        f"{_word(line['same_weights'])} | {line['seconds']} |"
        for line in kills
    ]
    good = sum(map(holds, lines))
    return "\n".join([f"{good} of {len(lines)} hold.", "", *out])


def _word(good: bool) -> str:
    return "yes" if good else "NO"


def main() -> int:
    """Measure what is missing, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name has this word")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--kills", type=int, default=KILLS, help="of each killed run")
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    kept = HERE / "ranks.jsonl"
    if chosen.again:
        kept.unlink(missing_ok=True)
    lines = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {line["case"] for line in lines}
    with tempfile.TemporaryDirectory(prefix="lora-wizard-ranks-") as scratch:
        os.environ["XDG_STATE_HOME"] = scratch + "/state"
        ground = Ground(Path(scratch))
        work: list[tuple[str, Callable[[], dict[str, Any]]]] = [
            *((case.name, partial(compare, ground, case)) for case in cases()),
            *((f"{kind} · killed", partial(killed, ground, kind, chosen.kills)) for kind in ("ddp", "fsdp")),
        ]
        for name, measure in work:
            if name in done or chosen.only not in name:
                continue
            lines.append(measure())
            with kept.open("a", encoding="utf-8") as out:
                out.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
            print(f"{name}: {_word(holds(lines[-1]))} {lines[-1]}", file=sys.stderr, flush=True)
    if chosen.output:
        chosen.output.write_text(f"# Several processes\n\n`python -m benchmarks.ranks`\n\n{table(lines)}\n")
    print(table(lines))
    return 0 if all(map(holds, lines)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
