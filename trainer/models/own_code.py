"""Digests of a model's own code that a run executes, so that a resumed run executes the same."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.model.own_code import agreed, missing
from recommender.model.spec import ModelSpec
from trainer.history.start_event import start_event_field
from trainer.run.folder import RunFolder


def digests(folder: Path) -> dict[str, str]:
    """Name and SHA-256 of every Python file of a model's folder: those that config.json names import the others."""
    files = sorted(path for path in folder.rglob("*.py") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def copy_code(base: Path, into: Path) -> None:
    """Copy a model's own code beside weights that were made from it; nothing is run."""
    for name in digests(base):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / name, into / name)


def agreed_code(folder: RunFolder, config: FinetuneConfig, spec: ModelSpec) -> Mapping[str, str] | None:
    """The model's own code that a run may execute now, by name and SHA-256; None where it needs none.

    Args:
        folder: The run; what it executed before is what was agreed to.
        config: With the person's yes, or without it.
        spec: The model.

    Raises:
        InputError: Nobody has agreed, a file is missing, or the code is not that which this run executed before.
    """
    if not agreed(config, spec):
        return None
    if lacking := missing(spec):
        raise InputError(
            f"{spec.name} needs its own code, and {', '.join(lacking)} is not in {spec.path}.",
            remedy="Download the model again, with its Python files.",
        )
    assert spec.path is not None
    now, before = digests(spec.path), start_event_field(folder, "own_code")
    if before is not None and now != before:
        other = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        raise InputError(
            f"The model's own code has changed since {folder.id} began: {', '.join(other)} in {spec.path}.",
            remedy="Bring back what it was, or train anew: that asks once more.",
        )
    return now
