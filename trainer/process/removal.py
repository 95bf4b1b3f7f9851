"""Removal of a run: of a run only, and of its own files only; other files in its folder stay."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from presets.errors import InputError
from recommender.paths import expanded
from trainer.history.listing import NO_RUN, is_alive, may_run_elsewhere
from trainer.run.checkpoints import sealed_names
from trainer.run.folder import MARKER, RunFolder, is_run
from trainer.run.state import read_state

FILES: Final = (
    "config.yaml", "config.effective.yaml", "plan.json", "base.json", "agreed.json", "events.jsonl", "commands.jsonl",
    "worker.log",
)  # fmt: skip
"""Of a run's folder, beside what it is known by."""
KNOWN_BY: Final = (MARKER, "state.json")
"""Removed last: what was removed in part can be removed again."""
TRL_CARD: Final = "- generated_from_trainer"
"""A tag of every card that Transformers and TRL write."""
RESULTS: Final = ("adapter", ".adapter.before", ".adapter.tmp")
"""Folders that are sealed when they are whole."""


@dataclass(frozen=True, slots=True)
class Removed:
    """The outcome of removing a run's folder."""

    path: Path
    left: tuple[str, ...]
    """Paths in the folder that no run writes, and that were left there; empty where the folder is gone."""

    def sentence(self) -> str:
        """The outcome for a person."""
        if not self.left:
            return f"removed {self.path}"
        shown = ", ".join(self.left[:5]) + (f" and {len(self.left) - 5} more" if len(self.left) > 5 else "")
        return f"removed the run in {self.path}; what is not a run's stays there: {shown}"


def find_whole(runs: Path, wanted: str) -> Path:
    """The run with this exact id or folder.

    Raises:
        InputError: It is something else: the start of an id, a folder that is no run, a link.
    """
    named = [path for path in _places(runs, wanted) if is_run(path)]
    if len({path.resolve() for path in named}) > 1:
        raise InputError(
            f"{wanted} is a run of {runs} and one of this folder.", remedy="Name the folder with its whole path."
        )
    if named:
        return named[0].absolute()
    raise InputError(
        f"'{wanted}' is no run: give a whole id of {runs}, or the whole path of a run's folder.",
        remedy="`lora-wizard runs` lists the runs; --runs names another folder of runs.",
    )


def _places(runs: Path, wanted: str) -> tuple[Path, ...]:
    """Candidate paths of a run by its name; none for '.' and '..', which mean any folder one happens to be in."""
    if wanted.rstrip("/").rpartition("/")[2] in ("", ".", "..", "~"):
        return ()
    typed = expanded(wanted)
    return (typed,) if "/" in wanted else (runs / wanted, typed)


def remove_run(path: Path) -> Removed:
    """Remove a run's own files, and its folder when nothing else is in it.

    No link is followed: a link in the place of something is removed, and what it leads to stays.

    Raises:
        InputError: It still runs, is no run, is a link, or cannot be removed.
    """
    folder = RunFolder(path)
    _require_removable(folder)
    try:
        for name in FILES:
            _unlink(path / name)
        for temporary in (
            *(found for name in (*FILES, *KNOWN_BY) for found in path.glob(f".{name}.*.tmp")),
            path / ".reserve",
        ):
            _unlink(temporary)
        for name in RESULTS:
            _remove_sealed(path / name)
        _remove_checkpoints(folder.checkpoints)
        _remove_tree(path / "ranks")
        for name in KNOWN_BY:
            _unlink(path / name)
        left = tuple(sorted(_left_in(path)))
        if not left:
            path.rmdir()
    except OSError as problem:
        where = problem.filename or path
        raise InputError(f"{where} cannot be removed: {problem.strerror}.", remedy="Check who owns it.") from None
    return Removed(path, left)


def _require_removable(folder: RunFolder) -> None:
    if folder.path.is_symlink():
        raise InputError(
            f"{folder.path} is a link to {folder.path.resolve()}.",
            remedy="Name that folder, or remove the link itself.",
        )
    if not is_run(folder.path):
        raise InputError(f"{folder.path} is no run folder: {NO_RUN}.")
    state = read_state(folder)
    if is_alive(state):
        raise InputError(
            f"{folder.id} is still running.", remedy=f"Stop it first: `lora-wizard stop {folder.argument}`."
        )
    if may_run_elsewhere(state):
        raise InputError(
            f"{folder.id} had a heartbeat a moment ago, and none of its processes is on this machine.",
            remedy="Stop it where it runs; or try again in half a minute, if that machine is gone.",
        )


def _remove_checkpoints(checkpoints: Path) -> None:
    """Remove what training wrote there: checkpoints, whole or not, the weights before it, and TensorBoard's `runs`."""
    if checkpoints.is_symlink():
        checkpoints.unlink()
        return
    for path in (
        *checkpoints.glob("checkpoint-*"),
        checkpoints / ".saving",
        checkpoints / "start",
        checkpoints / "runs",
    ):
        _remove_sealed(path)
    _remove_card(checkpoints / "README.md")
    with suppress(OSError):
        checkpoints.rmdir()


def _remove_card(path: Path) -> None:
    """Remove the model card that TRL writes beside checkpoints (`create_model_card`); any other file stays."""
    with suppress(OSError, UnicodeDecodeError):
        if not path.is_symlink() and TRL_CARD in path.read_text(encoding="utf-8"):
            path.unlink()


def _remove_sealed(path: Path) -> None:
    """Remove what was sealed in a folder; all of it where it was never sealed, because it was not whole."""
    names = sealed_names(path)
    if names is None or path.is_symlink():
        _remove_tree(path)
        return
    for parent, _, files in os.walk(path, topdown=False):
        for file in files:
            if str((Path(parent) / file).relative_to(path)) in names:
                (Path(parent) / file).unlink()
        with suppress(OSError):
            Path(parent).rmdir()


def _remove_tree(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        _unlink(path)
    else:
        shutil.rmtree(path)


def _unlink(path: Path) -> None:
    """Remove a file or a link; a folder of that name is not a run's, and stays."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)


def _left_in(path: Path) -> Iterator[str]:
    """Paths left in a folder: its files, and empty folders that were not a run's."""
    for parent, folders, files in os.walk(path):
        here = Path(parent)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*files, *links):
            yield str((here / name).relative_to(path))
        if here != path and not folders and not files:
            yield f"{here.relative_to(path)}/"
