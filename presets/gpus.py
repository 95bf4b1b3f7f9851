"""The catalogue of GPUs: facts from vendors' data sheets in gpus.yaml, their schema and the search by name.

Rates are dense (no structured sparsity). Memory is the marketed size; vendors write GB for 2^30 bytes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from presets.errors import InputError
from presets.yaml_file import read_yaml

GpuKind = Literal["consumer", "laptop", "workstation", "datacentre", "unified"]

FILE = Path(__file__).with_name("gpus.yaml")
_GIB = 2**30

_DRIVER_FIXED = 0.2
_DRIVER_SHARE = 0.0075
_ECC_SHARE = 1 / 16


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """A vendor's figures for one card. None means 'not published'."""

    name: str
    """Short name, such as 'RTX 4090' or 'A100 SXM 80GB'."""
    kind: GpuKind
    architecture: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    """Marketed size in bytes (GB taken as 2^30)."""
    bandwidth: float
    """Peak memory bandwidth, bytes a second."""
    flops_bf16: float | None
    """Dense tensor-core rate in bf16 with fp32 accumulation, FLOP/s; None where the card has no bf16."""
    flops_fp16: float | None
    """Dense rate in fp16 with fp32 accumulation, FLOP/s, which is what PyTorch's matrix products use."""
    flops_fp32: float
    """Dense fp32 rate outside the tensor cores, FLOP/s."""
    power_watts: float | None
    """Board power; of a laptop part, the top of its range."""
    source: str
    """The source of the figures."""
    aliases: tuple[str, ...] = ()
    ecc_in_memory: bool = False
    """GDDR with error correction on as delivered: it takes 1/16 of the memory."""
    note: str = ""

    @property
    def total_bytes(self) -> int:
        """Total memory as NVML reports it: the marketed size, less 1/16 where ECC is kept in GDDR memory.

        16 GiB on a T4 read 15 360 MiB, 24 on an L4 about 23 034, 48 on an L40S about 46 068; 24 on an RTX 4090
        24 564.
        """
        return int(self.memory_bytes * (1 - _ECC_SHARE)) if self.ecc_in_memory else self.memory_bytes

    @property
    def free_bytes(self) -> int:
        """Bytes that an idle card leaves to a program: `total_bytes` less `driver_share`."""
        return self.total_bytes - driver_share(self.total_bytes)


def driver_share(total_bytes: int) -> int:
    """Bytes of a card that the driver keeps for itself: 0.2 GiB and 0.75 % of the total.

    A line through what `torch.cuda.mem_get_info` shows as total on idle cards: 23.65 of 24 GiB (RTX 4090), 10.75
    of 11 (RTX 2080 Ti), 7.79 of 8 (laptop cards), 14.58 of 15 (T4), 79.2 of 80 (A100), 139.8 of 141 (H200).
    """
    return int(_DRIVER_FIXED * _GIB + _DRIVER_SHARE * total_bytes)


@cache
def load_gpus() -> tuple[GpuFacts, ...]:
    """Every card of the shipped catalogue, in the file's order."""
    content = read_yaml(FILE)
    return tuple(_facts(entry, content["sources"]) for entry in content["cards"])


def _facts(entry: Mapping[str, Any], sources: Mapping[str, str]) -> GpuFacts:
    major, minor = entry["compute_capability"].split(".")
    return GpuFacts(
        name=entry["name"],
        kind=entry["kind"],
        architecture=entry["architecture"],
        compute_capability=(int(major), int(minor)),
        memory_bytes=int(entry["memory_gib"] * _GIB),
        bandwidth=entry["bandwidth_gbs"] * 1e9,
        flops_bf16=_flops(entry.get("bf16_tflops")),
        flops_fp16=_flops(entry.get("fp16_tflops")),
        flops_fp32=entry["fp32_tflops"] * 1e12,
        power_watts=None if entry.get("power_w") is None else float(entry["power_w"]),
        source="; ".join(sources[key] for key in entry["source"]),
        aliases=tuple(entry.get("aliases", ())),
        ecc_in_memory=entry.get("ecc_in_memory", False),
        note=entry.get("note", ""),
    )


def _flops(tflops: float | None) -> float | None:
    return None if tflops is None else tflops * 1e12


