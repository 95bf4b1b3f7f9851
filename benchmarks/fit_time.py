"""Fit the efficiencies of recommender/time/fitted.py to the reference rows: `python -m benchmarks.fit_time [--rows]`.

seconds = a · (half FLOPs / rate + fp32 FLOPs / fp32 rate) + b · bytes / bandwidth + c · layer passes
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.fit_memory import quantile
from benchmarks.reference_rows import Row, load_rows
from recommender.memory.workload import resolve_workload
from recommender.time.work import Work, training_work


def terms(row: Row) -> tuple[float, float, float]:
    """Seconds at full efficiency of products and of traffic, and the number of layer passes."""
    case = resolve_workload(row.config, row.model, row.device, None, row.stack)
    work: Work = training_work(case, case.rows, case.length)
    device = row.device
    rate = device.flops_bf16 if row.config.training.precision == "bf16" else device.flops_fp16
    assert rate and device.flops_fp32 and device.bandwidth
    return (
        work.half_flops / rate + work.full_flops / device.flops_fp32,
        work.moved_bytes / device.bandwidth,
        float(work.layers),
    )


def solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gaussian elimination with pivots; the system is small and positive definite."""
    size = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, size):
            factor = rows[k][i] / rows[i][i]
            rows[k] = [x - factor * y for x, y in zip(rows[k], rows[i], strict=True)]
    answer = [0.0] * size
    for i in reversed(range(size)):
        rest = sum(rows[i][k] * answer[k] for k in range(i + 1, size))
        answer[i] = (rows[i][size] - rest) / rows[i][i]
    return answer


def fit(rows: Sequence[Row]) -> tuple[float, ...]:
    """Non-negative least squares of the relative error: terms that come out negative are dropped in turn."""
    data = [tuple(value / row.seconds for value in terms(row)) for row in rows]
    kept = [0, 1, 2]
    while True:
        matrix = [[sum(line[i] * line[j] for line in data) + (1e-18 if i == j else 0) for j in kept] for i in kept]
        answer = solve(matrix, [sum(line[i] for line in data) for i in kept])
        if min(answer) >= 0:
            full = [0.0, 0.0, 0.0]
            for index, value in zip(kept, answer, strict=True):
                full[index] = value
            return tuple(full)
        kept.pop(answer.index(min(answer)))


def predicted(row: Row, factors: Sequence[float]) -> float:
    """Seconds of the row's step."""
    return sum(factor * term for factor, term in zip(factors, terms(row), strict=True))


def left_out(rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """Each row with its truth over its estimate, fitted without its model."""
    answers = []
    for name in sorted({row.model.name for row in rows}):
        without = fit([row for row in rows if row.model.name != name])
        answers += [(row, row.seconds / predicted(row, without)) for row in rows if row.model.name == name]
    return answers


def main() -> None:
    """Fit each group, with every model left out once, and print."""
    for group in ("t4", "a100"):
        rows = [row for row in load_rows() if row.group == group]
        factors = fit(rows)
        ratios = left_out(rows)
        errors = [abs(1 / ratio - 1) for _, ratio in ratios]
        print(group, "factors", [f"{factor:.4g}" for factor in factors])
        low, high = (quantile([ratio for _, ratio in ratios], q) for q in (0.05, 0.95))
        print(
            f"  left out: median {quantile(errors, 0.5):.1%}  90th {quantile(errors, 0.9):.1%}  worst {max(errors):.1%}"
            f"; spread {low:.2f} to {high:.2f}"
        )
        if "--rows" in sys.argv:
            for row, ratio in ratios:
                parts = " ".join(f"{f * t:7.3f}" for f, t in zip(factors, terms(row), strict=True))
                print(f"    {row.label:68s} {row.seconds:7.3f} s {1 / ratio - 1:+6.1%}   {parts}")


if __name__ == "__main__":
    main()
