"""Reader of the YAML files that ship with the program; a test validates their contents, a start trusts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read_yaml(path: Path) -> Any:
    """The content of a shipped file."""
    import yaml

    # The parser in C reads the catalogue in 10 ms instead of 100; a PyYAML built without it has none.
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return yaml.load(path.read_bytes(), Loader=loader)
