"""The GPU that these tests run on, and the runs of the tests on the CPU."""

from __future__ import annotations

import pytest

from recommender.machine.devices import default_device
from recommender.machine.facts import Device
from recommender.machine.probe import probe
from tests.functional.trainer.conftest import make_config, rows, tiny_model

__all__ = ["make_config", "rows", "tiny_model"]


@pytest.fixture(scope="session")
def card() -> Device:
    """The GPU that the wizard would train on."""
    machine = probe()
    device = default_device(machine)
    if device.kind != "cuda":
        pytest.skip(f"no GPU here that can be trained on (NVML: {machine.nvml.status.value})")
    return device
