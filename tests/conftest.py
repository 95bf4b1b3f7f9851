"""What all tests share: a home of their own, and few cores with several workers and real runs on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from presets.errors import WizardError
from tests.home import fresh_home, leave_home, watch, watch_processes
from trainer.models.demo import ensure_demo_model

# Before any test module is imported: some compute paths, and huggingface_hub reads its variables once.
SESSION, PERSONS_OWN, FIRST = leave_home()
TOUCHED = watch(PERSONS_OWN)
STARTED = watch_processes()
import_module("huggingface_hub.constants")

# Read when torch's libgomp is loaded; see `trainer.process.environment`.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# How long an example takes says how busy the cores are, and nothing of the code under test.
settings.register_profile("shared-cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-cores")


UNIT = Path(__file__).parent / "unit"


def pytest_unconfigure() -> None:
    """Remove the homes at the end of the process that made their folder."""
    if FIRST:
        shutil.rmtree(SESSION, ignore_errors=True)


@pytest.fixture(scope="session")
def demo_model(request: pytest.FixtureRequest) -> Path:
    """Folder of the real SmolLM2-135M-Instruct, which no test may write to.

    It is made from the package that carries it and kept in pytest's own cache folder, for all workers and for later
    sessions; `pytest --cache-clear` or `make clean` removes it.
    """
    place = request.config.cache.mkdir("demo-model") if request.config.cache else SESSION / "demo-model"
    with pytest.MonkeyPatch.context() as here:
        here.setenv("XDG_CACHE_HOME", str(place))
        here.setenv("HF_HUB_OFFLINE", "1")
        try:
            folder = ensure_demo_model()
        except WizardError as error:
            pytest.skip(f"the demo model cannot be had: {error}")
    for path in (*folder.iterdir(), folder):
        path.chmod(path.stat().st_mode & ~0o222)
    return folder


@pytest.fixture(autouse=True)
def no_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """A unit test starts no program unless it is marked: those that start none are what `make quick` runs."""
    before = len(STARTED)
    yield
    if request.path.is_relative_to(UNIT) and not any(map(request.node.get_closest_marker, ("process", "torch"))):
        assert STARTED[before:] == [], "mark it: process"


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
