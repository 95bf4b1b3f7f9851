"""Reading the YAML files that ship with the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from presets.errors import InputError


def read_mapping(path: Path, *, required: dict[str, type], optional: dict[str, type] | None = None) -> dict[str, Any]:
    """Read a YAML file that holds keys with values, each of the type that is given.

    Raises:
        InputError: it cannot be read, a key is missing or unknown, or a value has another type.
    """
    import yaml

    # The C parser is ten times as quick; a PyYAML built without it has none.
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        content = yaml.load(path.read_bytes(), Loader=loader)
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read.", detail=str(error)) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold keys with values.")
    known = required | (optional or {})
    for key in required:
        if key not in content:
            raise InputError(f"{path}: {key} is missing.")
    for key, value in content.items():
        if key not in known:
            raise InputError(f"{path}: {key} is not a key of this file.", remedy=f"It takes {', '.join(known)}.")
        if not isinstance(value, known[key]) or (isinstance(value, str) and not value.strip()):
            raise InputError(f"{path}: {key} must be a {known[key].__name__}, not {value!r}.")
    return content
