"""Limits by cgroup v1, v2 and both, from made file trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from recommender.machine.host.cgroups import MemoryLimit, cpu_quota, memory_limit
from recommender.machine.host.host import read_host, usable_cores
from tests.unit.machine.trees import V2_MOUNT, host_files, write

GIB = 2**30
NO_LIMIT_V1 = "9223372036854771712\n"
V1_MOUNTS = (
    "33 24 0:29 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"
    "34 24 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
)


def v2(folder: str, limit: str | int, usage: int = 0, **more: str) -> dict[str, str]:
    files = {f"{folder}/memory.max": f"{limit}\n", f"{folder}/memory.current": f"{usage}\n"}
    return files | {f"{folder}/{name.replace('_', '.', 1)}": text for name, text in more.items()}


def test_v2_limit_less_usage_plus_cache(tmp_path: Path) -> None:
    stat = f"anon 5\nfile {9 * GIB}\nshmem {GIB}\nactive_file {GIB}\ninactive_file {2 * GIB}\nslab_reclaimable 4096\n"
    write(tmp_path, host_files() | v2("/sys/fs/cgroup", 16 * GIB, 6 * GIB, memory_stat=stat))
    assert memory_limit(tmp_path) == MemoryLimit(16 * GIB, 13 * GIB + 4096)


def test_v2_nested_groups_take_the_tightest_limit_and_the_tightest_rest(tmp_path: Path) -> None:
    files = host_files(cgroup="0::/user.slice/job/step\n")
    top = "/sys/fs/cgroup"
    files |= v2(f"{top}/user.slice", 8 * GIB, 7 * GIB)
    files |= v2(f"{top}/user.slice/job", 6 * GIB, 1 * GIB)
    files |= v2(f"{top}/user.slice/job/step", "max", 1 * GIB)
    write(tmp_path, files)
    assert memory_limit(tmp_path) == MemoryLimit(6 * GIB, 1 * GIB)


def test_v2_high_is_a_limit_too(tmp_path: Path) -> None:
    write(tmp_path, host_files() | v2("/sys/fs/cgroup", 16 * GIB, 0, memory_high=f"{12 * GIB}\n"))
    assert memory_limit(tmp_path).limit == 12 * GIB


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, host_files() | v2("/sys/fs/cgroup", GIB, 2 * GIB))
    assert memory_limit(tmp_path).available == 0


def test_no_limit_anywhere(tmp_path: Path) -> None:
    write(tmp_path, host_files() | v2("/sys/fs/cgroup", "max", GIB))
    assert memory_limit(tmp_path) == MemoryLimit(None, None)


@pytest.mark.parametrize("files", [{}, {"/proc/self/mountinfo": "nonsense\n", "/proc/self/cgroup": "x\n\n1:2\n"}])
def test_unreadable_trees_mean_no_limit(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, files)
    assert memory_limit(tmp_path) == MemoryLimit(None, None)
    assert cpu_quota(tmp_path) is None


def test_v1_limit(tmp_path: Path) -> None:
    group = "/sys/fs/cgroup/memory/docker/abc"
    files = host_files(V1_MOUNTS, "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/system.slice\n")
    files |= {
        f"{group}/memory.limit_in_bytes": f"{4 * GIB}\n",
        f"{group}/memory.usage_in_bytes": f"{3 * GIB}\n",
        f"{group}/memory.stat": f"cache 1\ntotal_active_file {GIB // 2}\ntotal_inactive_file {GIB // 2}\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{60 * GIB}\n",
    }
    write(tmp_path, files)
    assert memory_limit(tmp_path) == MemoryLimit(4 * GIB, 2 * GIB)


def test_v1_in_a_container_without_its_own_cgroup_namespace(tmp_path: Path) -> None:
    """The group's path is the host's, and only that group is mounted, at the controller's usual place."""
    mount = "33 24 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"
    files = host_files(mount, "4:memory:/docker/abc\n")
    files |= {"/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n"}
    write(tmp_path, files)
    assert memory_limit(tmp_path).limit == 2 * GIB


def test_hybrid_both_versions_count(tmp_path: Path) -> None:
    mounts = f"{V1_MOUNTS}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    files = host_files(mounts, "4:memory:/\n0::/\n")
    files |= {"/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{9 * GIB}\n"}
    files |= v2("/sys/fs/cgroup/unified", 7 * GIB, GIB)
    write(tmp_path, files)
    assert memory_limit(tmp_path).limit == 7 * GIB


def test_a_group_above_the_namespace_is_read_at_the_mount_point(tmp_path: Path) -> None:
    write(tmp_path, host_files(cgroup="0::/../../other\n") | v2("/sys/fs/cgroup", 3 * GIB))
    assert memory_limit(tmp_path).limit == 3 * GIB


@pytest.mark.parametrize(
    ("text", "quota"), [("250000 100000\n", 2.5), ("max 100000\n", None), ("", None), ("50000 100000\n", 0.5)]
)
def test_v2_quota(tmp_path: Path, text: str, quota: float | None) -> None:
    write(tmp_path, host_files() | {"/sys/fs/cgroup/cpu.max": text})
    assert cpu_quota(tmp_path) == quota


def test_v1_quota_of_the_tightest_group(tmp_path: Path) -> None:
    top = "/sys/fs/cgroup/cpu,cpuacct"
    files = host_files(V1_MOUNTS, "5:cpu,cpuacct:/a/b\n")
    for group, quota in ((f"{top}/a", "150000"), (f"{top}/a/b", "-1"), (top, "-1")):
        files |= {f"{group}/cpu.cfs_quota_us": quota, f"{group}/cpu.cfs_period_us": "100000"}
    write(tmp_path, files)
    assert cpu_quota(tmp_path) == 1.5


def test_usable_cores_are_whole_and_at_least_one(tmp_path: Path) -> None:
    write(tmp_path, host_files() | {"/sys/fs/cgroup/cpu.max": "30000 100000\n"})
    assert usable_cores(tmp_path) == 1


def test_the_host_reports_the_tighter_of_group_and_machine(tmp_path: Path) -> None:
    write(tmp_path, host_files() | v2("/sys/fs/cgroup", 16 * GIB, 6 * GIB))
    host = read_host(tmp_path / "runs", tmp_path)
    assert (host.ram_total, host.ram_available, host.ram_source) == (16 * GIB, 10 * GIB, "cgroup")


def test_a_limit_above_the_machine_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path, host_files(V2_MOUNT) | v2("/sys/fs/cgroup", 512 * GIB, 1 * GIB))
    host = read_host(tmp_path / "runs", tmp_path)
    assert (host.ram_total, host.ram_available, host.ram_source) == (64_000_000 * 1024, 48_000_000 * 1024, "host")
