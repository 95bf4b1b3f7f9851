"""From a machine, a name or a size to the device that is planned for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from presets.errors import InputError
from presets.gpus import driver_share, find_gpu
from recommender.machine.devices import (
    default_device,
    device_for_cpu,
    device_for_gpu,
    device_from_catalogue,
    device_from_memory,
    parse_bytes,
)
from recommender.machine.facts import Cpu, Gpu, Host, Machine, NvmlState, NvmlStatus, Software

GIB = 2**30
CARD = Gpu(0, "GPU-0", "NVIDIA GeForce RTX 4090", (8, 9), "Ada", 24564 * 2**20, GIB, 22 * GIB)


def machine(*gpus: Gpu, **versions: str) -> Machine:
    host = Host(Cpu("Some CPU", 6, True), 32 * GIB, 20 * GIB, "cgroup")
    return Machine(gpus, NvmlState(NvmlStatus.OK), host, Software("3.12", {"torch": "2.13.0", **versions}))


def test_a_real_gpu_has_its_own_free_memory_and_the_catalogue_rates() -> None:
    device = device_for_gpu(CARD, machine(CARD))
    assert (device.kind, device.name, device.free_bytes) == ("cuda", "NVIDIA GeForce RTX 4090", 22 * GIB)
    assert device.flops_bf16 == find_gpu("RTX 4090").flops_bf16
    assert device.bandwidth == find_gpu("RTX 4090").bandwidth
    assert (device.uuid, device.index, device.simulated, device.bf16) == ("GPU-0", 0, False, True)
    assert device.torch_version == "2.13.0"


def test_a_gpu_that_the_catalogue_does_not_know_has_no_rates() -> None:
    device = device_for_gpu(replace(CARD, name="NVIDIA Something New"), machine())
    assert (device.bandwidth, device.flops_bf16, device.flops_fp32) == (None, None, None)
    assert device.free_bytes == 22 * GIB


def test_a_mig_instance_has_its_share_of_the_rates() -> None:
    instance = Gpu(
        1,
        "MIG-1",
        "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
        (8, 0),
        "Ampere",
        40 * GIB,
        0,
        39 * GIB,
        mig=True,
        compute_share=3 / 7,
    )
    device = device_for_gpu(instance, machine(instance))
    whole = find_gpu("A100 80GB")
    assert device.mig and device.total_bytes == 40 * GIB
    assert device.bandwidth == pytest.approx(whole.bandwidth / 2)
    assert device.flops_bf16 == pytest.approx((whole.flops_bf16 or 0) * 3 / 7)


def test_unified_memory_is_the_host_s() -> None:
    spark = Gpu(0, "GPU-0", "NVIDIA GB10", (12, 1), "Blackwell", None, None, None)
    device = device_for_gpu(spark, machine(spark))
    assert device.unified_memory
    assert (device.free_bytes, device.total_bytes) == (20 * GIB, 32 * GIB)
    assert device.flops_bf16 is None, "no rate was published"


def test_a_card_whose_driver_is_silent_about_memory_is_taken_from_the_catalogue() -> None:
    silent = replace(CARD, memory_total=None, memory_used=None, memory_free=None)
    assert device_for_gpu(silent, machine()).free_bytes == find_gpu("RTX 4090").free_bytes
    total_only = replace(CARD, memory_free=None)
    assert device_for_gpu(total_only, machine()).free_bytes == 24564 * 2**20 - driver_share(24564 * 2**20)
    with pytest.raises(InputError, match="does not say how much memory"):
        device_for_gpu(replace(silent, name="NVIDIA Something New"), machine())


def test_a_lost_gpu_is_refused() -> None:
    with pytest.raises(InputError, match="lost"):
        device_for_gpu(replace(CARD, problem="The GPU is lost."), machine())


def test_a_t4_has_no_bf16() -> None:
    assert not device_from_catalogue("T4").bf16
    assert device_from_catalogue("T4").flops_fp16 == 65e12


def test_the_processor() -> None:
    device = device_for_cpu(machine())
    assert (device.kind, device.free_bytes, device.total_bytes) == ("cpu", 20 * GIB, 32 * GIB)
    assert (device.cores, device.bf16, device.simulated) == (6, True, False)


def test_a_what_if_card_is_simulated_and_idle() -> None:
    device = device_from_catalogue("4090", machine())
    assert device.simulated and device.kind == "cuda" and device.name == "RTX 4090"
    assert device.free_bytes == device.total_bytes - driver_share(device.total_bytes)
    assert 23.5 * GIB < device.free_bytes < 23.7 * GIB
    assert device.torch_version == "2.13.0"
    assert device_from_catalogue("4090").torch_version is None


def test_an_unknown_what_if_card_is_bad_input() -> None:
    with pytest.raises(InputError, match="RTX 9999"):
        device_from_catalogue("RTX 9999")


def test_flash_attention_needs_the_package_and_an_ampere_card() -> None:
    here = machine(**{"flash-attn": "2.8.3"})
    assert device_from_catalogue("4090", here).flash_attention
    assert not device_from_catalogue("T4", here).flash_attention
    assert not device_from_catalogue("4090", machine()).flash_attention


def test_a_card_known_only_by_its_size() -> None:
    device = device_from_memory(24 * GIB)
    assert (device.name, device.compute_capability, device.bf16) == ("24 GiB GPU", (8, 0), True)
    assert device.total_bytes == 24 * GIB
    assert device.free_bytes == 24 * GIB - driver_share(24 * GIB)
    assert (device.bandwidth, device.flops_bf16) == (None, None)
    assert device.simulated
    with pytest.raises(InputError, match="smaller than what its driver takes"):
        device_from_memory(100 * 2**20)


def test_the_default_is_the_working_gpu_with_the_most_free_memory() -> None:
    busy = replace(CARD, memory_free=2 * GIB)
    free = replace(CARD, index=1, uuid="GPU-1", memory_free=20 * GIB)
    lost = replace(CARD, index=2, uuid="GPU-2", memory_free=23 * GIB, problem="lost")
    silent = replace(CARD, index=3, uuid="GPU-3", name="New", memory_total=None, memory_free=None)
    assert default_device(machine(busy, free, lost, silent), {}).uuid == "GPU-1"


def test_without_a_working_gpu_the_default_is_the_processor() -> None:
    assert default_device(machine(), {}).kind == "cpu"
    assert default_device(machine(replace(CARD, problem="lost")), {}).kind == "cpu"


@pytest.mark.parametrize(
    ("value", "uuid"),
    [("0", "GPU-a0"), ("1", "GPU-b1"), ("GPU-b", "GPU-b1"), ("0,1", "GPU-b1"), ("", None), ("-1", None), ("9,1", None)],
)
def test_only_gpus_that_the_environment_leaves_are_taken(value: str, uuid: str | None) -> None:
    first = replace(CARD, uuid="GPU-a0", memory_free=2 * GIB)
    second = replace(CARD, uuid="GPU-b1", index=1)
    assert default_device(machine(first, second), {"CUDA_VISIBLE_DEVICES": value}).uuid == uuid


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("24GiB", 24 * GIB),
        ("24 GB", 24 * GIB),
        ("24g", 24 * GIB),
        (" 23034MiB ", 23034 * 2**20),
        ("0.5gib", GIB // 2),
        ("1.5 TiB", 3 * 2**39),
        ("25769803776", 24 * GIB),
        ("25769803776 B", 24 * GIB),
    ],
)
def test_sizes(text: str, nbytes: int) -> None:
    assert parse_bytes(text) == nbytes


@pytest.mark.parametrize("text", ["24", "", "GiB", "-4GiB", "0GiB", "24 gallons", "1e9GiB", "nan", "24GiBGiB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_bytes(text)
    assert "GiB" in caught.value.remedy
