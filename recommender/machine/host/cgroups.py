"""Limits of this process's control groups on memory and processor time, under cgroup v1, v2 or both.

Every group from this process's own up to the mount point is looked at, because any of them may be the tightest. The
root folder is injected, so that a test can build a tree of files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from recommender.machine.host.mounts import Mount, read_mounts

Version = Literal["v1", "v2"]


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The tightest limits of the groups; None where no group has a limit."""

    limit: int | None
    """Bytes."""
    available: int | None
    """Bytes left in the tightest group: limit less usage, plus page cache that the kernel would drop."""


def memory_limit(root: Path = Path("/")) -> MemoryLimit:
    """The memory limit of this process's groups.

    Limits are memory.max and memory.high (v2; above 'high' the kernel throttles) or memory.limit_in_bytes (v1, where
    a number near 2^63 means none). File pages and reclaimable slab count as available, as they do in the kernel's own
    MemAvailable (Documentation/filesystems/proc.rst); shared memory does not, for it cannot be dropped.
    """
    found = [level for version, folder in _folders(root, "memory") if (level := _memory(version, folder))]
    if not found:
        return MemoryLimit(None, None)
    return MemoryLimit(min(limit for limit, _ in found), max(0, min(left for _, left in found)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that the tightest group grants (2.5 is two and a half), None without a quota.

    From cpu.max (v2) or cpu.cfs_quota_us over cpu.cfs_period_us (v1).
    """
    quotas = [quota for version, folder in _folders(root, "cpu") if (quota := _quota(version, folder))]
    return min(quotas, default=None)


def _memory(version: Version, folder: Path) -> tuple[int, int] | None:
    """Limit and what is left of it in one group; None where it has no limit."""
    if version == "v2":
        limits = [_number(folder / "memory.max"), _number(folder / "memory.high")]
        usage = _number(folder / "memory.current")
        names = ["active_file", "inactive_file", "slab_reclaimable"]
    else:
        limits = [_number(folder / "memory.limit_in_bytes")]
        usage = _number(folder / "memory.usage_in_bytes")
        names = ["total_active_file", "total_inactive_file"]
    real = [limit for limit in limits if limit is not None and limit < 2**60]
    if not real:
        return None
    statistics = _statistics(folder / "memory.stat")
    cache = sum(statistics.get(name, 0) for name in names)
    limit = min(real)
    return limit, min(limit, limit - (usage or 0) + cache)


def _quota(version: Version, folder: Path) -> float | None:
    if version == "v2":
        quota, _, period = _text(folder / "cpu.max").partition(" ")
    else:
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    if not (quota.isdigit() and period.isdigit() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _folders(root: Path, controller: str) -> Iterator[tuple[Version, Path]]:
    """The folders of this process's groups for a controller, innermost first, with the version that each follows."""
    mounts = read_mounts(root)
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        version: Version | None = "v2" if names == "" else "v1" if controller in names.split(",") else None
        if version is None:
            continue
        for mount in mounts:
            if _carries(mount, version, controller):
                yield from ((version, folder) for folder in _upwards(root, mount, group))


def _carries(mount: Mount, version: Version, controller: str) -> bool:
    if version == "v2":
        return mount.kind == "cgroup2"
    return mount.kind == "cgroup" and controller in mount.options


def _upwards(root: Path, mount: Mount, group: str) -> Iterator[Path]:
    """From the group's folder to the mount point.

    A container without a cgroup namespace sees the host's path for its group while only that group is mounted: what
    the mount's own root has in common with the path is left away. A path outside the mount ('/../x') is its top.
    """
    top = root / mount.point.relative_to("/")
    path = PurePosixPath(group)
    inside = path.relative_to(mount.root) if path.is_relative_to(mount.root) else PurePosixPath()
    parts = () if ".." in inside.parts else inside.parts
    for depth in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:depth])


def _statistics(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: Path) -> int | None:
    """The whole number in a file; None for 'max' and where there is no such file."""
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    """A file's text without its last newline; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
