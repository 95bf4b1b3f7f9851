"""Processor, disks, container marks and logind, from made file trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from recommender.machine.gpu.processes import in_container
from recommender.machine.host.host import read_cpu, read_host
from recommender.machine.host.logind import kills_at_logout
from recommender.machine.host.mounts import disk_for, read_mounts
from tests.unit.machine.trees import write

GIB = 2**30


@pytest.mark.parametrize(
    ("flags", "bf16"),
    [
        ("fpu sse2 avx2 avx512f", False),
        ("fpu avx512f avx512_bf16", True),
        ("fpu amx_bf16 amx_tile", True),
        ("fpu notbf16", False),
    ],
)
def test_bf16_of_an_x86_processor(tmp_path: Path, flags: str, bf16: bool) -> None:
    first = f"processor\t: 0\nmodel name\t: Some  CPU @ 2GHz\nflags\t\t: {flags}\n\n"
    write(tmp_path, {"/proc/cpuinfo": first + "processor\t: 1\nmodel name\t: Some other\nflags\t: avx512_bf16\n"})
    cpu = read_cpu(tmp_path)
    assert (cpu.name, cpu.bf16) == ("Some CPU @ 2GHz", bf16)
    assert cpu.cores >= 1


def test_bf16_of_an_arm_processor(tmp_path: Path) -> None:
    write(tmp_path, {"/proc/cpuinfo": "processor : 0\nFeatures : fp asimd bf16 i8mm\n"})
    cpu = read_cpu(tmp_path)
    assert cpu.bf16 and cpu.name


def test_a_host_that_tells_nothing_still_has_figures(tmp_path: Path) -> None:
    host = read_host(tmp_path / "runs", tmp_path)
    assert host.ram_total > host.ram_available > 0
    assert host.shm_bytes is None and host.kills_at_logout is None and not host.cpu.bf16


def test_this_host() -> None:
    host = read_host()
    assert host.ram_total >= host.ram_available > 0
    assert [disk.purpose for disk in host.disks] == ["runs", "model cache"]
    assert all(disk.free and disk.total and disk.mount for disk in host.disks)


def mount_line(point: Path | str, kind: str, options: str = "rw") -> str:
    escaped = str(point).replace(" ", "\\040")
    return f"30 25 0:26 / {escaped} {options},relatime shared:1 - {kind} source {options}"


def box(tmp_path: Path, *lines: str) -> Path:
    return write(tmp_path / "tree", {"/proc/self/mountinfo": "\n".join([mount_line("/", "overlay"), *lines]) + "\n"})


def sizes(**free: int) -> object:
    """A stand-in for statvfs: free GiB by the last folder name; 10 GiB for all else."""

    def measure(path: Path) -> tuple[int, int]:
        return free.get(path.name, 10) * GIB, 2000 * GIB

    return measure


def disk(tmp_path: Path, path: Path, *lines: str, **free: int) -> Path | None:
    mounts = read_mounts(box(tmp_path, *lines))
    return disk_for("runs", path, mounts, sizes(**free)).suggestion  # type: ignore[arg-type]  # sizes by name


def test_a_larger_persistent_mount_is_proposed_for_a_home_in_the_container_layer(tmp_path: Path) -> None:
    (workspace := tmp_path / "workspace").mkdir()
    (data := tmp_path / "data").mkdir()
    lines = (mount_line(data, "ext4"), mount_line(workspace, "fuse.juicefs"))
    found = disk(tmp_path, Path("/root/.local/share/lora-wizard/runs"), *lines, workspace=900, data=50)
    assert found == workspace / "lora-wizard/runs"


@pytest.mark.parametrize(
    ("kind", "options", "free"),
    [("ext4", "ro", 900), ("tmpfs", "rw", 900), ("overlay", "rw", 900), ("ext4", "rw", 12)],
    ids=["read-only", "memory", "another layer", "hardly larger"],
)
def test_what_is_no_better_place_is_not_proposed(tmp_path: Path, kind: str, options: str, free: int) -> None:
    (other := tmp_path / "other").mkdir()
    assert disk(tmp_path, Path("/root/runs"), mount_line(other, kind, options), other=free) is None


def test_a_file_mounted_from_outside_is_no_place(tmp_path: Path) -> None:
    (file := tmp_path / "hosts").write_text("")
    assert disk(tmp_path, Path("/root/runs"), mount_line(file, "ext4"), hosts=900) is None


def test_system_folders_are_no_place(tmp_path: Path) -> None:
    assert disk(tmp_path, Path("/root/runs"), mount_line("/etc", "ext4"), etc=900) is None


def test_nothing_is_proposed_where_runs_are_on_a_real_disk(tmp_path: Path) -> None:
    (home := tmp_path / "my home").mkdir()
    (data := tmp_path / "data").mkdir()
    lines = (mount_line(home, "ext4"), mount_line(data, "ext4"))
    assert disk(tmp_path, home / "runs", *lines, data=900) is None


def test_the_later_of_two_mounts_on_one_point_counts(tmp_path: Path) -> None:
    (home := tmp_path / "home").mkdir()
    mounts = read_mounts(box(tmp_path, mount_line(home, "ext4"), mount_line(home, "tmpfs")))
    assert disk_for("runs", home / "not" / "yet", mounts).mount == home
    assert [mount.kind for mount in mounts if str(mount.point) == str(home)] == ["ext4", "tmpfs"]


@pytest.mark.parametrize("marker", ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"])
def test_container_marks(tmp_path: Path, marker: str) -> None:
    assert not in_container(tmp_path, {})
    write(tmp_path, {marker: ""})
    assert in_container(tmp_path, {})


def test_container_by_cgroup_or_environment(tmp_path: Path) -> None:
    write(tmp_path, {"/proc/1/cgroup": "0::/init.scope\n"})
    assert not in_container(tmp_path, {})
    assert in_container(tmp_path, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    write(tmp_path, {"/proc/1/cgroup": "4:memory:/kubepods/burstable/pod1\n"})
    assert in_container(tmp_path, {})


MAIN = "/etc/systemd/logind.conf"
SEATS = {"/run/systemd/seats/seat0": ""}


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        ({}, None),
        (SEATS, False),
        (SEATS | {MAIN: "[Login]\n#KillUserProcesses=no\n"}, False),
        (SEATS | {MAIN: "[Login]\n#KillUserProcesses=yes\n"}, True),
        (SEATS | {MAIN: "[Login]\nKillUserProcesses=yes\n"}, True),
        (SEATS | {MAIN: "[Login]\nKillUserProcesses=yes\n", f"{MAIN}.d/50-x.conf": "KillUserProcesses = no\n"}, False),
        (SEATS | {"/usr/lib/systemd/logind.conf.d/10.conf": "[Login]\nKillUserProcesses=true\n"}, True),
    ],
)
def test_logind(tmp_path: Path, files: dict[str, str], kills: bool | None) -> None:
    write(tmp_path, files)
    assert kills_at_logout(tmp_path, uid=1000) is kills


def test_logind_spares_root_unless_told_otherwise(tmp_path: Path) -> None:
    write(tmp_path, SEATS | {MAIN: "KillUserProcesses=yes\n"})
    assert kills_at_logout(tmp_path, uid=0) is False
    write(tmp_path, {MAIN: "KillExcludeUsers=\nKillUserProcesses=yes\n"})
    assert kills_at_logout(tmp_path, uid=0) is True


def test_a_system_without_an_affinity_mask_has_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    assert read_cpu(tmp_path).cores >= 1
