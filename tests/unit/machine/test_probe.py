"""The whole probe, in fresh interpreters: what it finds, what it prints, what it must not import."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.machine.conftest import run_python

pytestmark = pytest.mark.process

_DOCUMENT = """
import json
from recommender.machine.probe import document, probe
print(json.dumps(document(probe())))
"""

_LIGHT = """
import json, sys
from recommender.machine.probe import poll_gpus, probe
from recommender.machine.devices import default_device
poll_gpus()
default_device(probe())
heavy = ("torch", "numpy", "pyarrow", "pydantic", "transformers", "textual", "pandas", "huggingface_hub")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""

_WAITS = """
import json, sys
from recommender.machine.probe import probe
waits = []
events = ("subprocess.Popen", "os.posix_spawn", "os.system", "os.fork", "socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, arguments: waits.append(event) if event in events else None)
probe()
print(json.dumps(waits))
"""


def test_the_document_has_the_contract_keys(stub: Path) -> None:
    document = run_python(_DOCUMENT, library=stub)
    assert {"gpus", "host", "software"} <= set(document)
    card = document["gpus"][0]
    assert (card["name"], card["compute_capability"], card["bf16"]) == ("NVIDIA GeForce RTX 4090", "8.9", True)
    assert document["software"]["driver"] == "580.95.05"
    assert document["host"]["ram_available"] > 0
    assert all(isinstance(disk["path"], str) for disk in document["host"]["disks"])


def test_without_a_gpu_the_wizard_goes_on(tmp_path: Path) -> None:
    document = run_python(_DOCUMENT, library=tmp_path)
    assert document["gpus"] == []
    assert document["nvml"]["status"] == "library_missing"


def test_nothing_heavy_is_imported(stub: Path, tmp_path: Path) -> None:
    assert run_python(_LIGHT, library=tmp_path) == []
    assert run_python(_LIGHT, library=stub) == []


def test_it_starts_no_process_and_asks_no_network(tmp_path: Path, stub: Path) -> None:
    """What could keep the first screen waiting. benchmarks.first_frame measures the time."""
    assert run_python(_WAITS, library=tmp_path) == []
    assert run_python(_WAITS, library=stub) == []
