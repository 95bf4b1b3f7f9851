"""Model types that the installed Transformers has classes for, read without importing it."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_ENTRY = re.compile(r"\(\s*\"([\w.-]+)\",\s*\"\w+Config\"\s*\)")
"""An entry of Transformers' table of configurations: a model type and its class."""
_FILES = ("configuration_auto.py", "auto_mappings.py")


def has_class(model_type: str) -> bool:
    """Whether the installed Transformers has a configuration class of that type; False where it is not installed."""
    return model_type in known_types()


@cache
def known_types() -> frozenset[str]:
    """Every model type of the installed Transformers' automatic classes."""
    package = find_spec("transformers")
    folders = package.submodule_search_locations if package is not None else None
    found: set[str] = set()
    for folder in folders or ():
        for name in _FILES:
            path = Path(folder) / "models" / "auto" / name
            if path.is_file():
                found.update(_ENTRY.findall(path.read_text(encoding="utf-8")))
    return frozenset(found)
