"""The bundled catalogue of models: reads models.yaml and model_facts/ into frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from presets.yaml_file import read_json, read_yaml

FILE = Path(__file__).with_name("models.yaml")
FACTS = Path(__file__).with_name("model_facts")
"""Folder of the models of newer families and of others that no hand-written table has, a file a maker.

JSON, as config.json is: 90 KB of it are read in 2 ms, of YAML in 100."""
SOURCES = "sources.json"
_TUNED = re.compile(r"-(?:instruct|it|chat|hf|base|pt)(?=-|$)")
_FIRST_SOURCE = "litgpt-table"
"""Source of what models.yaml holds."""


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One model of the catalogue."""

    name: str
    """Short name, such as 'llama-3.1-8b-instruct'."""
    hub_id: str
    parameters: int
    """Total of the class that config.json names, without copies of tied weights."""
    gated: bool
    """Whether the hub asks for a licence to be accepted first."""
    config: Mapping[str, Any]
    """The part of its config.json that the architecture follows from."""
    aliases: tuple[str, ...] = ()
    """Other hub ids of the same architecture: the same weights, or another training of them."""
    source: str = ""
    """Where its facts were read."""

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The configuration of its text part; all of it for a model of text alone."""
        inner: Mapping[str, Any] = self.config.get("text_config", self.config)
        return inner

    @property
    def context(self) -> int:
        """Tokens that its positions reach; 0 where its class takes any number."""
        return int(self.text_config.get("max_position_embeddings") or self.text_config.get("n_positions") or 0)


@cache
def load_models() -> tuple[CatalogueModel, ...]:
    """Read the catalogue, in the order of the files."""
    sources: Mapping[str, str] = read_json(FACTS / SOURCES)
    files = (path for path in sorted(FACTS.glob("*.json")) if path.name != SOURCES)
    entries = [*read_yaml(FILE)["models"], *(entry for file in files for entry in read_json(file)["models"])]
    return tuple(_model(entry, sources) for entry in entries)


def _model(entry: Mapping[str, Any], sources: Mapping[str, str]) -> CatalogueModel:
    return CatalogueModel(
        name=entry["name"],
        hub_id=entry["hub_id"],
        parameters=entry["parameters"],
        gated=entry.get("gated", False),
        config=MappingProxyType(entry["config"]),
        aliases=tuple(entry.get("aliases", ())),
        source=sources[entry.get("source", _FIRST_SOURCE)],
    )


def find_model(name: str) -> CatalogueModel | None:
    """The model of that short name, hub id or alias, in any case of letters; None when it is not in the catalogue."""
    return _index().get(name.strip().lower())


def nearest_names(name: str, count: int = 3) -> tuple[str, ...]:
    """Short names that `name` may have meant, best first; whether a name says that it is tuned counts for little."""
    from difflib import get_close_matches

    short = name.rpartition("/")[2].lower()
    plain: dict[str, list[str]] = {}
    for model in load_models():
        plain.setdefault(_TUNED.sub("", model.name), []).append(model.name)
    found = [full for bare in get_close_matches(_TUNED.sub("", short), plain, n=count) for full in plain[bare]]
    return tuple(sorted(found, key=lambda full: full != short)[:count])


@cache
def _index() -> dict[str, CatalogueModel]:
    return {key.lower(): model for model in load_models() for key in (model.name, model.hub_id, *model.aliases)}
