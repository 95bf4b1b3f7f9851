"""The owner of each process that holds GPU memory, named only with evidence.

Inside a container NVML may report the host's process ids. Such a number can, by chance, also be a process in here, so a
number alone proves nothing: a process counts as the user's only if it has the user's uid *and* an NVIDIA device open.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recommender.machine.facts import GpuProcess

Resolver = Callable[[int, int | None], GpuProcess]

_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the host's pid namespace (PROC_PID_INIT_INO in Linux' include/linux/proc_ns.h)."""

_MARKERS = (".dockerenv", "run/.containerenv", "run/systemd/container")
_CGROUP_WORDS = ("docker", "kubepods", "containerd", "libpod", "lxc")


def in_container(root: Path = Path("/"), environment: dict[str, str] | None = None) -> bool:
    """Whether this process is in a container, by the traces of Docker, Podman, Kubernetes, LXC and systemd-nspawn."""
    variables = os.environ if environment is None else environment
    if "container" in variables or "KUBERNETES_SERVICE_HOST" in variables:
        return True
    if any((root / marker).exists() for marker in _MARKERS):
        return True
    try:
        text = (root / "proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(word in text for word in _CGROUP_WORDS)


def sees_host_pids() -> bool:
    """Whether process ids in here are the host's, so that they are the ones that NVML reports."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == _FIRST_PID_NAMESPACE
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Ownership:
    """Decides whose a process is; injectable so that a test can stand in for device files and namespaces."""

    device_prefixes: tuple[str, ...] = ("/dev/nvidia", "/dev/dxg")
    """Device files that every CUDA process holds open (/dev/dxg under WSL)."""
    host_pids: Callable[[], bool] = sees_host_pids

    def resolve(self, pid: int, used_bytes: int | None) -> GpuProcess:
        """Name and owner of a process id that NVML reported.

        Returns:
            'you' with the same uid and an open NVIDIA device; 'other' for a process that has one under another uid,
            and for any other process where ids are the host's; 'outside' for what cannot be shown to be the one.
        """
        import psutil

        mine = os.getuid()
        outside = GpuProcess(pid=None, name=None, used_bytes=used_bytes, owner="outside")
        try:
            process = psutil.Process(pid)
            name, uid = process.name(), process.uids().real
        except (psutil.Error, ValueError):
            return outside
        shown = self._uses_gpu(pid)
        if shown or self.host_pids():
            return GpuProcess(pid, name, used_bytes, "you" if shown and uid == mine else "other")
        return outside

    def _uses_gpu(self, pid: int) -> bool:
        try:
            return any(self._is_device(link) for link in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return False

    def _is_device(self, link: Path) -> bool:
        try:
            return str(link.readlink()).startswith(self.device_prefixes)
        except OSError:
            return False


def resolve_process(pid: int, used_bytes: int | None) -> GpuProcess:
    """`Ownership.resolve` for this machine."""
    return Ownership().resolve(pid, used_bytes)
