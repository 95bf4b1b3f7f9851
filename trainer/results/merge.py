"""A run's adapter merged into its base: a folder that any program loads, complete or absent."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.errors import InputError, NoError, WizardError
from trainer.process.children import ChildAnswer, ask
from trainer.run.adapter import require_adapter
from trainer.run.folder import RunFolder
from trainer.run.plan_file import read_device

if TYPE_CHECKING:
    from recommender.model.spec import ModelSpec
    from trainer.run.base_model import BaseMatch


COPIED = {".json", ".jinja", ".model", ".py", ".txt"}
"""Ends of the files beside the weights that a merged model needs too."""


def merge_run(run: Path, into: Path, *, base: str | None = None, allow_changed_base: bool = False) -> dict[str, Any]:
    """Merge a run's adapter into its base in 16 bits.

    Args:
        run: The run's folder.
        into: Where to; a new folder, or an empty one.
        base: Where its base lies now, where that is not what the configuration names.
        allow_changed_base: Merge into a base that is not the one that it was trained over.

    Returns:
        path, shards, bytes, modules, off, rounding and moved (see `trainer.worker.after.merge.verify`), agreement,
        positions, and base: 'same', 'unknown' or 'changed', as `trainer.run.base_model.BaseMatch`.

    Raises:
        InputError: No adapter, a full fine-tune, a base that is not there or another one, a folder that is not empty, a
            disk too small, an adapter that cannot be merged this way.
        NoError: It failed, or the result is not base + adapter.
    """
    folder = RunFolder(run)
    held = _check(folder, into, base, allow_changed=allow_changed_base)
    written = into.with_name(f".{into.name}.merging")
    shutil.rmtree(written, ignore_errors=True)
    try:
        written.mkdir(parents=True)
        place = [base] if base else []
        answer = ask("trainer.worker.after.merge", str(run), str(written), *place, device=read_device(folder))
        document = answer.document or {}
        if answer.code != 0:
            raise _failure(answer)
        if into.exists():
            into.rmdir()
        written.rename(into)
    except OSError as problem:
        raise InputError(f"{into} cannot be written: {problem.strerror}.", remedy="Name another folder.") from None
    finally:
        shutil.rmtree(written, ignore_errors=True)
    return {**document, "path": str(into), "base": held}


def _failure(answer: ChildAnswer) -> WizardError:
    """The error of a failed merge, from the child's document, its signal or its stderr."""
    document = answer.document or {}
    if reason := document.get("reason"):
        kind = InputError if answer.code == InputError.exit_code else NoError
        return kind(str(reason), remedy=str(document.get("remedy") or ""))
    if answer.code < 0:
        name = signal.Signals(-answer.code).name
        remedy = (
            "SIGKILL is what the kernel sends when memory is used up: close something, or merge on a larger machine."
        )
        return NoError(
            f"The merge was ended by {name}; nothing is left of it.", remedy=remedy if name == "SIGKILL" else ""
        )
    last = (answer.errors.splitlines() or [f"exit code {answer.code}"])[-1][:300]
    if os.strerror(errno.ENOSPC) in last:
        return NoError(
            "The disk filled up while the merged model was written; nothing is left of it.",
            remedy="Free some room, or name a folder on another disk.",
        )
    return NoError(last, remedy="Is there memory enough for one model?")


def _check(folder: RunFolder, into: Path, base: str | None, *, allow_changed: bool) -> BaseMatch:
    from recommender.config.io import load_config
    from recommender.units import gib
    from trainer.run.base_model import check_base, find_base

    require_adapter(folder)
    config = load_config(folder.effective_config)
    if config.method == "full":
        raise InputError(
            f"{folder.id} trained every weight: there is nothing to merge.", remedy=f"{folder.adapter} is the model."
        )
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InputError(f"{into} is there already.", remedy="Name a new folder.")
    spec = find_base(folder, config, base)
    held = check_base(folder, spec, allow_changed=allow_changed)
    _require_memory(spec, folder)
    # The files say it where the class was not asked yet; towers are merged along.
    needed = max(2 * spec.total_parameters, spec.weights_bytes or 0) + _beside_weights(spec, folder)
    place = next(parent for parent in into.absolute().parents if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise InputError(
            f"The disk of {place} has {gib(free)} free and the merged model needs {gib(needed)}.",
            remedy="Free some room, or name a folder on another disk.",
        )
    return held


def _beside_weights(spec: ModelSpec, folder: RunFolder) -> int:
    """Bytes of the copied files: configuration, tokenizer, licence."""
    places = [place for place in (spec.path, folder.adapter) if place]
    files = [file for place in places for file in place.iterdir() if file.is_file() and file.suffix in COPIED]
    return sum({file.name: file.stat().st_size for file in files}.values())


def _require_memory(spec: ModelSpec, run: RunFolder) -> None:
    """Refuse a merge whose peak does not fit: one file of the base, its result, and in fp32 the weight being merged."""
    import psutil

    from recommender.machine.host.host import read_host
    from recommender.model.sources.headers import weight_files
    from recommender.units import gib

    files = [path.stat().st_size for path in weight_files(spec.path)] if spec.path else []
    packed = 4 if spec.quantization else 1
    needed = (1 + packed) * max(files, default=0)
    free = min(psutil.virtual_memory().available, read_host(run.path).ram_available)
    if free < needed:
        raise InputError(
            f"{gib(free)} of memory are free and merging one file of {spec.name} needs {gib(needed)}.",
            remedy="Close something that uses memory, or merge on a larger machine.",
        )
