"""The interval of a traced plan, from what the tracing process answers: no trace is run here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recommender.estimate.estimate import estimate
from recommender.machine.facts import Device
from recommender.memory.stacks import find_stack
from recommender.memory.workload import resolve_workload
from recommender.plan.recommend import recommend
from tests.unit.plan.facts import CPU, EXAMPLE, GIB, LLAMA_8B, RTX_4090, SMOLLM, T4
from trainer.trace.ask import _estimate

MIB = 2**20
ALLOCATED, RESERVED = 5 * GIB, 6 * GIB
PARTS = {"weights": 4 * GIB, "activations": GIB}


@pytest.mark.parametrize(
    ("device", "stack", "context", "low", "high"),
    [
        # Constants of recommender.memory.fitted, written out: context in MiB, and the interval's ends.
        (RTX_4090, "trl", 450, 0.95, 1.08),
        (RTX_4090, "hf-trainer", 450, 0.93, 1.07),
        (T4, "hf-trainer", 140.875, 0.93, 1.07),
        (CPU, "trl", 0, 0.80, 1.25),
    ],
)
def test_both_ends_are_shares_of_what_the_process_holds(
    device: Device, stack: str, context: float, low: float, high: float
) -> None:
    model = SMOLLM if device.kind == "cpu" else LLAMA_8B
    workload = resolve_workload(recommend(model, device, EXAMPLE).config, model, device, None, find_stack(stack))
    formula = estimate(workload.config, model, device, None, stack=stack)
    found = _estimate(workload, formula, {"allocated": ALLOCATED, "reserved": RESERVED, "parts": PARTS}, None)
    alone = (ALLOCATED if device.kind == "cpu" else RESERVED) + round(context * MIB)
    assert found.peak.process_bytes == alone
    assert found.peak.low_bytes == round(alone * low)
    assert found.peak.high_bytes == round(alone * high)
    assert sum(found.parts.values()) == alone
    assert (found.basis, found.time, found.disk_bytes) == ("trace", formula.time, formula.disk_bytes)


def test_it_fits_only_up_to_its_upper_end() -> None:
    workload = resolve_workload(
        recommend(LLAMA_8B, RTX_4090, EXAMPLE).config, LLAMA_8B, RTX_4090, None, find_stack("trl")
    )
    formula = estimate(workload.config, LLAMA_8B, RTX_4090, None)
    document = {"allocated": ALLOCATED, "reserved": RESERVED, "parts": PARTS}
    most = _estimate(workload, formula, document, None).peak.most_bytes
    fits = [_estimate(workload, replace(formula, free_bytes=most - less), document, None).fits for less in (0, 1)]
    assert fits == ["yes", "tight"]
