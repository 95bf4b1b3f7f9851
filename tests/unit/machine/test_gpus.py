"""The GPU catalogue: what is in it, and how names are found."""

from __future__ import annotations

import pytest

from presets.errors import InputError
from presets.gpus import GpuFacts, driver_share, find_gpu, load_gpus, match_gpu, nearest_names

GIB = 2**30
MIB = 2**20
GPUS = load_gpus()


def test_it_covers_what_people_have() -> None:
    assert len(GPUS) >= 100
    for kind, least in {"consumer": 30, "laptop": 15, "workstation": 15, "datacentre": 20, "unified": 1}.items():
        assert sum(facts.kind == kind for facts in GPUS) >= least
    assert {facts.architecture for facts in GPUS} == {"Volta", "Turing", "Ampere", "Ada", "Hopper", "Blackwell"}


@pytest.mark.parametrize("facts", GPUS, ids=lambda facts: facts.name)
def test_each_card_is_plausible(facts: GpuFacts) -> None:
    assert 4 * GIB <= facts.memory_bytes <= 192 * GIB
    assert 90e9 <= facts.bandwidth <= 8000e9
    assert 2e12 < facts.flops_fp32 < 140e12
    assert len(facts.source) > 20
    assert 0.9 * facts.memory_bytes < facts.free_bytes < facts.total_bytes
    if facts.compute_capability < (8, 0):
        assert facts.flops_bf16 is None and facts.flops_fp16 is not None
    else:
        assert facts.flops_bf16 == facts.flops_fp16


ARCHITECTURES = {"Volta": 7, "Turing": 7, "Ampere": 8, "Ada": 8, "Hopper": 9}


@pytest.mark.parametrize("facts", GPUS, ids=lambda facts: facts.name)
def test_compute_capability_goes_with_the_architecture(facts: GpuFacts) -> None:
    major = facts.compute_capability[0]
    assert major == ARCHITECTURES.get(facts.architecture, major)
    if facts.architecture == "Blackwell":
        assert facts.compute_capability in ((10, 0), (12, 0), (12, 1))


@pytest.mark.parametrize(
    "facts",
    [facts for facts in GPUS if facts.kind in ("consumer", "laptop", "workstation")],
    ids=lambda facts: facts.name,
)
def test_tensor_rate_with_fp32_accumulation_follows_the_rule_of_its_kind(facts: GpuFacts) -> None:
    assert facts.flops_fp16 is not None
    geforce = facts.name.startswith(("RTX 2", "RTX 3", "RTX 4", "RTX 5")) and "Ada" not in facts.name
    turing = facts.architecture == "Turing"
    expected = 2 if facts.name.startswith("GTX") else (4 if turing else 2) if geforce else (8 if turing else 4)
    assert facts.flops_fp16 / facts.flops_fp32 == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(
    ("name", "tflops", "bandwidth", "cc"),
    [
        ("RTX 4090", 165, 1008, (8, 9)),
        ("RTX 3090", 71.2, 936.2, (8, 6)),
        ("RTX 5090", 210, 1792, (12, 0)),
        ("A100 80GB", 312, 2039, (8, 0)),
        ("H100", 989, 3352, (9, 0)),
        ("L4", 121, 300, (8, 9)),
    ],
)
def test_published_figures(name: str, tflops: float, bandwidth: float, cc: tuple[int, int]) -> None:
    facts = find_gpu(name)
    assert facts.flops_bf16 == pytest.approx(tflops * 1e12, rel=0.01)
    assert facts.bandwidth == pytest.approx(bandwidth * 1e9, rel=0.01)
    assert facts.compute_capability == cc


def test_every_card_of_the_catalogue_has_its_power() -> None:
    assert [gpu.name for gpu in load_gpus() if gpu.power_watts is None] == []
    assert "450" in find_gpu("GH200 96GB").note


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "RTX 4090 Laptop"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM 40GB"),
        ("NVIDIA A100-PCIE-40GB", "A100 PCIe 40GB"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB"),
        ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", "A100 SXM 80GB"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA GH200 480GB", "GH200 96GB"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA GB10", "GB10"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-16GB", "V100 SXM2 16GB"),
        ("Tesla V100-PCIE-32GB", "V100 PCIe 32GB"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("Quadro RTX 8000", "Quadro RTX 8000"),
        ("NVIDIA TITAN RTX", "TITAN RTX"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("NVIDIA RTX 5000 Ada Generation Laptop GPU", "RTX 5000 Ada Laptop"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "RTX PRO 6000 Max-Q"),
        ("NVIDIA GeForce RTX 2080 with Max-Q Design", "RTX 2080 Max-Q"),
        ("NVIDIA GeForce RTX 3080 Ti Laptop GPU", "RTX 3080 Ti Laptop"),
    ],
)
def test_names_that_drivers_give(driver: str, name: str) -> None:
    found = match_gpu(driver)
    assert found is not None and found.name == name


