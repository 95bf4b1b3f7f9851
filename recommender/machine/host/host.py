"""The host: usable memory and cores, disks, and whether a logout ends a run."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from recommender import paths
from recommender.machine.facts import Cpu, Disk, Host
from recommender.machine.gpu.processes import in_container
from recommender.machine.host import cgroups
from recommender.machine.host.logind import kills_at_logout
from recommender.machine.host.mounts import disk_for, disk_space, read_mounts

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""x86 flags, and Arm's 'bf16' feature, that make bf16 products as fast as fp32 ones or faster."""


def read_host(runs_dir: Path | None = None, root: Path = Path("/")) -> Host:
    """Read the host's facts.

    Args:
        runs_dir: Where run folders go; the default place if not given.
        root: Of the file system; another in tests.
    """
    total, available = _host_memory(root)
    group = cgroups.memory_limit(root)
    limited = group.limit is not None and group.limit < total
    return Host(
        cpu=read_cpu(root),
        ram_total=group.limit if limited and group.limit is not None else total,
        ram_available=min(available, group.available) if group.available is not None else available,
        ram_source="cgroup" if limited else "host",
        disks=_disks(runs_dir or paths.runs_dir(), root),
        container=in_container(root),
        shm_bytes=_shm(root),
        kills_at_logout=kills_at_logout(root),
    )


def read_cpu(root: Path = Path("/")) -> Cpu:
    """Name, usable cores and bf16 support of the processor, from /proc/cpuinfo and the cgroups."""
    fields = _cpuinfo(root)
    name = fields.get("model name") or fields.get("Model") or platform.processor() or platform.machine()
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return Cpu(name=" ".join(name.split()), cores=usable_cores(root), bf16=bool(flags & _BF16_FLAGS))


def usable_cores(root: Path = Path("/")) -> int:
    """Whole cores that this process may use: the affinity mask's, or fewer if the cgroup's quota is smaller."""
    # macOS has no affinity mask.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroups.cpu_quota(root)
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def _host_memory(root: Path) -> tuple[int, int]:
    """MemTotal and MemAvailable in bytes; what psutil says where /proc/meminfo cannot be read, as on macOS."""
    fields: dict[str, int] = {}
    try:
        for line in (root / "proc/meminfo").read_text(encoding="utf-8").splitlines():
            name, _, rest = line.partition(":")
            fields[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    if "MemTotal" not in fields:
        import psutil

        memory = psutil.virtual_memory()
        return memory.total, memory.available
    total = fields["MemTotal"]
    return total, fields.get("MemAvailable", fields.get("MemFree", total))


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's fields."""
    fields: dict[str, str] = {}
    try:
        with (root / "proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, colon, value = line.partition(":")
                if colon and name.strip() == "processor" and "processor" in fields:
                    break
                if colon:
                    fields.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    return fields


def _disks(runs: Path, root: Path) -> tuple[Disk, ...]:
    mounts = read_mounts(root)
    return disk_for("runs", runs.absolute(), mounts), disk_for("model cache", paths.model_cache_dir(), mounts)


def _shm(root: Path) -> int | None:
    size = disk_space(root / "dev/shm")
    return size[1] if size else None
