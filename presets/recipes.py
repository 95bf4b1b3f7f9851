"""Published recipes, one YAML file each: their values, purpose and source.

A recipe is a set of changes to a configuration. This floor knows no configuration: the keys are held against the
schema when a recipe is applied (`recommender.config.edit.apply`), and by a test for every file.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from presets.errors import InputError
from presets.yaml_file import read_yaml

FOLDER = Path(__file__).with_name("recipes")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A published set of values."""

    name: str
    """The file's name without '.yaml'."""
    title: str
    meant_for: str
    """Its author's purpose, in a phrase."""
    source: str
    """The source."""
    changes: Mapping[str, Any]
    """Dotted key of the configuration to value."""

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "name": self.name,
            "title": self.title,
            "meant_for": self.meant_for,
            "source": self.source,
            "changes": dict(self.changes),
        }


@cache
def load_recipes() -> tuple[Recipe, ...]:
    """All shipped recipes, by name; 'starter' first."""
    recipes = [Recipe(name=path.stem, **read_yaml(path)) for path in FOLDER.glob("*.yaml")]
    return tuple(sorted(recipes, key=lambda recipe: (recipe.name != "starter", recipe.name)))


def find_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        InputError: there is none; the nearest is offered.
    """
    recipes = {recipe.name: recipe for recipe in load_recipes()}
    if name in recipes:
        return recipes[name]
    near = difflib.get_close_matches(name, recipes, n=1, cutoff=0.4)
    raise InputError(
        f"There is no preset {name}.",
        remedy=f"Did you mean {near[0]}?" if near else f"There are {', '.join(recipes)}.",
    )
