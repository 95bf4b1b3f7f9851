"""The words of the screens and documents, from glossary.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from presets.yaml_file import read_yaml

FILE = Path(__file__).with_name("glossary.yaml")


@dataclass(frozen=True, slots=True)
class Word:
    """One entry."""

    word: str
    says: str
    """Its meaning, in one sentence."""
    screens: tuple[str, ...]
    """Steps of the wizard whose help shows it: 'machine', 'model', 'data', 'plan', 'check', 'train'."""


@cache
def load_glossary() -> tuple[Word, ...]:
    """All words, in the order in which one meets them."""
    return tuple(Word(entry["word"], entry["says"], tuple(entry["screens"])) for entry in read_yaml(FILE))
