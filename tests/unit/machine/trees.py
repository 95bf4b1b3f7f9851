"""Builds the part of a file system that the host reader looks at."""

from __future__ import annotations

from pathlib import Path

MEMINFO = "MemTotal:       64000000 kB\nMemFree:         1000000 kB\nMemAvailable:   48000000 kB\n"
V2_MOUNT = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below a root; the names are absolute."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def host_files(mounts: str = V2_MOUNT, cgroup: str = "0::/\n") -> dict[str, str]:
    """A host with 64 GB."""
    return {"/proc/meminfo": MEMINFO, "/proc/self/mountinfo": mounts + "\n", "/proc/self/cgroup": cgroup}
