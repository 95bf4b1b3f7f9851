"""TRL's training templates, read from its package's folder: TRL itself, and torch with it, is never imported."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

from presets.errors import InputError
from recommender.data.sources.files import nearest

PREFIX = "trl:"
"""The prefix of their names in `data.template`."""
_TRAINING = "_training"
_MARK = re.compile(r"\{%-?\+?\s*generation\b")


@cache
def folder() -> Path | None:
    """The folder of TRL's chat templates; None where TRL is not installed or has none."""
    try:
        found = importlib.util.find_spec("trl")  # of a top-level package: nothing of it is executed
    except (ImportError, ValueError):
        return None
    for place in (found.submodule_search_locations or ()) if found else ():
        if (templates := Path(place) / "chat_templates").is_dir():
            return templates
    return None


@cache
def training_templates() -> dict[str, Path]:
    """Training templates by the name of the family: patched ones, and originals that bring generation marks."""
    held = folder()
    if held is None:
        return {}
    files = {path.stem: path for path in sorted(held.glob("*.jinja"))}
    patched = {name.removesuffix(_TRAINING): path for name, path in files.items() if name.endswith(_TRAINING)}
    marked = {name: path for name, path in files.items() if name not in patched and _MARK.search(_read(path))}
    return {name: path for name, path in {**marked, **patched}.items() if not name.endswith(_TRAINING)}


@cache
def originals() -> dict[str, str]:
    """The source of the template that each training template was made from."""
    held = folder()
    files = {name: held / f"{name}.jinja" for name in training_templates()} if held else {}
    return {name: _read(path) for name, path in files.items() if path.is_file()}


def training_template(name: str) -> str:
    """The source of a training template.

    Args:
        name: Of the family, as TRL's file has it: qwen3, deepseek_r1_distill …

    Raises:
        InputError: TRL is not installed here, or has none of this name.
    """
    known = training_templates()
    if not known:
        raise InputError(
            f"data.template {PREFIX}{name} needs TRL's chat templates, and TRL is not installed here.",
            remedy="Install it (pip install trl), or give a Jinja file.",
        )
    path = known.get(name.removesuffix(_TRAINING))
    if path is None:
        near = nearest(name, list(known))
        raise InputError(
            f"TRL has no training template '{name}'.",
            remedy=f"Did you mean {PREFIX}{near}?" if near else f"It has {', '.join(known)}.",
        )
    return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"TRL's template {path} cannot be read.", remedy="Install TRL again.") from error
