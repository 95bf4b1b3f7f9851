"""Versions from metadata, and what they mean for the cards that are here."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from recommender.machine import wheels
from recommender.machine.diagnostics import diagnostics
from recommender.machine.facts import Cpu, Diagnostic, Disk, Gpu, Host, NvmlState, NvmlStatus, Software
from recommender.machine.software import DISTRIBUTIONS, missing, read_software, torch_cuda
from tests.unit.machine.trees import write

OK = NvmlState(NvmlStatus.OK)


def installed(folder: Path, version: str, generated: str = "") -> metadata.Distribution:
    """An installed torch as pip leaves it: metadata, and its generated version file."""
    info = f"torch-{version}.dist-info"
    write(folder, {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"})
    if generated:
        write(folder, {"torch/version.py": generated})
    return metadata.PathDistribution(folder / info)


@pytest.mark.parametrize(
    ("version", "generated", "cuda"),
    [
        ("2.13.0+cu130", "", "13.0"),
        ("2.9.1+cu126", "", "12.6"),
        ("2.13.0+cpu", "cuda: Optional[str] = None\n", None),
        ("2.13.0+rocm7.2", "cuda: Optional[str] = None\n", None),
        ("2.13.0", "debug = False\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "13.0"),
        ("2.13.0", "cuda: Optional[str] = None\n", None),
        ("2.10.0a0+git1234", "cuda = '12.8'\n", "12.8"),
        ("2.13.0", "", None),
    ],
)
def test_cuda_build_of_an_installed_torch(tmp_path: Path, version: str, generated: str, cuda: str | None) -> None:
    assert torch_cuda(installed(tmp_path, version, generated)) == cuda


def test_versions_of_this_environment() -> None:
    software = read_software("580.95.05", "13.0")
    assert set(software.versions) == set(DISTRIBUTIONS)
    assert software.versions["textual"] == metadata.version("textual")
    assert (software.driver, software.cuda_driver) == ("580.95.05", "13.0")


def test_what_is_not_installed_is_none() -> None:
    software = read_software(find=lambda name: None)
    assert set(software.versions.values()) == {None} and software.torch_cuda is None
    assert "torch" in missing(software.versions) and "flash-attn" not in missing(software.versions)


@pytest.mark.parametrize(
    ("torch", "cuda", "capability", "runs"),
    [
        ("2.13.0", (13, 0), (7, 5), True),
        ("2.13.0", (13, 0), (7, 0), False),
        ("2.13.0", (13, 0), (8, 9), True),
        ("2.13.0", (13, 0), (8, 7), True),
        ("2.13.0", (13, 0), (12, 0), True),
        ("2.13.0", (13, 0), (12, 1), True),
        ("2.13.0", (12, 6), (7, 0), True),
        ("2.13.0", (12, 6), (6, 1), True),
        ("2.13.0", (12, 6), (12, 0), False),
        ("2.10.0", (12, 8), (7, 0), True),
        ("2.11.0", (12, 8), (7, 0), False),
        ("2.11.0", (12, 8), (12, 0), True),
    ],
)
def test_kernels_by_build(torch: str, cuda: tuple[int, int], capability: tuple[int, int], runs: bool) -> None:
    build = next(build for build in wheels.builds(torch, "x86_64") if build.cuda == cuda)
    assert build.has_kernels_for(capability) is runs


def test_arm_builds_have_fewer_kernels() -> None:
    newest = wheels.builds("2.13.0", "aarch64")[0]
    assert newest.has_kernels_for((11, 0)) and not newest.has_kernels_for((7, 5))


@pytest.mark.parametrize(
    ("cuda", "driver", "runs"),
    [
        ("13.0", "13.0", True),
        ("13.2", "13.0", True),
        ("12.8", "12.2", True),
        ("13.0", "12.9", False),
        ("12.6", "11.8", False),
    ],
)
def test_driver_and_build(cuda: str, driver: str, runs: bool) -> None:
    assert wheels.runs_on_driver(cuda, driver) is runs


@pytest.mark.parametrize(
    ("torch", "driver", "capability", "wheel"),
    [
        ("2.13.0+cpu", "13.0", (8, 9), "torch==2.13.0+cu130"),
        ("2.13.0+cu130", "12.4", (8, 9), "torch==2.13.0+cu126"),
        ("2.12.0", "13.0", (7, 0), "torch==2.12.0+cu126"),
        ("2.13.0+cu130", "12.8", (12, 0), "torch==2.11.0+cu128"),
        ("2.99.0", "13.0", (9, 0), "torch==2.13.0+cu130"),
        (None, "13.0", (9, 0), "torch==2.13.0+cu130"),
        ("2.13.0", "11.8", (8, 0), None),
        ("2.13.0", "13.0", (3, 7), None),
    ],
)
def test_the_wheel_that_is_proposed(
    torch: str | None, driver: str, capability: tuple[int, int], wheel: str | None
) -> None:
    line = wheels.pip_line(torch, driver, [capability], "x86_64")
    if wheel is None:
        assert line is None
    else:
        assert line == f'{sys.executable} -m pip install "{wheel}" --index-url {wheels.INDEX}/{wheel.partition("+")[2]}'


def test_one_wheel_for_cards_of_two_ages() -> None:
    assert "cu126" in (wheels.pip_line("2.13.0", "13.0", [(7, 0), (8, 0)], "x86_64") or "")
    assert wheels.pip_line("2.13.0", "13.0", [(6, 1), (12, 0)], "x86_64") is None


def test_every_build_proposed_for_a_card_has_its_kernels() -> None:
    for capability in [(7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)]:
        for driver in ("12.2", "12.8", "13.0"):
            line = wheels.pip_line("2.13.0", driver, [capability], "x86_64")
            if line is None:
                continue
            release, _, tag = line.partition("torch==")[2].partition('"')[0].partition("+")
            build = next(build for build in wheels.builds(release, "x86_64") if build.tag == tag)
            assert build.has_kernels_for(capability)
            assert wheels.runs_on_driver(f"{build.cuda[0]}.{build.cuda[1]}", driver)


def card(name: str = "NVIDIA GeForce RTX 4090", capability: tuple[int, int] | None = (8, 9), problem: str = "") -> Gpu:
    return Gpu(0, "GPU-0", name, capability, "Ada", 24 * 2**30, 0, 23 * 2**30, problem=problem)


def host(**changes: object) -> Host:
    values: dict[str, object] = {"ram_total": 2**34, "ram_available": 2**33, "ram_source": "host"} | changes
    return Host(cpu=Cpu("cpu", 4, False), **values)  # type: ignore[arg-type]  # fields by name


def software(torch: str | None, cuda: str | None, driver_cuda: str | None = "13.0", **extra: str | None) -> Software:
    versions: dict[str, str | None] = dict.fromkeys(DISTRIBUTIONS, "1.0") | {"flash-attn": None} | extra
    return Software("3.12", versions | {"torch": torch}, "580.95.05", driver_cuda, cuda)


def failures(gpus: tuple[Gpu, ...], found: Software, state: NvmlState = OK) -> list[Diagnostic]:
    return [notice for notice in diagnostics(gpus, state, host(), found) if notice.level == "fail"]


def test_a_machine_where_all_is_well() -> None:
    found = diagnostics((card(),), OK, host(), software("2.13.0+cu130", "13.0"), {})
    assert {notice.level for notice in found} == {"ok"}
    texts = [notice.text for notice in found]
    assert "driver 580.95.05 (CUDA 13.0)" in texts and "torch 2.13.0+cu130" in texts


def test_a_cpu_torch_beside_a_gpu_fails_with_the_pip_line() -> None:
    (notice,) = failures((card(),), software("2.13.0+cpu", None))
    assert "without CUDA" in notice.text and "RTX 4090" in notice.text
    assert notice.remedy.endswith(f'pip install "torch==2.13.0+cu130" --index-url {wheels.INDEX}/cu130')


def test_a_driver_too_old_for_the_wheel_fails_with_both_ways_out() -> None:
    (notice,) = failures((card(),), software("2.13.0", "13.0", driver_cuda="12.4"))
    assert "CUDA 12.4" in notice.text and "CUDA 13.0" in notice.text
    assert "580 or newer" in notice.remedy and "torch==2.13.0+cu126" in notice.remedy


def test_a_card_without_kernels_fails_by_name() -> None:
    (notice,) = failures((card("Tesla V100-SXM2-16GB", (7, 0)),), software("2.13.0", "13.0"))
    assert "no kernels for GPU 0 Tesla V100" in notice.text and "7.0" in notice.text
    assert "torch==2.13.0+cu126" in notice.remedy


def test_a_card_that_no_wheel_knows() -> None:
    (notice,) = failures((card("Tesla K80", (3, 7)),), software("2.13.0", "13.0"))
    assert "this old" in notice.remedy


def test_a_driver_that_no_wheel_fits() -> None:
    (notice,) = failures((card(),), software("2.13.0", "13.0", driver_cuda="11.4"))
    assert "no torch wheel" in notice.remedy


def test_no_torch_at_all() -> None:
    (notice,) = failures((card(),), software(None, None))
    assert "not installed" in notice.text and "+cu130" in notice.remedy
    (notice,) = failures((), software(None, None))
    assert notice.remedy.endswith(f"pip install torch=={wheels.TESTED_TORCH}")


def test_a_cpu_torch_without_a_gpu_is_well() -> None:
    assert failures((), software("2.13.0+cpu", None), NvmlState(NvmlStatus.LIBRARY_MISSING, "x", "y")) == []
    assert failures((card(problem="lost"),), software("2.13.0+cpu", None)) == []


def test_an_unknown_torch_is_not_accused() -> None:
    assert failures((card(),), software("3.1.0", "14.1", driver_cuda="14.1")) == []


def test_missing_packages_are_one_failure() -> None:
    (notice,) = failures((), software("2.13.0+cpu", None, trl=None, peft=None))
    assert notice.text == "Not installed: peft, trl. Training needs them."
    assert notice.remedy.endswith("pip install peft trl")


def test_a_driver_state_is_a_warning_with_its_remedy() -> None:
    found = diagnostics(
        (), NvmlState(NvmlStatus.VERSION_MISMATCH, "differs", "reboot"), host(), software("2.13.0+cpu", None)
    )
    assert Diagnostic("warn", "differs", "reboot") in found


def test_what_is_in_the_way_on_the_host() -> None:
    disks = (
        Disk("runs", Path("/root/runs"), 9 * 2**30, 20 * 2**30, Path("/"), Path("/workspace/lora-wizard/runs")),
        Disk("model cache", Path("/root/hf"), 9 * 2**30, 20 * 2**30, Path("/"), Path("/workspace/huggingface")),
    )
    found = diagnostics(
        (), OK, host(disks=disks, shm_bytes=64 * 2**20, kills_at_logout=True), software("2.13.0+cpu", None)
    )
    warnings = {notice.text: notice.remedy for notice in found if notice.level == "warn"}
    assert len(warnings) == 4
    assert any("KillUserProcesses" in text for text in warnings)
    assert any("64 MiB" in text for text in warnings)
    remedies = " ".join(warnings.values())
    assert "LORA_WIZARD_RUNS=/workspace/lora-wizard/runs" in remedies and "HF_HOME=/workspace/huggingface" in remedies


@pytest.mark.parametrize(("value", "says"), [("1", "leaves GPU 1"), ("", "no GPU"), ("-1", "no GPU")])
def test_gpus_that_the_environment_hides_are_said(value: str, says: str) -> None:
    gpus = (card(), replace(card(), index=1, uuid="GPU-1"))
    found = diagnostics(gpus, OK, host(), software("2.13.0+cu130", "13.0"), {"CUDA_VISIBLE_DEVICES": value})
    (warning,) = [notice for notice in found if notice.level == "warn"]
    assert says in warning.text and "unset" in warning.remedy


def test_an_index_among_unlike_cards_is_uncertain() -> None:
    gpus = (card(), replace(card("NVIDIA L4"), index=1, uuid="GPU-1"))
    both = {"CUDA_VISIBLE_DEVICES": "0,1"}
    found = diagnostics(gpus, OK, host(), software("2.13.0+cu130", "13.0"), both)
    assert [notice.remedy for notice in found if "CUDA's order" in notice.text]
    found = diagnostics(gpus, OK, host(), software("2.13.0+cu130", "13.0"), both | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    assert {notice.level for notice in found} == {"ok"}


def test_an_environment_without_pip_is_served_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wheels.pip_install() == f"{sys.executable} -m pip install"
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    assert wheels.pip_install() == f"uv pip install --python {sys.executable}"


def test_failures_come_first() -> None:
    found = diagnostics((card(),), OK, host(shm_bytes=1), software("2.13.0+cpu", None))
    levels = [notice.level for notice in found]
    assert levels == sorted(levels, key=["fail", "warn", "ok"].index)
