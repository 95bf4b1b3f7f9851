"""The bundled catalogue of models: reads models.yaml into frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from presets.yaml_file import read_yaml

FILE = Path(__file__).with_name("models.yaml")


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One model of the catalogue."""

    name: str
    """Short name, such as 'llama-3.1-8b-instruct'."""
    hub_id: str
    parameters: int
    """Published total."""
    gated: bool
    """Whether the hub asks for a licence to be accepted first."""
    config: Mapping[str, Any]
    """The part of its config.json that the architecture follows from."""
    aliases: tuple[str, ...] = ()
    """Other hub ids of the same weights."""

    @property
    def context(self) -> int:
        """Tokens that its positions reach."""
        return int(self.config["max_position_embeddings"])


@cache
def load_models() -> tuple[CatalogueModel, ...]:
    """Read the catalogue, in the file's order."""
    return tuple(
        CatalogueModel(
            name=entry["name"],
            hub_id=entry["hub_id"],
            parameters=entry["parameters"],
            gated=entry.get("gated", False),
            config=MappingProxyType(entry["config"]),
            aliases=tuple(entry.get("aliases", ())),
        )
        for entry in read_yaml(FILE)["models"]
    )


def find_model(name: str) -> CatalogueModel | None:
    """The model of that short name, hub id or alias, in any case of letters; None when it is not in the catalogue."""
    return _index().get(name.strip().lower())


def nearest_names(name: str, count: int = 3) -> tuple[str, ...]:
    """Short names that `name` may have meant, best first."""
    from difflib import get_close_matches

    short = name.rpartition("/")[2].lower()
    return tuple(get_close_matches(short, [model.name for model in load_models()], n=count, cutoff=0.6))


@cache
def _index() -> dict[str, CatalogueModel]:
    return {key.lower(): model for model in load_models() for key in (model.name, model.hub_id, *model.aliases)}
