"""Our plan against the defaults of others, through one trainer: `python -m benchmarks.contest DATA DATA`.

SmolLM2-135M-Instruct on this processor. From each data set `HELD_OUT` rows are kept aside, the same for everyone, and
for each seed other rows are drawn until they hold 20,000 trained tokens. Each contestant goes through them once: our
plan as `recommend` makes it for these rows, the two rates that it offers to try beside its own, the defaults of
LLaMA-Factory, Unsloth and TRL, and a grid of five rates at our other settings. Each run appends one line to the
results, so the program can be stopped and given again. It refuses to go on where a contestant's settings are no longer
those of the lines that are there: the rules stay as they were when the contest began.

`--table` prints the results and runs nothing. Exit 1 where a run is missing or a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.contest_table import GRID, SEEDS, TRIED, Row, check, load, show
from presets.errors import InputError, NoError, WizardError
from recommender.config.edit import flatten, with_values
from recommender.config.schema import Data, FinetuneConfig
from recommender.data.dataset import DataSet
from recommender.data.load import profile_data
from recommender.machine.facts import Device
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec
from recommender.plan.recommend import recommend
from recommender.rules.rate import to_try
from recommender.steps import plan_steps
from trainer.models.demo import ensure_demo_model
from trainer.results.trials import Trial, TrialResult, run_trials

TRAINED_TOKENS = 20_000
HELD_OUT = 48
LONGEST = 768
"""Rows of more tokens are left out, so that no contestant's length limit cuts any."""
RESULTS = Path(__file__).parent / "results" / "contest.jsonl"
RULES = ("recommender/rules", "recommender/plan/search.py", "presets/evidence")
"""Paths whose last commit is noted with each run."""
ATTENTION = ["q_proj", "v_proj"]

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Its web form's values (src/llamafactory/webui, finetuning_args): the walk-through guide's starting point.
    "LLaMA-Factory": {
        "lora.r": 8,
        "lora.lora_alpha": 16,
        "training.learning_rate": 5e-5,
        "training.gradient_accumulation_steps": 16,
        "training.lr_scheduler_type": "cosine",
        "training.warmup_steps": 0,
        "training.max_grad_norm": 1.0,
    },
    # Its notebooks' values. 8-bit states need CUDA: AdamW in full here.
    "Unsloth": {
        "lora.r": 16,
        "lora.lora_alpha": 16,
        "training.learning_rate": 2e-4,
        "training.gradient_accumulation_steps": 8,
        "training.lr_scheduler_type": "linear",
        "training.warmup_steps": 5,
        "training.weight_decay": 0.01,
        "training.max_grad_norm": 1.0,
    },
    # SFTConfig and ModelConfig of TRL 1.16 with `--use_peft`; target modules are PEFT's default for Llama's layers.
    "TRL": {
        "lora.r": 16,
        "lora.lora_alpha": 32,
        "lora.lora_dropout": 0.05,
        "lora.target_modules": ATTENTION,
        "training.learning_rate": 2e-5,
        "training.gradient_accumulation_steps": 8,
        "training.lr_scheduler_type": "linear",
        "training.warmup_steps": 0,
        "training.max_grad_norm": 1.0,
    },
}
"""Each tool's default values. Effective batches are split into single rows for everyone: that changes
no update, and held-out loss is a mean over micro-batches, which must be the same for all."""


@dataclass(frozen=True)
class Heat:
    """One data set and seed: the rows, and who runs on them."""

    data: str
    seed: int
    rows: int
    trained_tokens: int
    configs: Mapping[str, FinetuneConfig]
    """By contestant."""


def folder() -> Path:
    """The folder of drawn rows and runs, kept between calls."""
    return platformdirs.user_cache_path("lora-wizard") / "contest"


