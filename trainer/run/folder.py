"""The run folder: its names, how it is made, and how anything is written into it (docs/architecture.md)."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from presets.errors import InputError
from recommender.paths import cache_dir, model_cache_dir, runs_dir, state_dir
from trainer.run import fsync
from trainer.run.events import Kind, event
from trainer.run.masking import mask_all

FOLDER_MODE, FILE_MODE = 0o700, 0o600
"""A run holds a person's data and answers: nobody else may read it."""
RELIED_ON: Final[frozenset[Kind]] = frozenset({"checkpoint", "recovery", "end"})
"""Events that are on the disk before anything else happens."""
MARKER: Final = ".lora-wizard-run"
"""An empty file by which a folder is known as a run whatever else is in it; runs made before it have none."""
SPARE_BYTES = 4 * 2**20
"""Left on the disk beside what is saved, for the events and the log."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run, as one of its processes sees them."""

    path: Path
    rank: int = 0
    """The process: those beside the first have a record and a log of their own."""

    @property
    def id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def argument(self) -> str:
        """This run on a command line: its id, or its path where commands do not look by themselves."""
        return self.id if self.path.parent == runs_dir() else shlex.quote(str(self.path))

    @property
    def ranks(self) -> Path:
        """The folder of what belongs to single processes: one folder each, by rank."""
        return self.path / "ranks"

    @property
    def own(self) -> Path:
        """The folder of this process' record and log: the run's own for the first one."""
        return self.ranks / str(self.rank) if self.rank else self.path

    @property
    def config(self) -> Path:
        """The configuration as it was asked for."""
        return self.path / "config.yaml"

    @property
    def effective_config(self) -> Path:
        """The configuration that runs now, after recoveries."""
        return self.path / "config.effective.yaml"

    @property
    def plan(self) -> Path:
        """Estimate, reasons and device at launch."""
        return self.path / "plan.json"

    @property
    def base(self) -> Path:
        """The base's record: the model's fingerprint, and the adapter's where the run started from one."""
        return self.path / "base.json"

    @property
    def events(self) -> Path:
        """The append-only record."""
        return self.own / "events.jsonl"

    @property
    def state(self) -> Path:
        """The small current state."""
        return self.path / "state.json"

    @property
    def commands(self) -> Path:
        """Requests to the worker."""
        return self.path / "commands.jsonl"

    @property
    def log(self) -> Path:
        """Everything that the worker and its libraries print."""
        return self.own / "worker.log"

    @property
    def checkpoints(self) -> Path:
        """checkpoint-N folders."""
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The folder of the trained adapter; of the model after a full fine-tune."""
        return self.path / "adapter"

    @property
    def agreed(self) -> Path:
        """Hashes of what the person agreed to for this run."""
        return self.path / "agreed.json"

    @property
    def marker(self) -> Path:
        """The file that says what this folder is."""
        return self.path / MARKER


def is_run(path: Path) -> bool:
    """Whether a folder is a run: it has state.json, and the marker or a record that begins as this program's does.

    A configuration alone makes none: `-o config.yaml` writes one into anybody's project.
    """
    folder = RunFolder(path)
    return _is_file(folder.state) and (_is_file(folder.marker) or _is_our_first(_first_line(folder.events)))


def _is_file(path: Path) -> bool:
    """Whether a readable path is a file; other users' folders and impossible names hold no run of ours."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def found_folder(path: Path) -> bool:
    """Whether the path is a folder that may be read."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.readline(2**16)
    except OSError:
        return b""


def _is_our_first(line: bytes) -> bool:
    """Whether this first line of an events.jsonl is a run's: a start, or an end where there was no start."""
    try:
        first = json.loads(line)
    except ValueError:
        return False
    match first:
        case {"v": int(), "t": int() | float(), "kind": "status", "status": str()}:
            return True
        case {"v": int(), "t": int() | float(), "kind": "start"}:
            return True
        case {"v": int(), "t": int() | float(), "kind": "end", "status": "failed"}:
            return True
    return False