def match_gpu(name: str, memory_bytes: int | None = None) -> GpuFacts | None:
    """The card that a driver's or a person's name stands for, or None.

    Case, 'NVIDIA', 'GeForce', punctuation and a MIG suffix do not matter: 'NVIDIA GeForce RTX 4090', '4090' and
    'rtx4090' are one card.

    Args:
        name: Such as the driver gives it.
        memory_bytes: The card's total memory where it is known: of several cards that the driver calls alike
            ('RTX 4060 Ti' with 8 or 16 GiB) the nearest in size is taken.
    """
    key = _key(name)
    if memory_bytes is not None and not _SIZE.search(key):
        alike = [facts for other, facts in _index().items() if _SIZE.sub("", other) == key]
        if alike:
            return min(alike, key=lambda facts: abs(facts.total_bytes - memory_bytes))
    return _index().get(key)


def find_gpu(name: str) -> GpuFacts:
    """As `match_gpu`, for a name that a person typed.

    Raises:
        InputError: If the catalogue has no such card (offers the nearest names), or several of different memory.
    """
    alike = _of_every_size(name)
    if len({facts.memory_bytes for facts in alike}) > 1:
        raise InputError(
            f"{name!r} is the name of cards with different memory.",
            remedy=f"Say which: {', '.join(facts.name for facts in alike)}.",
        )
    if found := match_gpu(name):
        return found
    nearest = nearest_names(name)
    offer = f"Nearest: {', '.join(nearest)}." if nearest else "Names look like 'RTX 4090', 'A100 80GB' or 'L4'."
    raise InputError(
        f"There is no GPU called {name!r} in the catalogue.",
        remedy=f"{offer} Any other NVIDIA card can be given by its size: --gpu-memory 24GiB. Apple's, AMD's and "
        "Intel's cannot be trained on here.",
    )


def _of_every_size(name: str) -> tuple[GpuFacts, ...]:
    """Cards with this name once memory sizes are taken out of their names."""
    return _without_sizes().get(_key(name), ())


def nearest_names(name: str, limit: int = 3) -> tuple[str, ...]:
    """Names of the catalogue that look most like `name`, best first."""
    typed = _squeezed(name)
    scores = {facts.name: _likeness(typed, _squeezed(facts.name)) for facts in load_gpus()}
    best = sorted(scores, key=lambda known: scores[known], reverse=True)
    return tuple(known for known in best if scores[known] >= 0.5)[:limit]


def _likeness(typed: str, known: str) -> float:
    """Likeness of two names, 0 to 2; a name that contains all of the typed one is above every other."""
    ratio = difflib.SequenceMatcher(None, typed, known).ratio()
    return 1 + ratio if typed and typed in known else ratio


@cache
def _index() -> Mapping[str, GpuFacts]:
    return {key: facts for facts in load_gpus() for key in names_of(facts)}


@cache
def _without_sizes() -> Mapping[str, tuple[GpuFacts, ...]]:
    """Cards that have a memory size in their name, by the name without it."""
    found: dict[str, tuple[GpuFacts, ...]] = {}
    for facts in load_gpus():
        for key in {_key(_MEMORY.sub("", known)) for known in (facts.name, *facts.aliases) if _MEMORY.search(known)}:
            found[key] = (*found.get(key, ()), facts)
    return found


_SIZE = re.compile(r"\d+gb$")
_MEMORY = re.compile(r"[\s-]*\b\d+ ?gb\b", re.IGNORECASE)
_NOISE = re.compile(r"\b(nvidia|geforce|tesla|graphics|gpu|generation)\b")


def _squeezed(name: str) -> str:
    text = re.sub(r"\bmig\b.*", "", name.lower().replace("_", " "))
    text = text.replace("(tm)", "").replace("(r)", "").replace("mobile", "laptop").replace("gib", "gb")
    return re.sub(r"[^a-z0-9]", "", _NOISE.sub(" ", text.replace("-", " ")))


def _key(name: str) -> str:
    return re.sub(r"^[rg]tx(?=\d{4})", "", _squeezed(name))


def names_of(facts: GpuFacts) -> set[str]:
    """All names of a card, as `match_gpu` compares them."""
    return {_key(name) for name in (facts.name, *facts.aliases)}