def draw(dataset: DataSet, name: str, seed: int) -> tuple[Path, Path, int, int]:
    """Write the training and held-out rows of a heat.

    Returns:
        Training file, held-out file, training rows, and their trained tokens.

    Raises:
        NoError: The data set has too few rows.
    """
    unique = usable_rows(dataset, LONGEST)
    held, pool = unique[:HELD_OUT], unique[HELD_OUT:]
    random.Random(seed).shuffle(pool)
    drawn: list[int] = []
    tokens = 0
    for i in pool:
        if tokens >= TRAINED_TOKENS:
            break
        drawn.append(i)
        tokens += sum(dataset.tokens(i)[1])
    if tokens < TRAINED_TOKENS:
        raise NoError(f"{name} has only {tokens} trained tokens in rows of up to {LONGEST} tokens.")
    train = write_rows(folder() / "rows" / f"{name}-{seed}.jsonl", dataset, drawn)
    return train, write_rows(folder() / "rows" / f"{name}-held-out.jsonl", dataset, held), len(drawn), tokens


def usable_rows(dataset: DataSet, longest: int) -> list[int]:
    """Rows of at most so many tokens with something to train, each once, in an order that is always the same."""
    lengths = dataset.profile.lengths
    usable = [i for i in range(len(dataset)) if lengths[i] <= longest and any(dataset.tokens(i)[1])]
    unique = list({json.dumps(dataset.row(i), sort_keys=True): i for i in usable}.values())
    random.Random(0).shuffle(unique)
    return unique


def write_rows(path: Path, dataset: DataSet, rows: Sequence[int]) -> Path:
    """A JSONL file of these rows; one that is there already is left alone, since a run may be reading it."""
    text = "\n".join(json.dumps(dataset.row(i), ensure_ascii=False) for i in rows) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return path


def heat(source: Path, seed: int, model: ModelSpec, device: Device) -> Heat:
    """Draw the rows and make every contestant's configuration."""
    train, held, rows, tokens = draw(profile_data(Data(train=[str(source)]), model=model), source.stem, seed)
    data = Data(train=[str(train)], eval=[str(held)])
    fixed = {
        "training.num_train_epochs": 1,
        "training.seed": seed,
        "data.max_length": LONGEST,
        "training.per_device_train_batch_size": 1,
        "run.save_total_limit": 1,
    }
    profile = profile_data(data, model=model).profile
    plan = recommend(model, device, profile, overrides=fixed, data_config=data, model_name=str(model.path))
    configs = {"ours": plan.config}
    configs |= {who: with_values(plan.config, dict(changes)) for who, changes in DEFAULTS.items()}
    rate = plan.config.training.learning_rate
    configs |= {
        f"{TRIED}{each:g}": with_values(plan.config, {"training.learning_rate": each})
        for each in to_try(rate)
        if each != rate
    }
    configs |= {f"rate {rate:g}": with_values(plan.config, {"training.learning_rate": rate}) for rate in GRID}
    timed = {}
    for who, config in configs.items():
        steps = plan_steps(config, profile)
        assert steps is not None
        ends = {"training.max_steps": steps.total, "run.eval_steps": steps.total, "run.save_steps": steps.total}
        timed[who] = with_values(config, ends)
    return Heat(source.stem, seed, rows, tokens, timed)


def settings(config: FinetuneConfig) -> dict[str, Any]:
    """The configuration's values that decide the result; no paths."""
    kept = ("method", "lora.", "training.", "data.max_length", "data.packing", "data.train_on", "quantization.bits")
    return {key: value for key, value in sorted(flatten(config).items()) if key.startswith(kept)}


def unchanged(heats: Sequence[Heat], rows: Sequence[Row]) -> None:
    """Refuse to mix runs of different plans or of different rows. A setting that the line does not know is a new one.

    Raises:
        InputError: A line that is there was made with other settings.
    """
    known = {(one.data, one.seed, who): (one, config) for one in heats for who, config in one.configs.items()}
    for row in rows:
        if row.key not in known:
            continue
        one, config = known[row.key]
        now = settings(config)
        changed = [key for key, value in row.settings.items() if key not in now or now[key] != value]
        if not changed and row.rows == one.rows:
            continue
        what = ", ".join(changed) or "rows"
        raise InputError(
            f"{row.who} on {row.data}, seed {row.seed}, ran with other settings than it would now: {what}.",
            remedy="Go back to the rules of that run, or write to another file with --results.",
        )


