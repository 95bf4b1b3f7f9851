"""Hold the estimator against what people reported: `python -m benchmarks.reports [FILE | --more | --fresh]`.

`benchmarks/reference/reports.csv`, with `--more` `reports_more.csv`, with `--fresh` `reports_fresh.csv`, or another
file of their columns: fine-tunes on one GPU with whether they fitted and, where it was read, the peak and by which
counter. Each is priced with its stack on its card; where `unsure` names a second reading of the targets, that one
counts where the first is wrong.
Exit 1 when more than two verdicts are wrong, or the mean error of measured peaks (facts A and B) is above 5 %.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp, log, sqrt
from pathlib import Path
from statistics import NormalDist

from benchmarks.reference_rows import GIB, HERE
from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.data.profile.tally import WholeRows
from recommender.estimate.estimate import estimate
from recommender.estimate.types import Estimate
from recommender.machine.devices import device_from_catalogue, device_from_memory
from recommender.machine.facts import Device
from recommender.model.families import spec_from_config
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec

WRONG, MEAN = 2, 0.05
FILES = {"--more": "reports_more.csv", "--fresh": "reports_fresh.csv"}
MIXED = "lengths are mixed"
NEWS = 3234.4, 2547.5, 4959
"""Mean and standard deviation of the tokens of a row, and rows, of cls-fudan-news-zh: what ms-swift's benchmark page
says it trained on, by Qwen's tokenizer. Taken as lognormal."""
WHOLE, SAMPLED = 2048, 1000
"""Largest limit with which the page trained on all rows, and the rows that it took beyond."""
SHORTEST = 8
"""Tokens that a configuration may ask for at least: shorter rows are priced as fewer of this length."""
CARDS = {"A100 80GB": "A100 SXM 80GB", "A100 40GB": "A100 SXM 40GB"}

Report = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One reading of a report, priced."""

    estimate: Estimate
    right: bool | None
    """Whether the verdict is the outcome; None where there is no outcome."""
    error: float | None
    """Relative error of the measured peak by its counter."""


def load_reports(path: Path) -> list[Report]:
    """The rows of a file; one that is 'as' another is unsure of the same."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = {row["id"]: row["unsure"] for row in rows}
    for row in rows:
        if other := re.match(r"as (\w+)", row["unsure"]):
            row["unsure"] += "; " + known.get(other[1], "")
    return [*rows]


def model_of(report: Report) -> ModelSpec:
    """The model: by name from the catalogue, or from a configuration that stands in the row."""
    named = report["architecture"]
    return spec_from_config(json.loads(named), report["model"]) if named.startswith("{") else read_model(named)


def device_of(report: Report) -> Device:
    """The card, empty; one that nobody named only by its memory."""
    name = report["gpu"]
    size = float(report["gpu_gib"])
    if name in ("", "n/s"):
        return device_from_memory(round(size * GIB))
    return device_from_catalogue(CARDS.get(name, name))


def stack_of(report: Report) -> str:
    """The stack; without mixed precision where the report says that what is not quantised was loaded in fp32."""
    fp32 = "fp32 unquantised" in report["unsure"] or "unquantised modules loaded in fp32" in report["unsure"]
    return "hf-trainer-fp32" if fp32 and report["stack"] == "hf-trainer" else report["stack"]


def dropout_of(report: Report) -> float:
    """The adapter's dropout, where the report says one."""
    found = re.search(r"lora_dropout ([\d.]+)", report["unsure"])
    return float(found[1]) if found else 0.0


def data_of(report: Report) -> DataProfile | None:
    """The rows, where the report says that lengths are mixed; without those over the limit where it leaves them out."""
    if MIXED not in report["unsure"]:
        return None
    mean, deviation, rows = NEWS
    limit = int(report["length"])
    if limit > WHOLE:
        rows = SAMPLED
    sigma = sqrt(log(1 + (deviation / mean) ** 2))
    normal = NormalDist(log(mean) - sigma * sigma / 2, sigma)
    every = [round(exp(normal.inv_cdf((row + 0.5) / rows))) for row in range(rows)]
    lengths = [length for length in every if length <= limit or "left out" not in report["unsure"]]
    return DataProfile(
        files=(),
        shape="synthetic",
        shape_reason="lognormal, as published",
        columns={},
        lengths=lengths,
        spans=WholeRows(lengths),
        span_start=range(len(lengths) + 1),
    )


def steps_of(report: Report) -> int:
    """Micro-batches whose gradients are added up, where the report says how many."""
    found = re.search(r"steps accumulated: (\d+) said|gradient accumulation (\d+)", report["unsure"])
    return int(found[1] or found[2]) if found else 1


