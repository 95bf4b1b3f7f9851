"""The models on this disk: in the Hugging Face cache and in model folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from presets.errors import InputError
from recommender.model.families import NotCausal
from recommender.model.reader import CONVERTED, models_dir
from recommender.model.sources.cache import CachedModel, cached_models
from recommender.model.sources.folder import read_folder
from recommender.model.spec import ModelSpec
from recommender.paths import model_cache_dir

_MOST_ENTRIES = 300
"""Of one folder that are looked at: a home folder may hold thousands, and none of them is meant then."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that is on this disk."""

    name: str
    """The name that `read_model` takes: a hub id, or the folder's path."""
    source: Literal["cache", "folder"]
    path: Path
    nbytes: int
    """Size of its files."""
    spec: ModelSpec | None
    """None where it cannot be read; `trouble` says why."""
    trouble: str = ""


def list_local_models(folders: Iterable[Path] = (), *, cache: Path | None = None) -> tuple[LocalModel, ...]:
    """List causal language models on this disk, by name: those of the cache, then those in folders.

    Only configurations and safetensors headers are read. Encoders and classifiers are left out; a model that is
    broken is listed with its trouble.

    Args:
        folders: Each a model folder, or a folder of model folders.
        cache: The hub cache; found as the hub library finds it where None.
    """
    found = [_cached(model) for model in cached_models(cache or model_cache_dir())]
    names = {folder: hub_id for hub_id, folder in CONVERTED.items()}
    known = {model.name for model in found if model}
    for folder in _model_folders((models_dir(),)):
        name = names.get(folder.name, str(folder))
        found += [_read(folder, name, "cache")] if name not in known else []
    found += [_read(folder, str(folder), "folder") for folder in _model_folders(folders)]
    return tuple(model for model in found if model is not None)


def _cached(model: CachedModel) -> LocalModel | None:
    return _read(model.folder, model.hub_id, "cache", model.commit)


def _read(
    folder: Path, name: str, source: Literal["cache", "folder"], revision: str | None = None
) -> LocalModel | None:
    """Read a model; None for one that is no causal language model."""
    nbytes = _size(folder)
    try:
        spec = read_folder(folder, name=name, source=source, revision=revision)
    except NotCausal:
        return None
    except InputError as error:
        return LocalModel(name, source, folder, nbytes, None, str(error))
    if source == "cache" and name != str(folder):
        spec = replace(spec, hub_id=name)
    return LocalModel(name, source, folder, nbytes, spec)


def _model_folders(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if (folder / "config.json").is_file():
            yield folder
            continue
        try:
            children = sorted(folder.iterdir())
        except OSError:
            continue
        if len(children) <= _MOST_ENTRIES:
            yield from (child for child in children if (child / "config.json").is_file())


def _size(folder: Path) -> int:
    """Bytes of a folder's own files, through the cache's links; one whose blob is gone counts nothing."""
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
