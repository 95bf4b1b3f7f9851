"""A stub NVIDIA library, compiled once a session from tests/fixtures/nvml_stub.c."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "tests" / "fixtures" / "nvml_stub.c"

Child = Callable[..., Any]

_POLL = """
import json, sys
from dataclasses import asdict
from recommender.machine.gpu.nvml import Nvml

nvml, polls = Nvml(), []
for _ in range(int(sys.argv[1])):
    gpus, state = nvml.poll()
    polls.append({"gpus": [asdict(gpu) for gpu in gpus], "state": asdict(state)})
print(json.dumps({"polls": polls, "versions": asdict(nvml.versions())}))
nvml.close()
"""


@pytest.fixture(scope="session")
def compile_stub(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile the stub with some flags; the folder that holds libnvidia-ml.so.1."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler: the stub NVIDIA library cannot be built")

    def build(*flags: str) -> Path:
        folder = tmp_path_factory.mktemp("nvml")
        library = folder / "libnvidia-ml.so.1"
        subprocess.run(
            [compiler, *flags, "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True
        )
        return folder

    return build


@pytest.fixture(scope="session")
def stub(compile_stub: Callable[..., Path]) -> Path:
    """The folder of a current driver's library."""
    return compile_stub()


def run_python(code: str, *args: str, library: Path | None = None, **variables: str) -> Any:
    """Run code in a fresh interpreter, with a stub library or none; its standard output as JSON."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NVML_STUB")}
    environment.update(variables, PYTHONPATH=str(ROOT), LD_LIBRARY_PATH=str(library or ""))
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def poll(library: Path | None = None, times: int = 1, **variables: str) -> Any:
    """Poll in a child process that loads the real pynvml."""
    return run_python(_POLL, str(times), library=library, **variables)