def short_name(text: str) -> str:
    """A hub id, folder or file as a piece of a folder's name: lower case, letters, digits and single dashes."""
    stem = Path(text.rstrip("/")).name
    stem = re.sub(r"\.(jsonl?|csv|tsv|parquet|txt|gz|zst)$", "", stem)
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:32] or "run"


def run_id(model: str, data: str | None, *, name: str | None = None, now: float | None = None) -> str:
    """A sortable, readable id: date, time, then the person's name for it, or model and data."""
    stamp = time.strftime("%Y%m%d-%H%M", time.localtime(now))
    tail = short_name(name) if name else "-".join(short_name(part) for part in (model, data) if part)
    return f"{stamp}-{tail}"


def nearest_folder(path: Path) -> Path:
    """The folder itself or the nearest one above it that exists."""
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))


def require_place(runs: Path) -> None:
    """Check that run folders can be made, without leaving anything behind.

    Raises:
        InputError: The folder of runs, or the nearest one above it, cannot be written.
    """
    try:
        Path(tempfile.mkdtemp(prefix=".lora-wizard-", dir=nearest_folder(runs.absolute()))).rmdir()
    except OSError as problem:
        raise _no_place(runs, problem) from None


def _no_place(runs: Path, problem: OSError) -> InputError:
    return InputError(
        f"A run folder cannot be made in {runs}: {problem.strerror}.",
        remedy=" ".join(["Choose another folder with --runs or LORA_WIZARD_RUNS.", *_also_read_only()]),
    )


def _also_read_only() -> Iterator[str]:
    """A sentence for each other folder that cannot be written, with its variable: all where HOME is read-only."""
    needed = {
        "XDG_STATE_HOME": (state_dir(), "measurements are not kept"),
        "XDG_CACHE_HOME": (cache_dir(), "data is read anew each time"),
        "HF_HOME": (model_cache_dir(), "a model cannot be downloaded"),
    }
    for variable, (folder, otherwise) in needed.items():
        if not can_be_written(folder):
            yield f"{folder} cannot be written either: set {variable}, or {otherwise}."


def can_be_written(folder: Path) -> bool:
    """Whether a folder, or the nearest one above it that exists, takes new files."""
    return os.access(nearest_folder(folder), os.W_OK)


def create(runs: Path, wanted: str) -> RunFolder:
    """Make a new run folder; a number is added where the id is taken.

    Raises:
        InputError: The folder of runs cannot be written.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            path = runs / (wanted if number == 1 else f"{wanted}-{number}")
            try:
                path.mkdir(mode=FOLDER_MODE)
            except FileExistsError:
                continue
            made = RunFolder(path)
            made.marker.touch(mode=FILE_MODE)
            return made
    except OSError as problem:
        raise _no_place(runs, problem) from None
    raise InputError(f"{runs} holds a thousand runs named {wanted}.", remedy="Remove some with `lora-wizard rm`.")


def write_atomically(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader sees the old text or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append_line(path: Path, document: Mapping[str, Any]) -> None:
    """Append one JSON line in one write, so that lines of several writers never mix (O_APPEND).

    Raises:
        OSError: The line was not written, or not whole.
    """
    line = json.dumps(document, ensure_ascii=False, allow_nan=True, separators=(",", ":"), default=str) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
    data = line.encode("utf-8", "replace")
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def repair_last_line(path: Path) -> None:
    """End a torn last line, which a killed writer or a full disk left, so that the next line stands alone."""
    try:
        with path.open("r+b", buffering=0) as stream:
            if stream.seek(0, os.SEEK_END) == 0:
                return
            stream.seek(-1, os.SEEK_END)
            torn = stream.read(1) != b"\n"
    except FileNotFoundError:
        return
    if torn:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, b"\n")
        finally:
            os.close(descriptor)


def append_event(folder: RunFolder, kind: Kind, **keys: Any) -> None:
    """Append one event, now; what looks like a secret is masked.

    What others rely on later is on the disk when this returns; anything else some milliseconds after it.
    """
    if folder.rank:
        keys["rank"] = folder.rank
    append_line(folder.events, event(kind, time.time(), **mask_all(keys)))
    (fsync.now if kind in RELIED_ON else fsync.soon)(folder.events)
