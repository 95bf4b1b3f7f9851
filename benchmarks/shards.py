"""Hold the shards' formula against two A100 with FSDP: `python -m benchmarks.shards`.

`benchmarks/reference/memory_a100_two.csv`: mean peak and steady allocated memory of each of two cards, bf16, LoRA and
NF4, full sharding (FSDP1, whose shards have the same sizes). The file's tokens a sample are of both cards together:
the rows were 4 096 tokens long, as its one-card rows are; activations agree with that and not with half of it. With
FSDP the stack makes no fp32 copies of the frozen weights, so that both of its NF4 configurations are one here. Left
out: santacoder, whose architecture is none of ours (multi-query GPT-2), and rows of some hundred padded tokens, whose
lengths are not known. Exit 1 when the peaks' mean error is above 5 %, one above 15 %, or a steady one above 3 %.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.reference_rows import CONFIGS, GIB, HERE, _config, _device
from recommender.config.edit import with_values
from recommender.estimate.shards import SHARDED, shards_of
from recommender.memory.price import price
from recommender.memory.stacks import STACKS
from recommender.memory.workload import resolve_workload
from recommender.model.families import spec_from_config

LENGTH = 4096
MEAN, WORST, STEADY = 0.05, 0.15, 0.03


@dataclass(frozen=True, slots=True)
class Row:
    """A measured run of two cards, and the price of each."""

    label: str
    allocated: float
    held: float
    """Between two steps, GiB as the others: with cuBLAS's workspaces, which the allocator counts."""
    peak: float
    steady: float

    @property
    def peak_error(self) -> float:
        """Relative error of the peak of allocated memory."""
        return self.allocated / self.peak - 1

    @property
    def steady_error(self) -> float:
        """Relative error of what is held between two steps."""
        return self.held / self.steady - 1


def rows() -> Iterator[Row]:
    """Yield every row that the estimator can be asked about."""
    with (HERE / "memory_a100_two.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["model"] in CONFIGS and row["file"] != "a100_80gb_pf":
                yield _row(row)


def _row(row: dict[str, str]) -> Row:
    config = _config(
        row["config"] != "none",
        double=True,
        rank=16,
        rows=int(row["bs_per_dev"]),
        length=LENGTH,
        precision="bf16",
        attn_implementation="flash_attention_2",
        lora_dropout=0.1,
        optim="adamw_torch",
    )
    config = with_values(config, {"launch.processes": 2, "launch.strategy": "fsdp"})
    model = spec_from_config(CONFIGS[row["model"]], row["model"])
    stack = replace(STACKS["hf-trainer-noupcast"], shifted_copy=row["file"] == "a100_80gb")
    case = replace(resolve_workload(config, model, _device("A100 PCIe 80GB"), None, stack), alike=0.0)
    parts = price(case).parts
    shards = shards_of(config, model, parts, 2)
    held = sum(parts[name] - shards.less[name] for name in SHARDED if name != "gradients") + parts["workspace"]
    return Row(
        f"{row['model'].rsplit('/', 1)[-1]} {row['config']} {row['bs_per_dev']}",
        (sum(parts.values()) - parts["allocator"] - parts["context"] + shards.more) / GIB,
        held / GIB,
        float(row["torch_peak_alloc_GiB"]),
        float(row["torch_steady_alloc_GiB"]),
    )


def main() -> int:
    """Print the table."""
    found = list(rows())
    for row in found:
        print(
            f"{row.label:<48} peak {row.allocated:6.2f} of {row.peak:6.2f} GiB {row.peak_error:+7.1%}"
            f"   steady {row.steady_error:+6.1%}"
        )
    peaks, steady = [abs(row.peak_error) for row in found], [abs(row.steady_error) for row in found]
    mean = sum(peaks) / len(peaks)
    print(
        f"{len(found)} rows: peak {mean:.1%} on average, {max(peaks):.1%} at worst; steady {max(steady):.1%} at worst"
    )
    return int(mean > MEAN or max(peaks) > WORST or max(steady) > STEADY)


if __name__ == "__main__":
    sys.exit(main())
