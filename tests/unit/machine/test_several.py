"""Which GPUs a run of several processes gets: those that are named, or the freest; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.launch import Launch
from recommender.machine.devices import device_for_cpu, device_for_gpu
from recommender.machine.facts import Gpu
from recommender.machine.several import launch_devices
from tests.unit.machine.test_devices import CARD, machine

GIB = 2**30


def cards(*free: int) -> tuple[Gpu, ...]:
    return tuple(
        replace(CARD, index=index, uuid=f"GPU-{index}", memory_free=each * GIB, memory_total=24 * GIB)
        for index, each in enumerate(free)
    )


def chosen(here: tuple[Gpu, ...], ranks: int, planned: int = 0, **launch: Any) -> list[str | None]:
    box = machine(*here)
    device = device_for_gpu(here[planned], box)
    return [each.uuid for each in launch_devices(Launch.model_validate(launch), ranks, device, box)]


def test_the_planned_card_comes_first_and_then_the_freest() -> None:
    assert chosen(cards(20, 8, 22), 2, processes=2) == ["GPU-0", "GPU-2"]
    assert chosen(cards(20, 8, 22), 2, planned=1, processes=2) == ["GPU-1", "GPU-2"]


def test_cards_are_named_by_index_or_uuid_in_their_order() -> None:
    assert chosen(cards(20, 20, 20), 2, gpus=["GPU-2", 0]) == ["GPU-2", "GPU-0"]


def test_processes_of_a_cpu_have_one_device() -> None:
    here = machine()
    cpu = device_for_cpu(here)
    assert launch_devices(Launch(processes=3), 3, cpu, here) == (cpu, cpu, cpu)


def test_more_processes_than_cards_are_refused() -> None:
    with pytest.raises(InputError, match="4 processes, one a GPU, and this machine has 2 usable GPUs") as caught:
        chosen(cards(20, 20), 4, processes=4)
    assert caught.value.remedy == "Set launch.processes to 2 or less."


def test_a_card_that_is_not_here_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"launch\.gpus names 7") as caught:
        chosen(cards(20, 20), 2, gpus=[0, 7])
    assert "0 (GPU-0), 1 (GPU-1)" in str(caught.value.remedy)


def test_unlike_cards_and_slices_are_refused_with_the_reason() -> None:
    small = replace(CARD, index=1, uuid="GPU-1", memory_free=11 * GIB, memory_total=12 * GIB)
    with pytest.raises(InputError, match="each process holds as much as every other one"):
        chosen((*cards(20), small), 2, gpus=[0, 1])
