"""Servers of models, and the classes whose adapters they are known not to take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from presets.yaml_file import read_yaml

FILE = Path(__file__).parent / "servers.yaml"


@dataclass(frozen=True, slots=True)
class Server:
    """One server."""

    name: str
    source: str
    """Where that was read, and when."""
    without_lora: frozenset[str]
    """Classes of Transformers that it serves without adapters."""


@cache
def servers() -> tuple[Server, ...]:
    """Return every server that is known."""
    raw = read_yaml(FILE)
    return tuple(Server(x["name"], x["source"], frozenset(x["without_lora"])) for x in raw.values())
