"""Where anatomies are kept: those that ship with the program, and the cache of those learned here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from recommender.model.anatomy import Anatomy, from_document, to_document
from recommender.paths import cache_dir

SHIPPED = Path(__file__).parents[2] / "presets" / "anatomies"
PACKAGES = ("transformers", "peft", "torch")
_SAYS_NOTHING = frozenset(
    {
        "name_or_path",
        "_name_or_path",
        "transformers_version",
        "dtype",
        "torch_dtype",
        "quantization_config",
        "auto_map",
        "_attn_implementation",
        "use_cache",
        "unsloth_fixed",
        "unsloth_version",
    }
)
"""Keys of config.json that change nothing of what is built."""


def key_of(config: Mapping[str, Any]) -> str:
    """The name of a configuration's anatomy: equal for documents that build the same model."""
    text = json.dumps(_essence(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _essence(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _essence(each) for key, each in value.items() if key not in _SAYS_NOTHING}
    return [_essence(each) for each in value] if isinstance(value, list | tuple) else value


def find(config: Mapping[str, Any]) -> Anatomy | None:
    """The anatomy of a configuration: learned here with the installed versions, else the shipped one."""
    return learned_here(config) or shipped(config)


def learned_here(config: Mapping[str, Any]) -> Anatomy | None:
    """The anatomy that the cache has of it for the installed versions."""
    return _read(_cached(config))


def shipped(config: Mapping[str, Any]) -> Anatomy | None:
    """The anatomy that ships with the program, whatever versions it was learned with."""
    return _read(SHIPPED / f"{key_of(config)}.json")


def keep(config: Mapping[str, Any], anatomy: Anatomy) -> None:
    """Keep an anatomy in the cache; where the disk refuses, it is learned again next time."""
    path = _cached(config)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text_of(anatomy), encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)


def text_of(anatomy: Anatomy) -> str:
    """The file's text."""
    return json.dumps(to_document(anatomy), separators=(",", ":"), ensure_ascii=False) + "\n"


def is_current(anatomy: Anatomy) -> bool:
    """Whether the installed Transformers is of the same minor version as the one that an anatomy was learned with.

    Without Transformers (a machine that only plans) nothing could be learned: then it is.
    """
    here, then = installed().get("transformers"), anatomy.versions.get("transformers", "")
    return here is None or here.split(".")[:2] == then.split(".")[:2]


@cache
def installed() -> Mapping[str, str]:
    """Installed versions of the packages that an anatomy follows from."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cached(config: Mapping[str, Any]) -> Path:
    versions = hashlib.sha256(json.dumps(dict(installed()), sort_keys=True).encode()).hexdigest()[:8]
    return cache_dir() / "anatomies" / f"{key_of(config)}-{versions}.json"


def _read(path: Path) -> Anatomy | None:
    try:
        return from_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
