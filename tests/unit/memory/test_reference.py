"""The formula against what others measured: the limits of benchmarks/memory_reference.py, kept as a test."""

from __future__ import annotations

from benchmarks.fit_memory import fit, left_out, quantile
from benchmarks.fit_time import fit as fit_time
from benchmarks.fit_time import left_out as times_left_out
from benchmarks.memory_reference import error, priced
from benchmarks.reference_rows import Row, load_rows
from recommender.memory.fitted import RESIDUE, SPREAD
from recommender.time.fitted import AMPERE, TURING

ROWS = load_rows()
MEMORY = [row for row in ROWS if row.scored]


def group(name: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.group == name]


def test_allocated_memory() -> None:
    errors = [abs(error(row)) for row in MEMORY]
    assert len(errors) == 61
    assert sum(errors) / len(errors) <= 0.01
    assert max(errors) <= 0.035


def test_process_memory_with_each_model_left_out() -> None:
    for name, mean, worst in (("t4", 0.04, 0.14), ("a100", 0.08, 0.2)):
        errors = [abs(1 / ratio - 1) for _, ratio in left_out(group(name, MEMORY))]
        assert sum(errors) / len(errors) <= mean
        assert max(errors) <= worst


def test_the_interval_holds_the_truth_nine_times_in_ten() -> None:
    for name, spread in (("t4", SPREAD["turing"]), ("a100", SPREAD["ampere"])):
        ratios = [ratio for _, ratio in left_out(group(name, MEMORY))]
        inside = sum(spread.low <= ratio <= spread.high for ratio in ratios)
        assert inside >= 0.9 * len(ratios)
        assert spread.high <= 1.08


def test_never_yes_on_a_card_with_less_than_was_measured() -> None:
    for row in group("t4", MEMORY):
        assert priced(row).process * SPREAD["turing"].high > 0.95 * row.process


def test_constants_are_what_the_program_prints() -> None:
    shares = {**fit(group("t4", MEMORY)), **fit(group("a100", MEMORY))}
    assert all(abs(shares[kind] - RESIDUE[kind]) < 0.01 for kind in RESIDUE)


def test_step_times_with_each_model_left_out() -> None:
    for name in ("t4", "a100"):
        errors = [abs(1 / ratio - 1) for _, ratio in times_left_out(group(name, ROWS))]
        assert quantile(errors, 0.5) <= 0.15
        assert quantile(errors, 0.9) <= 0.35


def test_time_constants_are_what_the_program_prints() -> None:
    for name, speed in (("t4", TURING), ("a100", AMPERE)):
        factors = fit_time(group(name, ROWS))
        kept = (speed.products, speed.traffic, speed.pass_seconds)
        assert all(abs(a / b - 1) < 0.01 for a, b in zip(factors, kept, strict=True))
