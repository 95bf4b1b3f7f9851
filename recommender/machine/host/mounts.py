"""Mounted file systems, and better places for runs and models."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from recommender.machine.facts import Disk

LAYER_KINDS = frozenset({"overlay", "aufs", "fuse-overlayfs", "fuse.fuse-overlayfs", "tmpfs", "ramfs"})
"""File systems whose content ends with the container or the machine."""

_PERSISTENT_KINDS = re.compile(
    r"ext[234]|xfs|btrfs|zfs|f2fs|bcachefs|nfs4?|cifs|smb3|ceph|lustre|gpfs|beegfs|virtiofs|9p|fuse\.\S+"
)
_SYSTEM_FOLDERS = ("/proc", "/sys", "/dev", "/run", "/etc", "/usr", "/boot", "/lib", "/var/lib/docker", "/snap")
_SMALL = 0.5
"""A layer is left for another disk when it has less than this share of that disk's free room."""

MeasureSpace = Callable[[Path], tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    root: PurePosixPath
    """The folder of the file system that is mounted."""
    point: PurePosixPath
    """The mount point."""
    kind: str
    writable: bool
    options: frozenset[str]
    """Super-block options: of a v1 cgroup mount, its controllers."""


def read_mounts(root: Path = Path("/")) -> tuple[Mount, ...]:
    """All mounts that this process sees, in mount order (proc_pid_mountinfo(5)); none where that cannot be read."""
    try:
        text = (root / "proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(mount for line in text.splitlines() if (mount := _parse(line)))


def disk_space(path: Path) -> tuple[int, int] | None:
    """Free bytes for this user and total bytes of the file system of a folder; None where it cannot be asked."""
    try:
        figures = os.statvfs(path)
    except OSError:
        return None
    return figures.f_bavail * figures.f_frsize, figures.f_blocks * figures.f_frsize


def disk_for(purpose: str, path: Path, mounts: tuple[Mount, ...], measure: MeasureSpace = disk_space) -> Disk:
    """The disk behind a folder that may not exist yet, with a better place for it when there is one.

    Args:
        purpose: 'runs' or 'model cache'.
        path: The folder, absolute.
        mounts: As `read_mounts` gives them.
        measure: Free and total bytes of a folder's file system.
    """
    existing = next((folder for folder in (path, *path.parents) if _exists(folder)), Path("/"))
    resolved = existing.resolve()
    mount = _mount_of(resolved, mounts)
    free, total = measure(resolved) or (None, None)
    suggestion = None
    if mount is not None and mount.kind in LAYER_KINDS:
        suggestion = _better(purpose, free or 0, mounts, measure)
    return Disk(purpose, path, free, total, Path(mount.point) if mount else None, suggestion)


def _better(purpose: str, free: int, mounts: tuple[Mount, ...], measure: MeasureSpace) -> Path | None:
    """A folder on the largest persistent mount, where it has clearly more free space than the present layer."""
    best: tuple[int, Path] | None = None
    for mount in mounts:
        if not _may_hold(mount):
            continue
        point = Path(mount.point)
        space = measure(point) if point.is_dir() and os.access(point, os.W_OK) else None
        if space and free < _SMALL * space[0] and (best is None or space[0] > best[0]):
            best = (space[0], point)
    if best is None:
        return None
    return best[1] / ("lora-wizard/runs" if purpose == "runs" else "huggingface")


def _may_hold(mount: Mount) -> bool:
    point = str(mount.point)
    if not mount.writable or point == "/" or _PERSISTENT_KINDS.fullmatch(mount.kind) is None:
        return False
    return not any(point == folder or point.startswith(f"{folder}/") for folder in _SYSTEM_FOLDERS)


def _exists(path: Path) -> bool:
    """Whether the path exists; False too where a parent may not be read."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _mount_of(path: Path, mounts: tuple[Mount, ...]) -> Mount | None:
    """The innermost mount that holds a path; of two on one point, the later one hides the earlier."""
    best: Mount | None = None
    for mount in mounts:
        if path.is_relative_to(mount.point) and (best is None or len(mount.point.parts) >= len(best.point.parts)):
            best = mount
    return best


def _parse(line: str) -> Mount | None:
    fields, _, rest = line.partition(" - ")
    words, tail = fields.split(), rest.split()
    if len(words) < 6 or len(tail) < 3:
        return None
    return Mount(
        root=PurePosixPath(_unescaped(words[3])),
        point=PurePosixPath(_unescaped(words[4])),
        kind=tail[0],
        writable="rw" in words[5].split(",") and "rw" in tail[2].split(","),
        options=frozenset(tail[2].split(",")),
    )


def _unescaped(text: str) -> str:
    """A path of mountinfo with its octal escapes (blank and the like) decoded."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
