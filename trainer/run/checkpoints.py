"""Checkpoints of a run that can be continued from: each is sealed when written, and later verified by its seal."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path

from trainer.run.folder import RunFolder, write_atomically

SEAL = "sealed.json"
"""Every file of a checkpoint with its bytes and CRC-32, written last."""
START = "start"
"""Folder below checkpoints: the weights before training, while no evaluation was better than the one of them."""
MOST_CHECKED = 2**30
"""Bytes up to which a file's content is checked too; of a larger one (a whole model) only the size is."""


def numbered(folder: RunFolder) -> tuple[Path, ...]:
    """Every checkpoint-N folder, oldest first, whole or not."""
    found = [path for path in folder.checkpoints.glob("checkpoint-*") if path.name[11:].isdigit() and path.is_dir()]
    return tuple(sorted(found, key=step_of))


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which it was written."""
    return int(checkpoint.name.rpartition("-")[2])


def complete_checkpoints(folder: RunFolder) -> tuple[Path, ...]:
    """Checkpoints whose files have the sealed names and sizes, oldest first; no file is read.

    What is continued from in the end is read through once more: see `newest_whole`.
    """
    return tuple(path for path in numbered(folder) if not damage(path, contents=False))


def newest_whole(folder: RunFolder) -> tuple[Path | None, tuple[str, ...]]:
    """The newest checkpoint whose contents match its seal.

    Returns:
        It, None where there is none; and for each newer one a sentence that says what is wrong with it.
    """
    passed_over: list[str] = []
    for path in reversed(numbered(folder)):
        if not (wrong := damage(path)):
            return path, tuple(passed_over)
        passed_over.append(f"{path.name}: {wrong}")
    return None, tuple(passed_over)


def seal(checkpoint: Path) -> int:
    """Write the names, sizes and checksums of a checkpoint's files and fsync them, before the checkpoint gets its name.

    Returns:
        Its bytes.

    Raises:
        OSError: The disk is full, or fails.
    """
    files = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file():
            files[str(path.relative_to(checkpoint))] = {"bytes": path.stat().st_size, "crc32": _checksum(path)}
            _to_disk(path)
    write_atomically(checkpoint / SEAL, json.dumps({"v": 1, "files": files}))
    _to_disk(checkpoint / SEAL)
    _to_disk(checkpoint)
    return sum(int(entry["bytes"] or 0) for entry in files.values())


def sealed_names(folder: Path) -> frozenset[str] | None:
    """The files that were in a folder when it was sealed, and its seal; None without a seal that can be read."""
    try:
        return frozenset(json.loads((folder / SEAL).read_text(encoding="utf-8"))["files"]) | {SEAL}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def damage(checkpoint: Path, *, contents: bool = True) -> str:
    """The damage of a checkpoint in words, empty when there is none.

    Args:
        checkpoint: Its folder.
        contents: Read the files, not only their sizes.
    """
    if not (checkpoint / "trainer_state.json").is_file() or not any(checkpoint.glob("*.safetensors")):
        return "weights or trainer state are missing"
    return unlike_seal(checkpoint, contents=contents)


def unlike_seal(folder: Path, *, contents: bool = True) -> str:
    """The first difference between a folder and its seal in words, empty when there is none; as `damage`."""
    try:
        files = json.loads((folder / SEAL).read_text(encoding="utf-8"))["files"]
        for name, entry in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != entry["bytes"]:
                return f"{name} has {path.stat().st_size} bytes of {entry['bytes']}"
            if contents and entry["crc32"] is not None and _checksum(path) != entry["crc32"]:
                return f"{name} is not what was written"
    except FileNotFoundError:
        return "it was not written to its end"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        return f"it cannot be read ({problem})"
    return ""


def drop_old(folder: RunFolder, keep: int, best_step: int | None) -> None:
    """Remove the oldest whole checkpoints beyond `keep`; the best by evaluation loss is kept in any case.

    Damaged ones stay: they are overwritten when their step comes again, and may tell what happened.
    """
    for path in complete_checkpoints(folder)[:-keep]:
        if step_of(path) != best_step:
            shutil.rmtree(path, ignore_errors=True)


def drop_start(folder: RunFolder) -> None:
    """Remove the saved initial weights: a better state is saved, or the run has its result."""
    shutil.rmtree(folder.checkpoints / START, ignore_errors=True)


def _checksum(path: Path) -> int | None:
    if path.stat().st_size > MOST_CHECKED:
        return None
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Fsync a folder, after a rename in it."""
    _to_disk(path)
