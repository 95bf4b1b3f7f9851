"""A GPU that is here is used, or it is said why not: the CPU is never taken in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recommender.machine.devices import default_device
from recommender.machine.diagnostics import diagnostics
from recommender.machine.facts import Accelerator, Cpu, Gpu, Host, Machine, NvmlState, NvmlStatus, Software
from recommender.machine.gpu.accelerators import accelerators
from recommender.machine.gpu.unused import passed_over
from tests.unit.machine.trees import write

GIB = 2**30
CARD = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 4090", (8, 9), "Ada", 24 * GIB, GIB, 23 * GIB)
THOR = Gpu(0, "GPU-1", "NVIDIA Thor", (11, 0), "Blackwell", None, None, None, memory_shared=True)
SILENT = replace(THOR, memory_shared=False)
NO_LIBRARY = NvmlState(NvmlStatus.LIBRARY_MISSING, "No NVIDIA driver library is here.", "Install its driver.")
AMD = Accelerator("AMD", "AMD Instinct MI300X", 192 * GIB)
NVIDIA = Accelerator("NVIDIA", "NVIDIA L4", None)


def machine(*gpus: Gpu, nvml: NvmlState | None = None, others: tuple[Accelerator, ...] = ()) -> Machine:
    host = Host(Cpu("Some CPU", 6, True), 128 * GIB, 110 * GIB, "host")
    software = Software("3.12", {"torch": "2.13.0+cu130"}, "580.95.05", "13.0", "13.0")
    return Machine(gpus, nvml or NvmlState(NvmlStatus.OK), host, software, accelerators=others)


@pytest.mark.parametrize("name", ["NVIDIA Thor", "Orin (nvgpu)", "NVIDIA GB10", "NVIDIA Something Unified"])
def test_memory_that_the_driver_does_not_measure_is_the_hosts(name: str) -> None:
    device = default_device(machine(replace(THOR, name=name)), {})
    assert (device.kind, device.unified_memory) == ("cuda", True)
    assert (device.total_bytes, device.free_bytes) == (128 * GIB, 110 * GIB)


def test_a_card_with_memory_of_its_own_keeps_it() -> None:
    unmeasured = replace(CARD, memory_total=None, memory_free=None, memory_used=None, memory_shared=True)
    device = default_device(machine(unmeasured), {})
    assert not device.unified_memory
    assert device.total_bytes < 25 * GIB


@pytest.mark.parametrize(
    ("found", "words", "level"),
    [
        (machine(SILENT), ("NVIDIA Thor", "how much memory"), "fail"),
        (machine(replace(CARD, problem="The GPU is lost.")), ("RTX 4090", "is lost"), "fail"),
        (machine(nvml=NO_LIBRARY, others=(NVIDIA,)), ("NVIDIA L4", "No NVIDIA driver library"), "fail"),
        (machine(nvml=NvmlState(NvmlStatus.NO_DEVICE, "shows no GPU"), others=(NVIDIA,)), ("NVIDIA L4",), "fail"),
        (machine(nvml=NvmlState(NvmlStatus.VERSION_MISMATCH, "two versions")), ("An NVIDIA GPU", "two"), "fail"),
        (machine(nvml=NO_LIBRARY, others=(AMD,)), ("MI300X (192 GiB)", "ROCm"), "warn"),
        (machine(nvml=NO_LIBRARY, others=(Accelerator("Apple", "Apple GPU", None),)), ("Apple GPU", "MPS"), "warn"),
    ],
    ids=["no memory", "lost", "no driver", "not in the container", "versions", "amd", "apple"],
)
def test_what_is_here_and_not_used_is_named_with_its_reason(found: Machine, words: tuple[str, ...], level: str) -> None:
    unused = passed_over(found, {})
    assert unused is not None
    assert all(word in unused.text for word in words), unused.text
    assert unused.level == level
    assert "LORA_WIZARD_CPU=1" in unused.remedy
    device = default_device(found, {})
    assert (device.kind, device.passed_over) == ("cpu", unused.text)
    said = diagnostics(found.gpus, found.nvml, found.host, found.software, {}, unused=unused)
    assert [notice.text for notice in said if unused.text in notice.text] == [unused.text]
    assert not any(notice.text == found.nvml.message for notice in said), "said once"


@pytest.mark.parametrize(
    ("found", "environment"),
    [
        (machine(CARD), {}),
        (machine(CARD, replace(SILENT, index=1)), {}),
        (machine(nvml=NO_LIBRARY), {}),
        (machine(nvml=NvmlState(NvmlStatus.DRIVER_NOT_LOADED, "a monitor's library")), {}),
        (machine(SILENT), {"LORA_WIZARD_CPU": "1"}),
        (machine(SILENT), {"CUDA_VISIBLE_DEVICES": ""}),
        (machine(CARD), {"CUDA_VISIBLE_DEVICES": "-1"}),
        (machine(nvml=NO_LIBRARY, others=(AMD,)), {"LORA_WIZARD_CPU": "1"}),
    ],
)
def test_nothing_is_said_where_nothing_is_passed_over_or_it_was_asked_for(
    found: Machine, environment: dict[str, str]
) -> None:
    assert passed_over(found, environment) is None
    assert default_device(found, environment).passed_over == ""


def test_the_cpu_is_taken_where_the_person_says_so() -> None:
    assert default_device(machine(CARD), {"LORA_WIZARD_CPU": "1"}).kind == "cpu"


def pci(root: Path, slot: str, vendor: str, device: str, kind: str, **more: str) -> None:
    files = {"vendor": vendor, "device": device, "class": kind, **more}
    write(root, {f"/sys/bus/pci/devices/{slot}/{name}": f"{text}\n" for name, text in files.items()})


def test_cards_are_found_by_maker_and_class(tmp_path: Path) -> None:
    pci(tmp_path, "0000:00:02.0", "0x8086", "0x9a49", "0x030000")
    pci(tmp_path, "0000:01:00.0", "0x10de", "0x2684", "0x030000")
    pci(tmp_path, "0000:01:00.1", "0x10de", "0x22ba", "0x040300")
    pci(
        tmp_path,
        "0000:02:00.0",
        "0x1002",
        "0x74a1",
        "0x120000",
        mem_info_vram_total=str(192 * GIB),
        product_name="MI300X",
    )
    pci(tmp_path, "0000:03:00.0", "0x1002", "0x164e", "0x030000", mem_info_vram_total=str(GIB // 2))
    pci(tmp_path, "0000:04:00.0", "0x1a03", "0x2000", "0x030000")
    pci(tmp_path, "0000:05:00.0", "0x8086", "0x56a0", "0x030000")
    ids = "# list\n10de  NVIDIA Corporation\n\t2684  AD102 [GeForce RTX 4090]\n\t\t10de 16f3  Board\n8086  Intel\n"
    write(tmp_path, {"/usr/share/misc/pci.ids": ids})
    found = accelerators(tmp_path, "Linux")
    assert [each.described for each in found] == [
        "NVIDIA GeForce RTX 4090",
        "AMD MI300X (192 GiB)",
        "Intel GPU (PCI id 56a0)",
    ]


def test_a_machine_without_a_list_has_none(tmp_path: Path) -> None:
    assert accelerators(tmp_path, "Linux") == ()


def test_apples_gpu_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert [found.maker for found in accelerators(tmp_path, "Darwin")] == ["Apple"]
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert accelerators(tmp_path, "Darwin") == ()
