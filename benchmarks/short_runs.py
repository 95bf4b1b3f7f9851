"""Search for the best learning rate of short runs: `python -m benchmarks.short_runs DATA [DATA ...]`.

The public sweep is of 780 steps, and most people's first runs have tens. SmolLM2-135M-Instruct on this processor, our
settings at r 16 and batches of 4; from each data set the same held-out rows, and for a run of N steps the first 4 N
rows of one shuffled order, once. Every length that the rows allow is trained at each of `RATES`. The contest's data
sets are refused: what is learnt here goes into the rules, and what judges the rules must not.

Below 100 steps the rule multiplies the rate by (100 / N)^p. Of every p the regret is the loss above the least one of
the same length, as a share, at the rate that the rule would give: a mean over lengths, then over data sets. The p of
least regret is `recommender.rules.rate.SHORTER_EXPONENT`. Between trained rates the loss is a parabola in the logarithm
of the rate through the best one and its neighbours, else a line, beyond the ends the last slope.

Each run appends one line to the results, so the program can be stopped and given again; `--table` runs nothing.
`python -m benchmarks.short_runs_rows FOLDER` makes rows of two tasks whose answers have a fixed form.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from statistics import fmean

from benchmarks.contest import append_line, asked, folder, print_line, this_processor, usable_rows, write_rows
from benchmarks.rate_fit import Curve
from presets.errors import InputError, WizardError
from recommender.config.edit import with_values
from recommender.config.schema import Data, FinetuneConfig
from recommender.data.dataset import DataSet
from recommender.data.load import profile_data
from recommender.machine.facts import Device
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec
from recommender.plan.recommend import recommend
from recommender.rules.rate import SHORTER_EXPONENT, base_rate, batch_factor, short_factor, shorter_factor
from trainer.models.demo import ensure_demo_model
from trainer.results.trials import Trial, run_trials

STEPS = (24, 48, 12)
"""In the order in which they are run: what every data set has comes first."""
RATES = (2e-3, 1e-3, 4e-3, 5e-4, 8e-3)
LEAST = 3
"""Rates of a length from which it counts."""
EXPONENTS = tuple(round(hundredth / 100, 2) for hundredth in range(101))
MODEL = "smollm2-135m-instruct"
RANK = 16
BATCH = 4
HELD_OUT = 30
LONGEST = 256
RESULTS = Path(__file__).parent / "results" / "short_runs.jsonl"
JUDGES = ("alpaca_en", "glaive_toolcall_en")
"""Names of the contest's data sets begin so."""


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run."""

    data: str
    steps: int
    rate: float
    loss: float
    """Held-out, nats a token, after the run."""
    first_loss: float
    """The same before it."""


def load(path: Path) -> list[Run]:
    """The finished runs; a torn last line is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [Run(**json.loads(line)) for line in lines if line.endswith("\n")]


def curves(runs: Sequence[Run]) -> dict[tuple[str, int], Curve]:
    """Data set and steps to the losses at each rate, of those with enough rates."""
    found: dict[tuple[str, int], dict[float, float]] = defaultdict(dict)
    for run in runs:
        found[run.data, run.steps][run.rate] = run.loss
    return {key: dict(sorted(curve.items())) for key, curve in sorted(found.items()) if len(curve) >= LEAST}


def lowest(curve: Curve) -> tuple[float, float, float] | None:
    """Log rate, loss and curvature of the parabola through the best rate and its neighbours; None at an edge."""
    rates = sorted(curve)
    at = rates.index(min(curve, key=lambda rate: curve[rate]))
    if at in (0, len(rates) - 1):
        return None
    x = [log(rate) for rate in rates[at - 1 : at + 2]]
    y = [curve[rate] for rate in rates[at - 1 : at + 2]]
    left, right = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    bend = (right - left) / (x[2] - x[0])
    best = (x[0] + x[1]) / 2 - left / (2 * bend)
    return best, y[1] - bend * (x[1] - best) ** 2, bend


def loss_at(curve: Curve, rate: float) -> float:
    """The loss at any rate."""
    rates, vertex = sorted(curve), lowest(curve)
    if vertex is not None:
        at = rates.index(min(curve, key=lambda each: curve[each]))
        if rates[at - 1] <= rate <= rates[at + 1]:
            best, loss, bend = vertex
            return loss + bend * (log(rate) - best) ** 2
    right = next((i for i in range(1, len(rates) - 1) if rate <= rates[i]), len(rates) - 1)
    (x0, y0), (x1, y1) = ((rates[i], curve[rates[i]]) for i in (right - 1, right))
    return y0 + (y1 - y0) * log(rate / x0) / log(x1 / x0)


def regret(curve: Curve, rate: float) -> float:
    """The loss at a rate above the least one, as a share."""
    vertex = lowest(curve)
    least = min(curve.values()) if vertex is None else vertex[1]
    return max(0.0, loss_at(curve, rate) / least - 1)


def rule(steps: int, exponent: float) -> float:
    """The rate that the rules give for a run of so many steps here, were this the exponent of short runs."""
    base = base_rate(read_model(MODEL, offline=True), RANK)
    return base * short_factor(steps) * shorter_factor(steps, exponent) * batch_factor(BATCH, steps)


def mean_regret(found: Mapping[tuple[str, int], Curve], exponent: float) -> float:
    """Over the lengths of a data set, then over the data sets."""
    by_data: dict[str, list[float]] = defaultdict(list)
    for (data, steps), curve in found.items():
        by_data[data].append(regret(curve, rule(steps, exponent)))
    return fmean(fmean(each) for each in by_data.values())


