"""The real pynvml binding against a stub library: what is read, and every way in which it can fail."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.machine.conftest import SOURCE, poll, run_python

MIB = 2**20


@pytest.mark.process
def test_a_plain_card_is_read_in_full(stub: Path) -> None:
    read = poll(stub)["polls"][0]
    card = read["gpus"][0]
    assert read["state"] == {"status": "ok", "message": "", "remedy": ""}
    assert card["name"] == "NVIDIA GeForce RTX 4090"
    assert card["uuid"].startswith("GPU-0000")
    assert card["compute_capability"] == [8, 9]
    assert card["architecture"] == "Ada"
    assert card["memory_total"] == 24564 * MIB
    assert card["memory_used"] == 1100 * MIB, "the driver's reserve is not used memory"
    assert card["memory_free"] == (24564 - 340 - 1100) * MIB
    assert (card["utilisation"], card["temperature"]) == (3, 41)
    assert (card["power_watts"], card["power_limit_watts"]) == (24.5, 450.0)
    assert card["mig"] is None, "a GeForce cannot do MIG: not supported is a value"


@pytest.mark.process
def test_versions(stub: Path) -> None:
    assert poll(stub)["versions"] == {"driver": "580.95.05", "cuda": "13.0"}


@pytest.mark.process
def test_each_mig_instance_is_a_gpu_with_memory_of_its_own(stub: Path) -> None:
    large, small = poll(stub)["polls"][0]["gpus"][1:]
    assert large["name"] == "NVIDIA A100-SXM4-80GB MIG 3g.40gb"
    assert large["uuid"].startswith("MIG-2222")
    assert (large["index"], small["index"]) == (1, 1)
    assert large["memory_total"] == 40192 * MIB, "the instance's memory, not the card's"
    assert small["memory_total"] == 9728 * MIB
    assert large["mig"] is True
    assert large["compute_share"] == pytest.approx(3 / 7)
    assert large["utilisation"] is None
    card = "GPU-11111111-1111-1111-1111-111111111111"
    assert (large["card_uuid"], large["older_uuid"]) == (card, f"MIG-{card}/2/0")
    assert small["older_uuid"] == f"MIG-{card}/9/0"


@pytest.mark.process
def test_an_older_driver_that_numbers_no_instances(stub: Path) -> None:
    large = poll(stub, NVML_STUB_FAIL="nvmlDeviceGetGpuInstanceId:3")["polls"][0]["gpus"][1]
    assert (large["uuid"][:8], large["older_uuid"]) == ("MIG-2222", "")


@pytest.mark.process
def test_mig_mode_without_instances_is_said(stub: Path) -> None:
    card = poll(stub, NVML_STUB_FAIL="nvmlDeviceGetMaxMigDeviceCount:3")["polls"][0]["gpus"][1]
    assert card["problem"].startswith("MIG mode is on but")
    assert card["memory_free"] == 0


INIT_FAILURES = {
    "4": "no_permission",
    "6": "no_device",
    "9": "driver_not_loaded",
    "12": "library_missing",
    "15": "gpu_lost",
    "18": "version_mismatch",
    "28": "no_device",
    "999": "error",
    "17": "error",
}


@pytest.mark.process
@pytest.mark.parametrize(("code", "status"), INIT_FAILURES.items())
def test_each_failing_start_is_a_state_of_its_own(stub: Path, code: str, status: str) -> None:
    read = poll(stub, NVML_STUB_INIT=code)
    state = read["polls"][0]["state"]
    assert state["status"] == status
    assert state["message"] and state["remedy"]
    assert read["polls"][0]["gpus"] == []
    assert read["versions"] == {"driver": None, "cuda": None}


@pytest.mark.process
def test_no_two_states_are_explained_alike(stub: Path, tmp_path: Path) -> None:
    states = [poll(stub, NVML_STUB_INIT=code)["polls"][0]["state"] for code in ("4", "6", "9", "18", "999")]
    states.append(poll(tmp_path)["polls"][0]["state"])
    assert len({state["message"] for state in states}) == len(states)
    assert len({state["remedy"] for state in states}) == len(states)


@pytest.mark.process
def test_without_a_library_it_is_missing(tmp_path: Path) -> None:
    read = poll(tmp_path, times=2)
    assert [one["state"]["status"] for one in read["polls"]] == ["library_missing"] * 2


@pytest.mark.process
def test_a_library_that_is_no_library_is_missing(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("not ELF")
    assert poll(tmp_path)["polls"][0]["state"]["status"] == "library_missing"


@pytest.mark.process
def test_a_driver_without_cards(stub: Path) -> None:
    read = poll(stub, NVML_STUB_COUNT="0")["polls"][0]
    assert (read["gpus"], read["state"]["status"]) == ([], "no_device")


def exported() -> list[str]:
    names = re.findall(r"^int (nvml\w+)\(", SOURCE.read_text(), flags=re.MULTILINE)
    assert len(names) > 20
    return names


PER_VALUE = {
    "nvmlDeviceGetName": ("name", "NVIDIA GPU 0"),
    "nvmlDeviceGetUUID": ("uuid", ""),
    "nvmlDeviceGetCudaComputeCapability": ("compute_capability", None),
    "nvmlDeviceGetUtilizationRates": ("utilisation", None),
    "nvmlDeviceGetPowerUsage": ("power_watts", None),
    "nvmlDeviceGetEnforcedPowerLimit": ("power_limit_watts", None),
    "nvmlDeviceGetMigMode": ("mig", None),
    "nvmlDeviceGetArchitecture": ("architecture", None),
}


@pytest.mark.process
@pytest.mark.parametrize("code", ["3", "4", "13", "999"])
def test_what_a_gpu_does_not_tell_is_none_and_all_else_stays(stub: Path, code: str) -> None:
    failing = ",".join(f"{name}:{code}" for name in PER_VALUE)
    read = poll(stub, NVML_STUB_FAIL=failing)["polls"][0]
    assert read["state"]["status"] == "ok"
    card = read["gpus"][0]
    assert {field: card[field] for field, _ in PER_VALUE.values()} == dict(PER_VALUE.values())
    assert card["memory_total"] == 24564 * MIB


@pytest.mark.process
@pytest.mark.parametrize("name", [name for name in exported() if name.startswith("nvmlDevice")])
def test_no_single_failing_call_stops_the_poll(stub: Path, name: str) -> None:
    read = poll(stub, NVML_STUB_FAIL=f"{name}:3")
    assert len(read["polls"][0]["gpus"]) >= 1 or name == "nvmlDeviceGetCount_v2"
    assert read["polls"][0]["state"]["status"] in ("ok", "gpu_lost", "error")


@pytest.mark.process
def test_memory_that_is_not_reported_is_none(stub: Path) -> None:
    read = poll(stub, NVML_STUB_FAIL="nvmlDeviceGetMemoryInfo:3,nvmlDeviceGetMemoryInfo_v2:3")
    card = read["polls"][0]["gpus"][0]
    assert (card["memory_total"], card["memory_used"], card["memory_free"]) == (None, None, None)


@pytest.mark.process
def test_an_old_driver_is_read_through_its_older_calls(compile_stub: Callable[..., Path]) -> None:
    card = poll(compile_stub("-DOLD_DRIVER"), NVML_STUB_PIDS="1:1048576")["polls"][0]["gpus"][0]
    assert card["memory_total"] == 24564 * MIB
    assert card["memory_used"] == 1440 * MIB, "the first version of the call counts the reserve"
    assert card["temperature"] == 41
    assert card["architecture"] is None
    assert [process["used_bytes"] for process in card["processes"]] == [MIB]


@pytest.mark.process
def test_a_gpu_lost_between_two_polls_stays_listed_and_the_other_works(stub: Path) -> None:
    first, second, third = poll(stub, times=3, NVML_STUB_LOST="0:1")["polls"]
    assert first["state"]["status"] == "ok"
    for later in (second, third):
        assert later["state"]["status"] == "gpu_lost"
        assert "RTX 4090" in later["state"]["message"]
        assert later["state"]["remedy"]
        lost, *others = later["gpus"]
        assert lost["name"] == "NVIDIA GeForce RTX 4090"
        assert "lost" in lost["problem"]
        assert lost["memory_free"] is None
        assert [other["problem"] for other in others] == ["", ""]


@pytest.mark.process
def test_a_gpu_lost_in_the_middle_of_a_poll(stub: Path) -> None:
    later = poll(stub, times=2, NVML_STUB_FAIL_AFTER="nvmlDeviceGetUtilizationRates:2:15")["polls"][1]
    assert later["state"]["status"] == "gpu_lost"
    assert all("lost" in gpu["problem"] for gpu in later["gpus"])


@pytest.mark.process
def test_a_gpu_that_is_no_longer_counted_is_named_though_another_took_its_index(stub: Path) -> None:
    first, second = poll(stub, times=2, NVML_STUB_VANISH="1")["polls"]
    assert len(first["gpus"]) == 3
    assert second["state"]["status"] == "gpu_lost"
    assert "RTX 4090" in second["state"]["message"] and "A100" not in second["state"]["message"]
    assert [gpu["index"] for gpu in second["gpus"] if not gpu["problem"]] == [0, 0]


@pytest.mark.process
def test_a_library_that_fails_later_leaves_the_known_gpus_as_unreadable(stub: Path) -> None:
    first, second = poll(stub, times=2, NVML_STUB_FAIL_AFTER="nvmlDeviceGetCount_v2:1:999")["polls"]
    assert first["state"]["status"] == "ok"
    assert second["state"]["status"] == "error"
    assert [bool(gpu["problem"]) for gpu in second["gpus"]] == [True, True]


_OWNERS = """
import json, os, sys, tempfile
from dataclasses import asdict
from recommender.machine.gpu.nvml import Nvml
from recommender.machine.gpu.processes import Ownership

