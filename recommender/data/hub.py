"""Data sets of the hub: from an id, a configuration and a split to Parquet files on this disk.

The hub keeps every public data set as Parquet too, in the branch refs/convert/parquet, one folder a configuration with
one folder a split in it ('partial-train' where only the first 5 GB are kept); so no loading script runs and no library
but the hub's own is needed. What was fetched once is found again without a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.config.schema import Source
from recommender.data.files import nearest
from recommender.data.gather import Cancelled
from recommender.model.hub import endpoint, reachable
from recommender.paths import model_cache_dir

BRANCH = "refs/convert/parquet"
_PARTIAL = "partial-"
_PREFERRED = ("default", "main", "all", "plain_text")
Tick = Callable[[], None]

_found: dict[tuple[str, str | None, str | None], tuple[Path, ...]] = {}
"""What this process has fetched already: files are asked for more than once while a data set is opened."""


def hub_files(source: Source, tick: Tick | None = None) -> tuple[Path, ...]:
    """The files of one split, fetched when they are not here.

    Args:
        source: Its path is the id; `name` the configuration and `split` the split ('train' when None).
        tick: Called while bytes come in; raises to end that.

    Raises:
        InputError: There is no such data set, configuration or split, or the hub cannot be reached.
    """
    source = taken_apart(source)
    key = (source.path, source.name, source.split)
    if key not in _found or not all(path.is_file() for path in _found[key]):
        _found[key] = _fetched(source, tick or (lambda: None)) if reachable() else _kept(source)
    return _found[key]


def _fetched(source: Source, tick: Tick) -> tuple[Path, ...]:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    hub_id = source.path
    place: dict[str, Any] = {"repo_type": "dataset", "revision": BRANCH}
    try:
        listed = HfApi(endpoint=endpoint()).list_repo_files(hub_id, **place)
        wanted = choose(listed, source)
        paths = []
        for name in wanted:
            tick()
            options = {"endpoint": endpoint(), "cache_dir": model_cache_dir(), "tqdm_class": _bar(tick)}
            paths.append(Path(hf_hub_download(hub_id, name, **place, **options)))
        return tuple(paths)
    except (InputError, Cancelled):
        raise
    except GatedRepoError as error:
        page = f"{endpoint()}/datasets/{hub_id}"
        raise InputError(
            f"The data set {hub_id} is gated.",
            remedy=f"Accept its terms at {page}, then run 'hf auth login' or set HF_TOKEN.",
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(
            f"The hub keeps no Parquet files of {hub_id}.",
            remedy=f"Fetch it and give its folder: hf download --repo-type dataset {hub_id} --local-dir data.",
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"There is no file {hub_id}, and no data set of that name on the hub, or it is private.",
            remedy="Check the spelling; for a private one run 'hf auth login' or set HF_TOKEN.",
        ) from error
    except Exception as error:
        # The transport's own errors change with the hub library's version; what they mean here does not.
        raise _unreachable(hub_id, f"{type(error).__name__}: {error}") from error


def _kept(source: Source) -> tuple[Path, ...]:
    """What was fetched before: without a network it is used as it is."""
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
    """ID:CONFIGURATION:SPLIT, as it is typed on one line."""
    parts = [source.path, source.name or "", source.split or ""]
    return ":".join(parts).rstrip(":")


def taken_apart(source: Source) -> Source:
    """The same with what stands behind the id in its path: ID:CONFIGURATION:SPLIT."""
    hub_id, _, rest = source.path.partition(":")
    configuration, _, split = rest.partition(":")
    told = {"path": hub_id, "name": configuration or source.name, "split": split or source.split}
    return source.model_copy(update=told)


def _unreachable(hub_id: str, detail: str = "") -> InputError:
    return InputError(
        f"There is no file {hub_id} here, and the hub cannot be reached for a data set of that name.",
        remedy="Check the path, or try again with a network.",
        detail=detail,
    )


def _bar(tick: Tick) -> Any:
    """A progress bar for the hub library that draws nothing and lets the download be ended."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:  # noqa: ARG002
            tick()

    return Bar
