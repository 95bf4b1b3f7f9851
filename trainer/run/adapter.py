"""Replacement of a run's adapter, with a whole adapter in place at every moment."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from presets.errors import InputError
from trainer.run.checkpoints import sealed_names, sync_folder
from trainer.run.folder import RunFolder


def put_in_place(folder: RunFolder, written: Path) -> None:
    """Give a whole new adapter its name; the one before stays until then, and what others put into it stays in it."""
    before = folder.path / ".adapter.before"
    if folder.adapter.exists():
        _give_up(before, folder.adapter)
        folder.adapter.rename(before)
    written.rename(folder.adapter)
    sync_folder(folder.path)
    _give_up(before, folder.adapter)


def _give_up(before: Path, after: Path) -> None:
    """Remove an adapter that another one replaced, once what was not sealed with it has moved to that one.

    Such as a file that a person converted it to.
    """
    ours = sealed_names(before)
    for path in sorted(before.rglob("*")) if ours is not None else ():
        name = path.relative_to(before)
        if str(name) in (ours or ()) or (path.is_dir() and not path.is_symlink()) or os.path.lexists(after / name):
            continue
        with suppress(OSError):
            (after / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(after / name)
    shutil.rmtree(before, ignore_errors=True)


def restore_adapter(folder: RunFolder) -> None:
    """Bring back the adapter that was being replaced when the worker was killed."""
    before = folder.path / ".adapter.before"
    if before.is_dir() and not folder.adapter.exists():
        before.rename(folder.adapter)


def has_weights(adapter: Path) -> bool:
    """Whether the folder has adapter weights."""
    return any(adapter.glob("*.safetensors"))


def require_adapter(folder: RunFolder) -> None:
    """Check that a run has left weights that can be read.

    Raises:
        InputError: There is no adapter yet, or its folder holds no safetensors; nothing else is ever loaded.
    """
    if not folder.adapter.is_dir():
        raise InputError(f"{folder.id} has no adapter yet.", remedy="It is written when the run ends or is stopped.")
    if not has_weights(folder.adapter):
        raise InputError(
            f"{folder.adapter} holds no safetensors weights.",
            remedy=f"`lora-wizard resume {folder.argument}` writes it anew.",
        )
