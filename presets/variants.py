"""Published measurements of LoRA's variants: shown beside the reason why a plan leaves them off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from presets.yaml_file import read_yaml

FILE = Path(__file__).with_name("evidence") / "variants.yaml"
KEYS = ("lora.use_dora", "lora.init_lora_weights", "lora.use_rslora", "lora.lora_dropout")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One comparison with plain LoRA."""

    what: str
    """On what: model, rank, layers."""
    found: str
    by: str
    """The author and the conditions of the measurement."""


@cache
def load_variants() -> Mapping[str, tuple[Measurement, ...]]:
    """The shipped measurements by dotted key."""
    return {key: tuple(Measurement(**line) for line in lines) for key, lines in read_yaml(FILE).items()}