@pytest.mark.parametrize("typed", ["RTX 4090", "rtx4090", "4090", "geforce rtx 4090", "Nvidia RTX-4090", " rtx_4090 "])
def test_names_that_people_type(typed: str) -> None:
    assert find_gpu(typed).name == "RTX 4090"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("a100-80gb", "A100 SXM 80GB"),
        ("A100 40GB", "A100 SXM 40GB"),
        ("4060 ti 16 GB", "RTX 4060 Ti 16GB"),
        ("4060 Ti 16GiB", "RTX 4060 Ti 16GB"),
        ("4070 mobile", "RTX 4070 Laptop"),
        ("a6000", "RTX A6000"),
        ("t4", "T4"),
        ("dgx spark", "GB10"),
    ],
)
def test_short_names(typed: str, name: str) -> None:
    assert find_gpu(typed).name == name


@pytest.mark.parametrize(
    ("driver", "mib", "name"),
    [
        ("NVIDIA GeForce RTX 4060 Ti", 16380, "RTX 4060 Ti 16GB"),
        ("NVIDIA GeForce RTX 4060 Ti", 8188, "RTX 4060 Ti 8GB"),
        ("NVIDIA GeForce RTX 3060", 12288, "RTX 3060 12GB"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", 16384, "RTX 3080 Laptop 16GB"),
        ("NVIDIA GeForce RTX 4090", 49140, "RTX 4090"),
    ],
)
def test_memory_decides_between_cards_of_one_name(driver: str, mib: int, name: str) -> None:
    found = match_gpu(driver, mib * MIB)
    assert found is not None and found.name == name


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        find_gpu("RTX 9999")
    assert "RTX 9999" in caught.value.message
    assert "RTX 4090" in caught.value.remedy and "--gpu-memory" in caught.value.remedy
    assert caught.value.exit_code == 2
    assert nearest_names("RTX 4091")[0] == "RTX 4090"


def test_a_name_that_could_be_two_cards_is_asked_back() -> None:
    with pytest.raises(InputError) as caught:
        find_gpu("RTX 6000")
    assert "RTX 6000 Ada" in caught.value.remedy and "Quadro RTX 6000" in caught.value.remedy


def test_nothing_alike_offers_how_names_look() -> None:
    with pytest.raises(InputError, match="zzzz") as caught:
        find_gpu("zzzz")
    assert "RTX 4090" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "total_mib"),
    [("T4", 15360), ("L4", 23034), ("L40S", 46068), ("A10G", 23028), ("A100 40GB", 40960), ("RTX 4090", 24564)],
)
def test_the_rule_for_total_memory_meets_what_nvidia_smi_shows(name: str, total_mib: int) -> None:
    """Totals published in modal-labs/modal-client pull request 2797."""
    assert find_gpu(name).total_bytes == pytest.approx(total_mib * MIB, rel=0.002)


@pytest.mark.parametrize(
    ("total", "seen"), [(24, 23.65), (11, 10.75), (8, 7.79), (10, 9.77), (15, 14.58), (80, 79.2), (141, 139.8)]
)
def test_the_rule_for_the_driver_share_meets_what_torch_sees(total: int, seen: float) -> None:
    """`torch.cuda.mem_get_info` totals of idle cards; within 1 %, and never more than 0.15 GiB too hopeful."""
    free = total - driver_share(total * GIB) / GIB
    assert free == pytest.approx(seen, rel=0.01)
    assert free < seen + 0.15


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("a100", ["A100 SXM 40GB", "A100 SXM 80GB"]),
        ("4060 ti", ["RTX 4060 Ti 8GB", "RTX 4060 Ti 16GB"]),
        ("3060", ["RTX 3060 8GB", "RTX 3060 12GB"]),
        ("NVIDIA V100", ["V100 SXM2 16GB", "V100 SXM2 32GB"]),
    ],
)
def test_a_name_of_cards_with_different_memory_is_asked_about(typed: str, names: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        find_gpu(typed)
    assert "different memory" in refused.value.message
    assert refused.value.remedy == f"Say which: {', '.join(names)}."


def test_every_card_is_found_by_its_whole_name() -> None:
    assert all(find_gpu(facts.name) is facts for facts in load_gpus())
