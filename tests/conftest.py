"""What all tests share: a home of their own, and few cores with several workers and real runs on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.home import fresh_home, leave_home, watch

# Before any test module is imported: some compute paths, and huggingface_hub reads its variables once.
SESSION, PERSONS_OWN, FIRST = leave_home()
TOUCHED = watch(PERSONS_OWN)
import_module("huggingface_hub.constants")

# Read when torch's libgomp is loaded; see `trainer.process.environment`.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# How long an example takes says how busy the cores are, and nothing of the code under test.
settings.register_profile("shared-cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-cores")


def pytest_unconfigure() -> None:
    """Remove the homes at the end of the process that made their folder."""
    if FIRST:
        shutil.rmtree(SESSION, ignore_errors=True)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test's home folder, empty at first: runs, state, caches, settings and the hub's files are kept below it.

    The hub is not asked, and nothing of the person's own is opened, listed, made or removed.
    """
    before = len(TOUCHED)
    with fresh_home(SESSION) as folder:
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        yield folder
    assert TOUCHED[before:] == [], "what is the person's own was touched"
