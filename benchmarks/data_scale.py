"""Figures of the data profile: `python -m benchmarks.data_scale [--rows N] [--only PART]`.

Makes alpaca-like rows in a temporary folder, and measures in processes of their own, with SmolLM2's tokenizer:

- large: N rows (1 000 000, about 700 MB); the first estimate from the start of the reading (limit 2 s), and the peak
  memory of the process through the whole profile (limit 1.5 GiB).
- exact: 100 000 rows; rows/s of the profile against those of the tokenizer's bare `encode_batch` over the same texts,
  at the best of three batch sizes, in the same run (limit 0.8), and the same of processor seconds, which other programs
  on the machine do not disturb; then the second opening (limit 1 s).
- sampled: 1 000 seeded samples of 2 000 of 100 000 lengths; how often the 95 % intervals of p99 and of the share that
  is cut hold the truth (limit 930), and their width against the binomial one.
- repaint: from a key that changes max_length to the repainted figures, 100 000 rows (limit 50 ms, 95th percentile).

Prints a line for each figure and exits 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from recommender.config.schema import Data
from recommender.model.reader import read_model
from trainer.models.demo import ensure_demo_model

PARTS = ("large", "exact", "sampled", "repaint")
LIMIT_FIRST, LIMIT_MEMORY, LIMIT_RATIO, LIMIT_SECOND, LIMIT_HELD, LIMIT_REPAINT = 2.0, 1.5 * 2**30, 0.8, 1.0, 930, 0.050
WORDS = [
    f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "ou", "ea") for c in ("", "n", "r", "st", "ll")
]


def write_rows(path: Path, count: int) -> Path:
    """Alpaca-like rows of about 700 bytes, of lognormal lengths."""
    rng = Random(1)
    sentences = [" ".join(rng.choices(WORDS, k=rng.randint(6, 14))).capitalize() + "." for _ in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            answer = " ".join(rng.choices(sentences, k=max(1, min(60, int(rng.lognormvariate(2.0, 0.7))))))
            asked = f"{number}: {rng.choice(sentences)}"
            row = {"instruction": asked, "input": rng.choice(sentences) if number % 3 else "", "output": answer}
            file.write(json.dumps(row) + "\n")
    return path


def large(path: Path) -> dict[str, float]:
    """Seconds to the first estimate and of all, and the peak memory."""
    from recommender.data.load import FirstLook, profile_data

    spec = read_model(str(ensure_demo_model()))
    began = time.perf_counter()
    looks: list[tuple[float, FirstLook]] = []
    exact = profile_data(
        Data(train=[str(path)]),
        model=spec,
        on_first_look=lambda look: looks.append((time.perf_counter() - began, look)),
    ).profile
    seconds, look = looks[0]
    p99 = look.quantile(0.99)
    return {
        "first": seconds,
        "drawn": look.drawn,
        "p99": p99.value,
        "p99_low": p99.low,
        "p99_high": p99.high or 0,
        "exact_p99": exact.quantile(0.99),
        "rows": exact.rows,
        "rows_told": look.rows.value,
        "all": time.perf_counter() - began,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def exact(path: Path) -> dict[str, float]:
    """Rows/s of the profile and of the bare tokenizer, and the seconds of the second opening."""
    from recommender.data.load import profile_data

    spec = read_model(str(ensure_demo_model()))
    began, busy = time.perf_counter(), time.process_time()
    dataset = profile_data(Data(train=[str(path)]), model=spec)
    ours, our_cpu = time.perf_counter() - began, time.process_time() - busy
    tokeniser = dataset._need_tokenizer()
    texts = [
        row.text for i in range(len(dataset)) for row in tokeniser.render([dataset.example(i)]) if hasattr(row, "text")
    ]
    bare = tokeniser.vocabulary._tokenizer
    best = bare_cpu = float("inf")
    for size in (256, 1000, 10_000):
        began, busy = time.perf_counter(), time.process_time()
        for first in range(0, len(texts), size):
            bare.encode_batch(texts[first : first + size], add_special_tokens=False)
        best, bare_cpu = min(best, time.perf_counter() - began), min(bare_cpu, time.process_time() - busy)
    began = time.perf_counter()
    again = profile_data(Data(train=[str(path)]), model=spec)
    second = time.perf_counter() - began
    return {
        "ours": len(dataset) / ours,
        "bare": len(dataset) / best,
        "our_cpu": our_cpu,
        "bare_cpu": bare_cpu,
        "second": second,
        "same": again.profile == dataset.profile,
    }


def sampled() -> dict[str, float]:
    """Coverage of the intervals from seeded samples, and their width beside the binomial one."""
    from recommender.data.profile import intervals

    rng = Random(0)
    everyone = sorted(max(3, int(rng.lognormvariate(5.0, 0.75))) for _ in range(100_000))
    truth, limit = everyone[int(0.99 * len(everyone)) - 1], 512
    cut = sum(length > limit for length in everyone) / len(everyone)
    held = {"p99": 0, "cut": 0}
    wider = 0
    for seed in range(1000):
        drawn = sorted(Random(seed).sample(everyone, 2000))
        p99 = intervals.quantile(drawn, 0.99)
        hits = sum(length > limit for length in drawn)
        share = intervals.share(hits, 2000)
        held["p99"] += p99.low <= truth <= (p99.high if p99.high is not None else truth)
        held["cut"] += share.low <= cut <= (share.high if share.high is not None else 1)
        low, high = binomial_interval(hits, 2000)
        wider += (share.high or 1) - share.low > high - low + 1e-6
    return {**held, "wider": wider}


def binomial_interval(hits: int, drawn: int) -> tuple[float, float]:
    """The exact binomial interval by searching the distribution itself, with nothing of ours."""
    from math import exp, lgamma, log

    def upto(count: int, p: float) -> float:
        if p <= 0 or p >= 1:
            return 1.0 if p <= 0 or count >= drawn else 0.0
        return sum(
            exp(lgamma(drawn + 1) - lgamma(k + 1) - lgamma(drawn - k + 1) + k * log(p) + (drawn - k) * log(1 - p))
            for k in range(count + 1)
        )

    def solved(falling: Callable[[float], float], wanted: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if falling(middle) > wanted else (low, middle)
        return low

    return (solved(lambda p: upto(hits - 1, p), 0.975) if hits else 0.0), solved(lambda p: upto(hits, p), 0.025)


def repaint(path: Path) -> dict[str, float]:
    """The 95th percentile of the time from a key to the repainted figures, of 60 keys."""
    return {"repaint": asyncio.run(_repaint(path))}


async def _repaint(path: Path) -> float:
    from tui.widgets.rows import Rows
    from tui.widgets.top_bar import Step
    from tui.wizard.app import WizardApp
    from tui.wizard.draft import Draft
    from tui.wizard.services import RealServices
    from tui.wizard.state import WizardState

    state = WizardState(Draft(model_name=str(ensure_demo_model()), data={"train": [str(path)]}))
    app = WizardApp(RealServices(path.parent / "runs"), state, start=Step.DATA)
    times = []
    async with app.run_test(size=(120, 40)) as pilot:
        while app.state.dataset is None or app.state.working:
            await pilot.pause(0.05)
        shown = app.screen.query_one("#profile-rows", Rows)
        for number in range(60):
            before, painted = shown.plain, asyncio.Event()
            began = time.perf_counter()
            await app.screen.run_action(f"length({-1 if number % 10 < 5 else 1})")
            while shown.plain == before:
                await asyncio.sleep(0)
            shown.refresh()
            app.screen.call_after_refresh(painted.set)
            await painted.wait()
            times.append(time.perf_counter() - began)
    return sorted(times)[int(0.95 * len(times))]


def measured(part: str, path: Path) -> dict[str, Any]:
    """Run one part in a process of its own, with a cache of its own."""
    environment = {**os.environ, "LORA_WIZARD_BENCH_CACHE": str(path.parent / "cache")}
    command = [sys.executable, "-m", "benchmarks.data_scale", "--child", part, "--file", str(path)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    held: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return held


def child(part: str, path: Path) -> None:
    """Run one part in this process and print its figures as JSON."""
    from recommender.data.profile import cache

    cache._folder = lambda: Path(os.environ["LORA_WIZARD_BENCH_CACHE"]) / part
    done = sampled() if part == "sampled" else {"large": large, "exact": exact, "repaint": repaint}[part](path)
    print(json.dumps(done))


def judge(part: str, held: dict[str, Any]) -> bool:
    """Print what a part came to, and say whether its limits hold."""
    if part == "large":
        gib = held["peak"] / 2**30
        print(
            f"{held['rows']:,} rows: first estimate after {held['first']:.2f} s from {held['drawn']} rows (limit 2 s)"
        )
        told = f"{held['p99']:.0f} ({held['p99_low']:.0f}-{held['p99_high']:.0f})"
        print(f"  p99 {told}, exactly {held['exact_p99']}; about {held['rows_told']:,.0f} rows; {held['all']:.0f} s")
        print(f"  peak memory {gib:.2f} GiB (limit 1.5)")
        return bool(held["first"] <= LIMIT_FIRST and held["peak"] <= LIMIT_MEMORY)
    if part == "exact":
        ratio = held["ours"] / held["bare"]
        print(f"profile {held['ours']:,.0f} rows/s, bare encode_batch {held['bare']:,.0f}: {ratio:.2f} (limit 0.8)")
        print(f"second opening {held['second']:.2f} s (limit 1 s), the same: {held['same']}")
        print(f"  of processor seconds {held['bare_cpu'] / held['our_cpu']:.2f}")
        return bool(ratio >= LIMIT_RATIO and held["second"] <= LIMIT_SECOND)
    if part == "sampled":
        print(f"of 1000 samples the interval holds p99 in {held['p99']}, the share cut in {held['cut']} (limit 930)")
        print(f"  wider than the binomial interval: {held['wider']} (limit 0)")
        return bool(min(held["p99"], held["cut"]) >= LIMIT_HELD and not held["wider"])
    print(f"max_length to repainted figures: {held['repaint'] * 1000:.0f} ms, 95th percentile (limit 50 ms)")
    return bool(held["repaint"] <= LIMIT_REPAINT)


def main() -> int:
    """Measure, print, and say whether the limits hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--child", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.file)
        return 0
    held = True
    with tempfile.TemporaryDirectory(prefix="data-scale-") as folder:
        for part in (asked.only,) if asked.only else PARTS:
            count = {"large": asked.rows, "sampled": 0}.get(part, min(100_000, asked.rows))
            path = write_rows(Path(folder) / f"{part}.jsonl", count)
            try:
                held &= judge(part, measured(part, path))
            except subprocess.CalledProcessError as error:
                print(error.stderr[-2000:], file=sys.stderr)
                held = False
            with suppress(OSError):
                path.unlink()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
