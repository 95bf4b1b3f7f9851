"""Hold the memory formula against public measurements: `python benchmarks/memory_reference.py [--rows]`.

Allocated memory: mean and worst error over all scored rows. Process memory: the same, with the allocator's residue
fitted without the row's model (leave one model out).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from benchmarks.reference_rows import GIB, Row, load_rows
from recommender.memory.price import Price, price


def priced(row: Row) -> Price:
    """The formula's answer."""
    return price(row.case())


def error(row: Row) -> float:
    """Relative error of allocated memory."""
    return priced(row).allocated / row.allocated - 1


def summary(errors: Iterable[float]) -> str:
    """Mean and worst of relative errors."""
    sizes = [abs(e) for e in errors]
    return f"{len(sizes):3d} rows  MAPE {sum(sizes) / len(sizes):6.2%}  worst {max(sizes):6.2%}"


def columns(row: Row) -> str:
    """Measured and predicted GiB with the error, allocated and process."""
    answer = priced(row)
    pairs = {"allocated": (row.allocated, answer.allocated), "process": (row.process, answer.process)}
    return "  ".join(
        f"{name} {truth / GIB:6.2f} {mine / GIB:6.2f} {mine / truth - 1:+6.1%}" for name, (truth, mine) in pairs.items()
    )


def main() -> int:
    """Print the tables; 1 when a limit is missed."""
    rows = [row for row in load_rows() if row.scored]
    if "--rows" in sys.argv:
        for row in rows:
            print(f"{row.label:68s}", columns(row))
    for name in ("t4", "a100"):
        print(f"allocated, {name:5s}", summary(error(row) for row in rows if row.group == name))
    print("allocated, all  ", summary(error(row) for row in rows))
    for name in ("t4", "a100"):
        group = [row for row in rows if row.group == name]
        print(f"process,   {name:5s}", summary(priced(row).process / row.process - 1 for row in group))
    errors = [abs(error(row)) for row in rows]
    return int(sum(errors) / len(errors) > 0.015 or max(errors) > 0.05)


if __name__ == "__main__":
    sys.exit(main())
