"""The adapter that training starts from: found by what a person names, and unchanged when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from presets.errors import InputError
from recommender.paths import expanded
from recommender.plan.starting_adapter import KEY, SETTINGS, WEIGHTS, adapter_in
from trainer.history.listing import find_run
from trainer.history.start_event import start_event_field
from trainer.run.adapter import require_adapter
from trainer.run.folder import RunFolder


def start_place(named: str, runs: Path) -> str:
    """The folder of the named adapter.

    Args:
        named: A run's id, the start of one, 'latest', or a folder: of a run, or of an adapter.
        runs: Folder of runs.

    Raises:
        InputError: There is no such run or folder, or no adapter in it.
    """
    folder = expanded(named)
    if folder.is_dir() and (found := adapter_in(folder)):
        return str(found.absolute())
    try:
        run = RunFolder(find_run(runs, named))
    except InputError as problem:
        raise InputError(
            f"start_from: there is no adapter {named}: {problem.message}",
            remedy="Name a run (its id, or latest) or a folder with adapter_config.json. An adapter of the hub is "
            "downloaded first: hf download ORG/NAME --local-dir FOLDER.",
        ) from None
    require_adapter(run)
    if not (run.adapter / SETTINGS).is_file():
        raise InputError(
            f"start_from: {run.id} trained every weight and left a model, not an adapter.",
            remedy=f"Give it as the model: model={run.adapter}.",
        )
    return str(run.adapter)


def placed(changes: Mapping[str, Any], runs: Path) -> dict[str, Any]:
    """The changes with the named run or folder replaced by its adapter's folder.

    Raises:
        InputError: As `start_place`.
    """
    named = changes.get(KEY)
    return {**changes, KEY: start_place(named, runs)} if isinstance(named, str) and named else dict(changes)


def digests(adapter: Path) -> dict[str, str]:
    """SHA-256 of an adapter's files, by name."""
    found = {}
    for name in (SETTINGS, WEIGHTS):
        with (adapter / name).open("rb") as stream:
            found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def require_same_start(folder: RunFolder, adapter: Path) -> None:
    """Check that a run which begins again starts from the same adapter as before.

    Raises:
        InputError: It is another one.
    """
    before = (start_event_field(folder, "start_from") or {}).get("sha256")
    if isinstance(before, dict) and before != digests(adapter):
        raise InputError(
            f"The adapter in {adapter} has changed since {folder.id} began from it.",
            remedy="Restore it, or start a new run.",
        )


def how_to_go_on(folder: RunFolder, changes: Mapping[str, Any]) -> str:
    """The command that trains on from a finished run, with the requested changes."""
    from recommender.config.io import value_text

    # An id is looked for in the usual folder of runs alone.
    run = folder.id if folder.argument == folder.id else folder.path
    values = [f"start_from={run}", *(f"{key}={value_text(value)}" for key, value in changes.items())]
    options = " ".join(f"--set {quote(value)}" for value in values)
    return f"lora-wizard train {quote(str(folder.effective_config))} {options}"
