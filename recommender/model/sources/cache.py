"""Models in the local Hugging Face cache, found by walking its folders without importing its library.

The layout is the hub library's own: `models--org--name/{refs,snapshots/<commit>}`
(https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "models--"


@dataclass(frozen=True, slots=True)
class CachedModel:
    """One revision of a model in the cache."""

    hub_id: str
    folder: Path
    """The snapshot's folder, with config.json in it."""
    commit: str


def find_cached(cache: Path, hub_id: str, revision: str | None = None) -> CachedModel | None:
    """The snapshot of `revision` (a branch, tag or commit; main where None) that has a config.json, or None."""
    root = cache / (_PREFIX + hub_id.replace("/", "--"))
    commit = _commit(root, revision)
    if commit is None:
        return None
    folder = root / "snapshots" / commit
    return CachedModel(hub_id, folder, commit) if (folder / "config.json").exists() else None


def cached_models(cache: Path) -> Iterator[CachedModel]:
    """Every model in the cache that has a config.json, by name."""
    if not cache.is_dir():
        return
    for root in sorted(cache.glob(_PREFIX + "*--*")):
        hub_id = "/".join(root.name.removeprefix(_PREFIX).split("--", 1))
        if found := find_cached(cache, hub_id):
            yield found


def _commit(root: Path, revision: str | None) -> str | None:
    """The commit that a revision stands for; without a main branch, the newest snapshot."""
    reference = root / "refs" / (revision or "main")
    try:
        return reference.read_text(encoding="utf-8").strip() or None
    except OSError:
        pass
    snapshots = root / "snapshots"
    if revision is not None:
        return revision if (snapshots / revision).is_dir() else None
    if not snapshots.is_dir():
        return None
    newest = max(snapshots.iterdir(), key=lambda path: path.stat().st_mtime, default=None)
    return newest.name if newest else None
