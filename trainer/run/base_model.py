"""The base of a run: recorded at its start, and compared whenever the run is resumed, merged or asked.

The same shapes with other weights (downloaded again, tuned over) load without an error, and an adapter over them is
worth nothing. A run that goes on, is merged or is asked finds its base here, at the commit that it began with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from recommender.model.sources.fingerprint import Fingerprint
from recommender.model.spec import ModelSpec
from recommender.paths import expanded
from trainer.run.folder import RunFolder, write_atomically
from trainer.run.state import text

BaseMatch = Literal["same", "unknown", "changed"]
"""Its weights are those of the run, the run wrote none down, or others were agreed to."""


@dataclass(frozen=True, slots=True)
class Base:
    """A run's record of the model that it began with."""

    fingerprint: Fingerprint
    folder: str | None
    """The folder of its files at that time."""
    hub_id: str | None
    revision: str | None
    """Its commit on the hub, where it came from there."""

    @classmethod
    def of(cls, spec: ModelSpec) -> Base | None:
        """The record of a model whose weights are here; None for any other."""
        if spec.path is None or not spec.has_weights:
            return None
        commit = spec.revision if spec.source == "cache" else None
        return cls(Fingerprint.of(spec.path), str(spec.path), spec.hub_id, commit)

    @classmethod
    def read(cls, folder: RunFolder) -> Base | None:
        """Read a run's record; None where it was begun without one."""
        try:
            raw = json.loads(folder.base.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        fingerprint = Fingerprint.read(raw) if isinstance(raw, dict) else None
        if fingerprint is None:
            return None
        return cls(fingerprint, text(raw.get("folder")), text(raw.get("hub_id")), text(raw.get("revision")))

    def write(self, folder: RunFolder) -> None:
        """Write it into a run's folder."""
        write_atomically(folder.base, json.dumps({**self.public(), "folder": self.folder}))

    def public(self) -> dict[str, Any]:
        """The JSON form without the folder on this machine."""
        return {"v": 1, "hub_id": self.hub_id, "revision": self.revision, **self.fingerprint.document()}


def write_base(folder: RunFolder, spec: ModelSpec) -> None:
    """Write the base's record of a run that begins; an older record is removed where nothing is known of this base."""
    if (base := Base.of(spec)) is None:
        folder.base.unlink(missing_ok=True)
    else:
        base.write(folder)


def commit_of(folder: RunFolder, config: FinetuneConfig) -> str | None:
    """The base's revision on the hub: the configured one, else the commit that the run began with."""
    known = Base.read(folder)
    return config.revision or (known.revision if known else None)


def find_base(folder: RunFolder, config: FinetuneConfig, override: str | None = None) -> ModelSpec:
    """Find the base of a run on this machine or the hub, at the commit that the run began with where it is available.

    Args:
        folder: The run.
        config: What runs now.
        override: Its folder or hub id, where that is no longer what the configuration names.

    Raises:
        InputError: It is not there, with how another place is named.
    """
    try:
        if override is not None:
            return read_model(override)
        commit = commit_of(folder, config)
        try:
            return read_model(config.model, revision=commit)
        except InputError:
            if config.revision is not None or commit is None:
                raise
            return read_model(config.model)
    except InputError as problem:
        remedy = f"{problem.remedy} Where the base of {folder.id} lies elsewhere now: --base FOLDER.".strip()
        raise InputError(problem.message, remedy=remedy, detail=problem.detail) from problem


def check_base(folder: RunFolder, spec: ModelSpec, *, allow_changed: bool = False) -> BaseMatch:
    """Compare a model with the one that a run was trained over.

    Args:
        folder: The run.
        spec: A model whose weights are here.
        allow_changed: Whether somebody has agreed to another one.

    Raises:
        InputError: It is another model, and nobody has.
    """
    before = Base.read(folder)
    if before is None or spec.path is None or not spec.has_weights:
        return "unknown"
    differences = before.fingerprint.differences(Fingerprint.of(spec.path))
    if not differences:
        return "same"
    if allow_changed:
        return "changed"
    raise InputError(
        f"{spec.path} is not the base that {folder.id} was trained over: {'; '.join(differences)}.",
        remedy=f"{_bring_back(before, spec)} or go on over this one with --allow-changed-base.",
    )


def _bring_back(before: Base, spec: ModelSpec) -> str:
    """The remedy that brings back the base of a run."""
    if before.hub_id and before.revision:
        return (
            f"Get the one that it began with (`hf download {before.hub_id} --revision {before.revision}`), name its "
            "folder with --base FOLDER,"
        )
    again = "" if before.folder in (None, str(spec.path)) else f" (it was in {before.folder})"
    return f"Bring back the files that it began with, or name their folder with --base FOLDER{again},"


def base_warning(folder: RunFolder, held: BaseMatch) -> str:
    """The message about a base that could not be compared with the run's, or is another; empty for the same."""
    if held == "unknown":
        return (
            f"{folder.id} was started without a record of its base: these may be other weights than it was trained "
            "over."
        )
    return "" if held == "same" else f"This base is not the one that {folder.id} was trained over, as agreed."


def place_of(base: str) -> str:
    """A base as the run's configuration names it: an absolute folder, or a hub id as it is."""
    folder = expanded(base)
    return str(folder.absolute()) if folder.is_dir() else base
