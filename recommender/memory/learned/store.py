"""Where tapes are kept: those that ship with the program, and the cache of those learned here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recommender.memory.learned.recipe import RecipeKey, recipe_of
from recommender.memory.learned.tape import Tape, read_tape
from recommender.memory.workload import Workload
from recommender.model.anatomies import installed, key_of
from recommender.paths import cache_dir

SHIPPED = Path(__file__).parents[3] / "presets" / "tapes"
REFUSED = "refused"
"""Key of a document that says why a recipe cannot be learned."""

_TAPES: dict[tuple[Path, str, RecipeKey], Tape] = {}
_REFUSALS: dict[tuple[Path, str, RecipeKey], str] = {}
_KEYS: dict[int, tuple[Mapping[str, Any], str]] = {}


def tape_of(workload: Workload) -> Tape | None:
    """The tape of a workload's model and recipe: learned here with the installed versions, else the shipped one."""
    if workload.model.config is None:
        return None
    model, recipe = _key(workload.model.config), recipe_of(workload)
    folder = cache_dir()
    if (known := _TAPES.get((folder, model, recipe))) is not None:
        return known
    found = _read(_path(model, recipe)) or _shipped(model, recipe)
    if found is not None:
        _TAPES[folder, model, recipe] = found
    return found


def refusal_of(workload: Workload) -> str:
    """The reason why a recipe could not be learned here with the installed versions; empty where there is none."""
    if workload.model.config is None:
        return ""
    model, recipe = _key(workload.model.config), recipe_of(workload)
    place = cache_dir(), model, recipe
    if place not in _REFUSALS:
        try:
            why = str(json.loads(_path(model, recipe).read_text(encoding="utf-8")).get(REFUSED, ""))
        except (OSError, ValueError, AttributeError):
            return ""
        if not why:
            return ""
        _REFUSALS[place] = why
    return _REFUSALS[place]


def stands_in(workload: Workload) -> str:
    """The reason why the formula of 16 bits prices this quantised recipe, as a guess; empty where its own one does."""
    if workload.model.anatomy is None or not workload.bits or tape_of(workload) is not None:
        return ""
    return refusal_of(workload)


def keep_tape(workload: Workload, document: Mapping[str, Any]) -> None:
    """Keep what was learned, a tape's document or a refusal, in the cache; where the disk refuses, it is lost.

    Raises:
        ValueError: The document is no tape.
    """
    if workload.model.config is None:
        return
    model, recipe = _key(workload.model.config), recipe_of(workload)
    _REFUSALS.pop((cache_dir(), model, recipe), None)
    if REFUSED not in document:
        _TAPES[cache_dir(), model, recipe] = read_tape(document)
    path = _path(model, recipe)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)


def _key(config: Mapping[str, Any]) -> str:
    """`key_of`, remembered for a document: a price is asked for at every edit."""
    held = _KEYS.get(id(config))
    if held is None or held[0] is not config:
        held = _KEYS[id(config)] = config, key_of(config)
    return held[1]


def _path(model: str, recipe: RecipeKey) -> Path:
    name = hashlib.sha256(recipe.text().encode()).hexdigest()[:16]
    versions = hashlib.sha256(json.dumps(dict(installed()), sort_keys=True).encode()).hexdigest()[:8]
    return cache_dir() / "tapes" / f"{model}-{name}-{versions}.json"


def _read(path: Path) -> Tape | None:
    try:
        return read_tape(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _shipped(model: str, recipe: RecipeKey) -> Tape | None:
    """The tape that ships, whatever versions it was learned with."""
    try:
        document = json.loads((SHIPPED / f"{model}.json").read_text(encoding="utf-8"))
        return read_tape(document["tapes"][recipe.text()])
    except (OSError, ValueError, KeyError, TypeError):
        return None
