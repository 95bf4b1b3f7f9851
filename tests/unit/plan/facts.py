"""Machines, models and data to plan for, made by hand: no probe, no hub, no catalogue of cards."""

from __future__ import annotations

from functools import cache

from recommender.data.profile.profile import DataProfile
from recommender.data.profile.synthetic import synthetic_profile
from recommender.machine.facts import Device
from recommender.model.reader import read_model
from recommender.model.spec import ModelSpec

GIB = 2**30


def card(
    name: str, free_gib: float, capability: tuple[int, int], *, bandwidth: float = 936e9, flops: float = 71e12
) -> Device:
    bf16 = capability >= (8, 0)
    return Device(
        kind="cuda",
        name=name,
        free_bytes=int(free_gib * GIB),
        total_bytes=int((free_gib + 0.4) * GIB),
        compute_capability=capability,
        bandwidth=bandwidth,
        flops_bf16=flops if bf16 else None,
        flops_fp16=flops,
        flops_fp32=flops / 2,
        bf16=bf16,
    )


RTX_3090 = card("RTX 3090", 23.6, (8, 6))
RTX_4090 = card("RTX 4090", 23.6, (8, 9), bandwidth=1008e9, flops=165e12)
RTX_5090 = card("RTX 5090", 31.4, (12, 0), bandwidth=1792e9, flops=210e12)
LAPTOP = card("RTX 4060 Laptop", 7.6, (8, 9), bandwidth=256e9, flops=60e12)
TINY_CARD = card("GTX 1650", 3.7, (7, 5), bandwidth=128e9, flops=6e12)
T4 = card("T4", 14.6, (7, 5), bandwidth=320e9, flops=65e12)
V100 = card("V100", 15.7, (7, 0), bandwidth=900e9, flops=125e12)
H200 = card("H200", 139.0, (9, 0), bandwidth=4800e9, flops=989e12)
UNKNOWN_24 = Device(
    kind="cuda",
    name="24 GiB GPU",
    free_bytes=int(23.6 * GIB),
    total_bytes=24 * GIB,
    compute_capability=(8, 0),
    bf16=True,
    simulated=True,
)
CPU = Device(
    kind="cpu",
    name="a CPU",
    free_bytes=12 * GIB,
    total_bytes=16 * GIB,
    bandwidth=40e9,
    flops_fp32=2e11,
    flops_bf16=1e11,
    cores=2,
)
CARDS = (RTX_3090, RTX_4090, RTX_5090, LAPTOP, T4, V100, H200, UNKNOWN_24)


@cache
def model(name: str) -> ModelSpec:
    return read_model(name, offline=True)


LLAMA_8B = model("llama-3.1-8b-instruct")
SMOLLM = model("smollm2-135m-instruct")


@cache
def rows(count: int, tokens: float) -> DataProfile:
    return synthetic_profile(count, tokens)


EXAMPLE = rows(50_000, 200)
"""The data of the issue's example."""