def readings(report: Report) -> Iterator[list[str] | str]:
    """The targets as they are taken first, then as `unsure` allows."""
    targets = report["target_modules"]
    yield "all-linear" if targets in ("", "all-linear") else targets.split("+")
    if "all-linear as second reading" in report["unsure"]:
        yield "all-linear"


def config_of(report: Report, targets: list[str] | str) -> FinetuneConfig:
    """The configuration that was run."""
    method = {"8bit": "qlora"}.get(report["method"], report["method"])
    optim = {"adamw_bnb_8bit": "adamw_8bit"}.get(report["optim"], report["optim"])
    bits = int(report["bits"])
    length, rows = int(report["length"]), int(report["micro_batch"])
    if length < SHORTEST:
        length, rows = SHORTEST, max(1, rows * length // SHORTEST)
    return FinetuneConfig.model_validate(
        {
            "model": report["model"],
            "method": method,
            "quantization": {"bits": bits if bits < 16 else None},
            "lora": {"r": max(1, int(report["r"])), "target_modules": targets, "lora_dropout": dropout_of(report)},
            "data": {"max_length": length, "packing": False},
            "training": {
                "per_device_train_batch_size": rows,
                "gradient_accumulation_steps": steps_of(report),
                "gradient_checkpointing": report["gradient_checkpointing"] == "True",
                "attn_implementation": report["attention"],
                "optim": optim,
                "precision": report["precision"],
            },
        }
    )


def answers(report: Report) -> Iterator[Answer]:
    """Every reading of a report, priced.

    Raises:
        InputError: It cannot be priced.
    """
    model, device = model_of(report), device_of(report)
    for targets in readings(report):
        found = estimate(config_of(report, targets), model, device, data_of(report), stack=stack_of(report))
        yield Answer(found, verdict(report, found), error(report, found))


def verdict(report: Report, found: Estimate) -> bool | None:
    """Whether the answer is what happened: 'tight' is a yes with a warning."""
    if report["outcome"] not in ("ran", "oom"):
        return None
    return (found.fits == "no") == (report["outcome"] == "oom")


def error(report: Report, found: Estimate) -> float | None:
    """Relative error of the peak by the counter that was read."""
    if not report["measured_gib"]:
        return None
    return counted(report, found) / (float(report["measured_gib"]) * GIB) - 1


def counted(report: Report, found: Estimate) -> int:
    """The estimate by the report's counter.

    A profiler reads the steps, not the loading before them. Where the cache would not fit beside what is needed,
    PyTorch gives all of it back before it fails.
    """
    peak = found.peak
    if report["counter"] == "allocated":
        if "profiler" in report["unsure"]:
            return max(found.phases[name] for name in ("forward", "backward", "optimizer"))
        return peak.allocated_bytes
    taken = peak.process_bytes if peak.process_bytes <= found.free_bytes else peak.needed_bytes
    return taken - (found.parts["context"] if report["counter"] == "reserved" else 0)


def best(found: list[Answer]) -> Answer:
    """The first reading that is right; else the first."""
    return next((one for one in found if one.right), found[0])


def line(report: Report, one: Answer) -> str:
    """As printed."""
    said = {True: "right", False: "WRONG", None: "-"}[one.right]
    peak = one.estimate.peak
    off = "" if one.error is None else f"{report['counter']:9s} {float(report['measured_gib']):6.2f} {one.error:+7.1%}"
    return (
        f"{report['id']:5s} {report['facts']} {report['model']:16s} {report['gpu']:12s} {report['outcome']:4s} "
        f"{one.estimate.fits:5s} {said:5s} needed {peak.needed_bytes / GIB:6.2f} "
        f"process {peak.process_bytes / GIB:6.2f} of {one.estimate.free_bytes / GIB:6.2f}  {off}"
    )


def path_of(words: list[str]) -> Path:
    """The file that is asked for."""
    named = [word for word in words if not word.startswith("--")]
    return Path(named[0]) if named else HERE / next((FILES[word] for word in words if word in FILES), "reports.csv")


def main() -> int:
    """Print the table; 1 when a limit is missed."""
    reports = load_reports(path_of(sys.argv[1:]))
    verdicts: list[bool] = []
    errors: list[float] = []
    for report in reports:
        try:
            one = best(list(answers(report)))
        except InputError as refused:
            print(f"{report['id']:5s} refused: {refused.message}")
            continue
        print(line(report, one))
        verdicts += [] if one.right is None else [one.right]
        errors += [abs(one.error)] if one.error is not None and report["facts"] in ("A", "B") else []
    wrong, mean = verdicts.count(False), sum(errors) / len(errors) if errors else 0.0
    print(
        f"verdicts: {wrong} of {len(verdicts)} wrong (limit {WRONG}); measured peaks: MAPE {mean:.2%} of {len(errors)}"
    )
    return int(wrong > WRONG or mean > MEAN)


if __name__ == "__main__":
    sys.exit(main())
