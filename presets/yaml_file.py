"""Readers of the data files that ship with the program; a test validates their contents, a start trusts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_yaml(path: Path) -> Any:
    """The content of a shipped YAML file."""
    import yaml

    # The parser in C reads the catalogue in 10 ms instead of 100; a PyYAML built without it has none.
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return yaml.load(path.read_bytes(), Loader=loader)


def read_json(path: Path) -> Any:
    """The content of a shipped JSON file."""
    return json.loads(path.read_bytes())