device = open(sys.argv[1], "w")  # stands for /dev/nvidia0
os.environ["NVML_STUB_PIDS"] = f"{os.getpid()}:900,{os.getppid()}:800,1:700,{2**22 - 1}:600,{os.getpid()}:950"
host = sys.argv[2] == "host"
gpus, _ = Nvml(Ownership((sys.argv[1],), lambda: host).resolve).poll()
print(json.dumps({"pid": os.getpid(), "processes": [asdict(process) for process in gpus[0].processes]}))
"""


def owners(stub: Path, tmp_path: Path, where: str) -> Any:
    read = run_python(_OWNERS, str(tmp_path / "nvidia0"), where, library=stub)
    return read["pid"], {process["used_bytes"]: process for process in read["processes"]}


@pytest.mark.process
def test_a_process_is_yours_only_with_your_uid_and_an_open_device(stub: Path, tmp_path: Path) -> None:
    pid, found = owners(stub, tmp_path, "host")
    assert found[950] | {"name": ""} == {"pid": pid, "name": "", "used_bytes": 950, "owner": "you"}
    assert found[800]["owner"] == "other", "its uid is mine, but it has no device open"
    assert found[600] == {"pid": None, "name": None, "used_bytes": 600, "owner": "outside"}
    assert 900 not in found, "compute and graphics entries of one process are one"


@pytest.mark.process
def test_in_a_container_a_number_that_happens_to_exist_is_outside(stub: Path, tmp_path: Path) -> None:
    pid, found = owners(stub, tmp_path, "container")
    assert found[950]["owner"] == "you" and found[950]["pid"] == pid
    for nbytes in (800, 700, 600):
        assert found[nbytes] == {"pid": None, "name": None, "used_bytes": nbytes, "owner": "outside"}


@pytest.mark.process
def test_unknown_process_memory_is_none(stub: Path) -> None:
    card = poll(stub, NVML_STUB_PIDS=f"{os.getpid()}:-1")["polls"][0]["gpus"][0]
    assert [process["used_bytes"] for process in card["processes"]] == [None]


@pytest.mark.process
def test_a_closed_library_opens_again(stub: Path) -> None:
    code = """
import json
from recommender.machine.gpu.nvml import Nvml
nvml = Nvml()
seen = []
for _ in range(3):
    seen.append(nvml.poll()[1].status)
    nvml.close()
print(json.dumps(seen))
"""
    assert run_python(code, library=stub) == ["ok", "ok", "ok"]


@pytest.mark.process
@pytest.mark.parametrize(("code", "shared"), [(3, True), (999, False), (4, False)])
def test_memory_that_is_not_supported_is_the_hosts(stub: Path, code: int, shared: bool) -> None:
    fails = f"nvmlDeviceGetMemoryInfo:{code},nvmlDeviceGetMemoryInfo_v2:{code}"
    gpu = poll(stub, NVML_STUB_FAIL=fails, NVML_STUB_COUNT="1")["polls"][0]["gpus"][0]
    assert (gpu["memory_total"], gpu["memory_free"]) == (None, None)
    assert gpu["memory_shared"] is shared
    assert not gpu["problem"]
