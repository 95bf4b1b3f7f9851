"""Readings of the device: taken beside the supervisor's loop, and none where the driver fails or hangs."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from recommender.machine.facts import Device, Gpu, NvmlState, NvmlStatus
from trainer.process.device_watch import DeviceWatch

CARD = Device(kind="cuda", name="card", free_bytes=2**33, total_bytes=2**34, uuid="GPU-1")
GPU = Gpu(0, "GPU-1", "card", (8, 9), "Ada", 2**34, 2**33, 2**33, utilisation=97, temperature=71, slowdown="heat")


def polled(monkeypatch: pytest.MonkeyPatch, poll: Callable[[], Any]) -> None:
    monkeypatch.setattr("recommender.machine.probe.poll_gpus", poll)


def first_reading(watch: DeviceWatch) -> dict[str, Any]:
    until = time.monotonic() + 20
    while (found := watch.reading(os.getpid())) is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def test_a_reading_holds_the_card_and_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    polled(monkeypatch, lambda: ((GPU,), NvmlState(NvmlStatus.OK)))
    found = first_reading(DeviceWatch(CARD))
    assert (found["utilisation"], found["temperature"], found["slowdown"]) == (97, 71, "heat")
    assert found["rss_bytes"] > 0


def test_a_library_that_fails_leaves_the_card_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        raise RuntimeError("NVML: unknown error")

    polled(monkeypatch, failing)
    found = first_reading(DeviceWatch(CARD))
    assert set(found) == {"cpu_percent", "rss_bytes"}


def test_a_driver_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    woken: list[bool] = []

    def hang() -> tuple[tuple[Gpu], NvmlState]:
        woken.append(let_go.wait(60))
        return (GPU,), NvmlState(NvmlStatus.OK)

    polled(monkeypatch, hang)
    watch = DeviceWatch(CARD)
    assert all(watch.reading(os.getpid()) is None for _ in range(20))
    assert woken == [], "the driver still hangs"
    let_go.set()
    assert first_reading(watch)["utilisation"] == 97


def test_readings_are_five_seconds_apart() -> None:
    now = [100.0]
    watch = DeviceWatch(Device(kind="cpu", name="cpu", free_bytes=1, total_bytes=1), lambda: now[0])
    first_reading(watch)
    for _ in range(5):
        assert watch.reading(os.getpid()) is None
        # Whatever it has begun has ended: there is nothing to be read.
        assert watch._thread is not None
        watch._thread.join()
        now[0] += 0.9
    now[0] += 0.5
    first_reading(watch)