def fit(found: Mapping[tuple[str, int], Curve]) -> float:
    """The exponent of least regret, in hundredths."""
    return min(EXPONENTS, key=lambda exponent: mean_regret(found, exponent))


def left_out(found: Mapping[tuple[str, int], Curve]) -> tuple[float, list[float]]:
    """Mean regret of each data set at the exponent of the others, and those exponents."""
    regrets, exponents = [], []
    for data in {data for data, _ in found}:
        others = {key: curve for key, curve in found.items() if key[0] != data}
        exponents.append(fit(others) if others else 0.0)
        regrets.append(mean_regret({key: found[key] for key in found if key[0] == data}, exponents[-1]))
    return fmean(regrets), exponents


def show(runs: Sequence[Run]) -> None:
    """Print the losses, the best rates, what the rule gives, and the exponent of least regret."""
    rates, found = sorted(RATES), curves(runs)
    best = fit(found)
    first = {run.data: run.first_loss for run in runs}
    print(f"{'data':20s} steps  before  {'  '.join(f'{rate:7g}' for rate in rates)}     best     rule  regret")
    for (data, steps), curve in found.items():
        losses = "  ".join(f"{curve[rate]:7.4f}" if rate in curve else "      –" for rate in rates)
        vertex, ours = lowest(curve), rule(steps, SHORTER_EXPONENT)
        at_best = "at edge" if vertex is None else f"{exp(vertex[0]):7.2g}"
        loss = f"{regret(curve, ours):7.2%}"
        print(f"{data:20s} {steps:5d} {first[data]:7.4f}  {losses}  {at_best}  {ours:7.2g} {loss}")
    held, exponents = left_out(found)
    print(f"mean regret of the rule's exponent {SHORTER_EXPONENT:g}: {mean_regret(found, SHORTER_EXPONENT):.2%}")
    print(f"least at {best:g}: {mean_regret(found, best):.2%}; with none: {mean_regret(found, 0):.2%}")
    print(f"each data set by the others: {held:.2%}, exponents {min(exponents):g} to {max(exponents):g}")


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of one data set."""

    name: str
    dataset: DataSet
    rows: Sequence[int]
    """Training rows in the order in which runs take them."""
    held_out: Path


def refuse_judges(path: Path) -> None:
    """Keep the contest's rows out.

    Raises:
        InputError: The file is one of its data sets.
    """
    if path.stem.startswith(JUDGES):
        raise InputError(f"{path.stem} is one of the contest's data sets.", remedy="Give other rows.")


def draw(path: Path, model: ModelSpec) -> Source:
    """Shuffle the usable rows and keep some aside."""
    dataset = profile_data(Data(train=[str(path)]), model=model)
    rows = usable_rows(dataset, LONGEST)
    held = write_rows(folder() / "rows" / f"short-{path.stem}-held-out.jsonl", dataset, rows[:HELD_OUT])
    return Source(path.stem, dataset, rows[HELD_OUT:], held)


def configure(source: Source, steps: int, model: ModelSpec, device: Device) -> FinetuneConfig:
    """Our settings for so many steps on these rows, but for the rate."""
    train = folder() / "rows" / f"short-{source.name}-{steps}.jsonl"
    write_rows(train, source.dataset, source.rows[: steps * BATCH])
    data = Data(train=[str(train)], eval=[str(source.held_out)])
    fixed = {
        "lora.r": RANK,
        "training.num_train_epochs": 1,
        "training.max_steps": steps,
        "training.seed": 1,
        "training.per_device_train_batch_size": 1,
        "training.gradient_accumulation_steps": BATCH,
        "data.max_length": LONGEST,
        "run.eval_steps": steps,
        "run.save_steps": steps,
        "run.save_total_limit": 1,
    }
    profile = profile_data(data, model=model).profile
    plan = recommend(model, device, profile, overrides=fixed, data_config=data, model_name=str(model.path))
    return plan.config


def train(source: Source, steps: int, results: Path, model: ModelSpec, device: Device) -> None:
    """Run the rates that have not been run."""
    done = {(run.data, run.steps, run.rate) for run in load(results)}
    todo = [rate for rate in RATES if (source.name, steps, rate) not in done]
    if not todo or steps * BATCH > len(source.rows):
        return
    config = configure(source, steps, model, device)
    for rate in todo:
        named = {"training.learning_rate": rate, "run.name": f"short-{source.name}-{steps}-{rate:g}"}
        trial = Trial({"training.learning_rate": rate}, with_values(config, named))
        (result,) = run_trials([trial], runs=folder() / "short", device=device, plan=lambda _: {}, log=print_line)
        if result.eval_loss is None or result.first_eval_loss is None:
            raise InputError(f"{rate:g} did not finish: {result.reason or result.status}", remedy=f"See {result.run}.")
        run = Run(source.name, steps, rate, result.eval_loss, result.first_eval_loss)
        append_line(results, asdict(run))


def main() -> int:
    """Run what is missing and print the table."""
    options = asked(__doc__, RESULTS)
    try:
        if not options.table:
            for path in options.data:
                refuse_judges(path)
            device = this_processor()
            model = read_model(str(ensure_demo_model()), offline=True)
            sources = [draw(path.resolve(), model) for path in options.data]
            for steps in STEPS:
                for source in sources:
                    train(source, steps, options.results, model, device)
    except WizardError as problem:
        print(f"{problem.message} {problem.remedy or ''}", file=sys.stderr)
        return problem.exit_code
    show(load(options.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
