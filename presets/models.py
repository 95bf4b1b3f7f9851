"""The bundled catalogue of models: reads models.yaml into frozen, checked values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from presets.errors import InputError

_FILE = Path(__file__).with_name("models.yaml")
_KEYS = {"name", "hub_id", "parameters", "gated", "aliases", "config"}


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
def load_models(path: Path = _FILE) -> tuple[CatalogueModel, ...]:
    """Read the catalogue, in the file's order.

    Raises:
        InputError: The file is not such a catalogue; names the entry and what is wrong with it.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    if not isinstance(document, dict) or not isinstance(document.get("models"), list):
        raise InputError(f"{path.name} must have a list of models under the key models.")
    models = tuple(_model(entry, path) for entry in document["models"])
    _check_names(models, path)
    return models


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


def _model(entry: object, path: Path) -> CatalogueModel:
    if not isinstance(entry, dict):
        raise InputError(f"{path.name}: an entry of models must be a mapping, not {entry!r}.")
    where = f"{path.name}, model {entry.get('name')!r}"
    if unknown := set(entry) - _KEYS:
        raise InputError(f"{where}: unknown key {sorted(unknown)[0]!r}.")
    name, hub_id, parameters = entry.get("name"), entry.get("hub_id"), entry.get("parameters")
    gated, aliases, config = entry.get("gated", False), entry.get("aliases", []), entry.get("config")
    if not isinstance(name, str) or not name or not isinstance(hub_id, str) or hub_id.count("/") != 1:
        raise InputError(f"{where}: name must be a word and hub_id must be like org/model.")
    if isinstance(parameters, bool) or not isinstance(parameters, int) or parameters < 1:
        raise InputError(f"{where}: parameters must be a whole number above 0, not {parameters!r}.")
    if not isinstance(gated, bool) or not isinstance(aliases, list):
        raise InputError(f"{where}: gated must be true or false, and aliases a list.")
    if not isinstance(config, dict) or not isinstance(config.get("max_position_embeddings"), int):
        raise InputError(f"{where}: config must be a mapping with max_position_embeddings.")
    return CatalogueModel(name, hub_id, parameters, gated, MappingProxyType(config), tuple(map(str, aliases)))


def _check_names(models: tuple[CatalogueModel, ...], path: Path) -> None:
    seen: set[str] = set()
    for model in models:
        for name in (model.name, model.hub_id, *model.aliases):
            if name.lower() in seen:
                raise InputError(f"{path.name}: {name} is there twice.")
            seen.add(name.lower())
