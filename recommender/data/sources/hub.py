"""Data sets of the hub: download of a configuration's and split's Parquet files.

The hub keeps every public data set as Parquet too, in the branch refs/convert/parquet, one folder a configuration with
one folder a split in it ('partial-train' where only the first 5 GB are kept); so no loading script runs and no library
but the hub's own is needed. What was fetched once is found again without a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

from presets.errors import InputError
from recommender.config.schema import Source
from recommender.data.profile.collect import Cancelled
from recommender.data.sources.files import nearest
from recommender.hub.connection import endpoint, reachable
from recommender.hub.errors import hub_errors
from recommender.hub.progress import bytes_bar
from recommender.paths import model_cache_dir

BRANCH = "refs/convert/parquet"
_PARTIAL = "partial-"
_PREFERRED = ("default", "main", "all", "plain_text")
CheckCancelled = Callable[[], None]
OnBytes = Callable[[str, int, int], None]
"""Called with the file's name, bytes done of all files, and bytes in all (0 where that is not known yet)."""
_ASKED_EVERY = 0.1
"""Seconds."""

_found: dict[tuple[str, str | None, str | None], tuple[Path, ...]] = {}
"""Files downloaded by this process: they are asked for more than once while a data set is opened."""


def hub_files(
    source: Source, check_cancelled: CheckCancelled | None = None, on_bytes: OnBytes | None = None
) -> tuple[Path, ...]:
    """The files of one split, downloaded when they are not here.

    Args:
        source: Its path is the id; `name` the configuration and `split` the split ('train' when None).
        check_cancelled: Called ten times a second while bytes come in; raises to end that.
        on_bytes: Told then how far it is.

    Raises:
        InputError: There is no such data set, configuration or split, or the hub cannot be reached.
    """
    source = taken_apart(source)
    key = (source.path, source.name, source.split)
    if key not in _found or not all(path.is_file() for path in _found[key]):
        _found[key] = _downloaded(source, check_cancelled, on_bytes) if reachable() else _kept(source)
    return _found[key]


def _downloaded(source: Source, check_cancelled: CheckCancelled | None, on_bytes: OnBytes | None) -> tuple[Path, ...]:
    download = _Download(source)

    def unreachable(error: Exception) -> InputError:
        return _unreachable(source.path, f"{type(error).__name__}: {error}")

    with hub_errors("dataset", source.path, BRANCH, unreachable, passing=(Cancelled,)):
        return download.wait(check_cancelled or (lambda: None), on_bytes or (lambda _what, _done, _total: None))


def _kept(source: Source) -> tuple[Path, ...]:
    """The files of an earlier download: without a network they are used as they are."""
    root = model_cache_dir() / f"datasets--{source.path.replace('/', '--')}"
    try:
        folder = root / "snapshots" / (root / "refs" / BRANCH).read_text(encoding="utf-8").strip()
    except OSError:
        raise _unreachable(source.path) from None
    listed = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.parquet"))]
    return tuple(folder / name for name in choose(listed, source))


def choose(listed: Sequence[str], source: Source) -> list[str]:
    """The files of a configuration and split, among those of the Parquet branch.

    Raises:
        InputError: It is not there, or several could be meant.
    """
    files = sorted(name for name in listed if name.endswith(".parquet") and name.count("/") == 2)
    configurations = list(dict.fromkeys(name.split("/")[0] for name in files))
    configuration = source.name or next((name for name in _PREFERRED if name in configurations), None)
    if configuration is None and len(configurations) == 1:
        configuration = configurations[0]
    if configuration not in configurations:
        raise _not_there(source, "configuration", source.name, configurations)
    splits = list(dict.fromkeys(name.split("/")[1] for name in files if name.split("/")[0] == configuration))
    split = source.split or "train"
    taken = next((held for held in splits if held in {split, _PARTIAL + split}), None)
    if taken is None:
        raise _not_there(source, "split", split, [held.removeprefix(_PARTIAL) for held in splits])
    return [name for name in files if name.startswith(f"{configuration}/{taken}/")]


def _not_there(source: Source, what: str, asked: str | None, there: Sequence[str]) -> InputError:
    key = "name" if what == "configuration" else "split"
    near = nearest(asked or "", there)
    example = near or (there[0] if there else "…")
    said = f"has no {what} '{asked}'" if asked else f"has several {what}s"
    return InputError(
        f"{source.path} {said}. It has: {', '.join(there[:12]) or 'none'}.",
        remedy=f"Say which: {as_typed(source.model_copy(update={key: example}))}, or {key}: {example} in data.train.",
    )


def as_typed(source: Source) -> str:
    """The source as one line: ID:CONFIGURATION:SPLIT."""
    parts = [source.path, source.name or "", source.split or ""]
    return ":".join(parts).rstrip(":")


def taken_apart(source: Source) -> Source:
    """The source with ID:CONFIGURATION:SPLIT in its path split into fields."""
    hub_id, _, rest = source.path.partition(":")
    configuration, _, split = rest.partition(":")
    changes = {"path": hub_id, "name": configuration or source.name, "split": split or source.split}
    return source.model_copy(update=changes)


def _unreachable(hub_id: str, detail: str = "") -> InputError:
    return InputError(
        f"There is no file {hub_id} here, and the hub cannot be reached for a data set of that name.",
        remedy="Check the path, or try again with a network.",
        detail=detail,
    )


class _Ended(Exception):
    """The download was abandoned."""


class _Download:
    """Downloads the files of one split in a thread of its own: a silent hub blocks nobody."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ended = Event()
        self._file, self._done, self._total = "", 0, 0
        self._paths: list[Path] = []
        self._error: Exception | None = None

    def wait(self, check_cancelled: CheckCancelled, on_bytes: OnBytes) -> tuple[Path, ...]:
        """Wait for the files and return them.

        Raises:
            Exception: What `check_cancelled` raises to end it, or the hub library's own.
        """
        thread = Thread(target=self._run, name="fetch", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_ASKED_EVERY)
                check_cancelled()
                on_bytes(self._file, self._done, self._total)
        finally:
            self._ended.set()
        if self._error is not None:
            raise self._error
        return tuple(self._paths)

    def _run(self) -> None:
        try:
            self._fetch()
        except Exception as error:
            self._error = error

    def _fetch(self) -> None:
        from huggingface_hub import HfApi, hf_hub_download

        hub_id = self._source.path
        place: dict[str, Any] = {"repo_type": "dataset", "revision": BRANCH}
        tree = HfApi(endpoint=endpoint()).list_repo_tree(hub_id, recursive=True, **place)
        sizes = {held.path: int(getattr(held, "size", 0) or 0) for held in tree}
        wanted = choose(list(sizes), self._source)
        self._total = sum(sizes[name] for name in wanted)
        before = 0
        for name in wanted:
            if self._ended.is_set():
                return
            self._file, self._done = name, before
            options = {"endpoint": endpoint(), "cache_dir": model_cache_dir(), "tqdm_class": self._told(before)}
            self._paths.append(Path(hf_hub_download(hub_id, name, **place, **options)))
            before += sizes[name]
            self._done = before

    def _told(self, before: int) -> Any:
        """Counts bytes for the hub library, and lets the download be ended."""

        def on_bytes(done: int, _total: int) -> None:
            if self._ended.is_set():
                raise _Ended
            self._done = before + done

        return bytes_bar(on_bytes)