def run_heat(one: Heat, device: Device, results: Path, rules: str) -> None:
    """Run who has not run yet, a line of results each; `rules` is the commit that made the plan."""
    done = {row.key for row in load(results)}
    for who, config in one.configs.items():
        if (one.data, one.seed, who) in done:
            continue
        print(f"{one.data}, seed {one.seed}: {who}", file=sys.stderr)
        digest = sha256(f"{one.data} {one.seed} {who} {config.model_dump_json()}".encode()).hexdigest()[:10]
        named = with_values(config, {"run.name": f"contest-{digest}"})
        trial = Trial({"training.learning_rate": config.training.learning_rate}, named)
        (result,) = run_trials([trial], runs=folder() / "runs", device=device, plan=lambda _: {}, log=print_line)
        if result.eval_loss is None:
            raise NoError(f"{who} did not finish: {result.reason or result.status}", remedy=f"See {result.run}.")
        append_line(results, _line(one, who, config, result) | {"rules": rules})
        shutil.rmtree(result.run)


def print_line(line: str) -> None:
    """Say on stderr how far it is."""
    print(line, file=sys.stderr, flush=True)


def _line(one: Heat, who: str, config: FinetuneConfig, result: TrialResult) -> dict[str, Any]:
    return {
        "data": one.data,
        "seed": one.seed,
        "who": who,
        "loss": result.eval_loss,
        "first_loss": result.first_eval_loss,
        "seconds": round(result.seconds or 0.0, 1),
        "steps": config.training.max_steps,
        "rows": one.rows,
        "held_out_rows": HELD_OUT,
        "trained_tokens": one.trained_tokens,
        "settings": settings(config),
    }


def _commit() -> str:
    """The last commit of the rules; '+' behind it where they are changed since."""
    root = Path(__file__).parents[1]
    log = ["git", "log", "-1", "--format=%h", "--", *RULES]
    last = subprocess.run(log, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    clean = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *RULES], cwd=root, check=False).returncode == 0
    return last if clean else f"{last}+"


def append_line(results: Path, line: Mapping[str, Any]) -> None:
    """One more line of JSON."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def this_processor() -> Device:
    """This machine's processor with a fixed amount of memory, so that the plan is the same on every call."""
    from recommender.machine.devices import device_for_cpu
    from recommender.machine.probe import probe

    here = device_for_cpu(probe(folder()))
    return Device(kind="cpu", name=here.name, free_bytes=8 * 2**30, total_bytes=8 * 2**30, bf16=here.bf16, cores=1)


def _heats(sources: Sequence[Path], device: Device) -> Iterator[Heat]:
    model = read_model(str(ensure_demo_model()), offline=True)
    for seed in SEEDS:
        for source in sources:
            yield heat(source.resolve(), seed, model, device)


def asked(about: str | None, results: Path) -> argparse.Namespace:
    """The command line of a program that adds runs to a file: data sets, `--results` and `--table`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, help="data sets in a form that `lora-wizard data` reads")
    parser.add_argument("--results", type=Path, default=results, help="JSON lines, one a run")
    parser.add_argument("--table", action="store_true", help="print what is there and run nothing")
    return parser.parse_args()


def main() -> int:
    """Run what is missing, print the table, and say whether the limits hold."""
    options = asked(__doc__, RESULTS)
    try:
        if not options.table:
            if not options.data:
                raise InputError("Name the data sets.", remedy="python -m benchmarks.contest A.json B.json")
            device, rules = this_processor(), _commit()
            heats = list(_heats(options.data, device))
            unchanged(heats, load(options.results))
            for one in heats:
                run_heat(one, device, options.results, rules)
    except WizardError as problem:
        print(f"{problem.message} {problem.remedy or ''}", file=sys.stderr)
        return problem.exit_code
    rows = load(options.results)
    show(rows)
    return 0 if check(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
