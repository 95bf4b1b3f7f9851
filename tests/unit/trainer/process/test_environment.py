"""Children run the code of their parent."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from recommender.machine.facts import Device
from trainer.process import environment
from trainer.process.environment import PACKAGE_ROOT, child_environment, own_folder

PARENT = """
import subprocess, sys
from trainer.process.environment import child_environment
child = "import presets, recommender, trainer; print(presets.__file__, recommender.__file__, trainer.__file__)"
print(subprocess.run([sys.executable, "-c", child], env=child_environment(None), capture_output=True, text=True).stdout)
"""


def files_of_a_child(cwd: Path, **variables: str) -> list[str]:
    """The files of our packages in a child of a process that is started in `cwd` with these variables."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(
        [sys.executable, "-c", PARENT], env=kept | variables, cwd=cwd, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Another checkout than the one that is installed."""
    for package in environment.OURS:
        shutil.copytree(
            PACKAGE_ROOT / package, tmp_path / "checkout" / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path / "checkout"


@pytest.mark.process
def test_a_child_of_a_checkout_runs_the_checkout(copy: Path, tmp_path: Path) -> None:
    here = [str(copy / package / "__init__.py") for package in environment.OURS]
    assert files_of_a_child(copy) == here
    assert files_of_a_child(tmp_path, PYTHONPATH=str(copy)) == here


def test_a_trainer_on_the_users_search_path_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "trainer.py").write_text("raise SystemExit('not ours')")
    values = child_environment(None, {"PYTHONPATH": str(tmp_path / "lib")})
    assert values["PYTHONPATH"].split(os.pathsep) == [str(PACKAGE_ROOT), str(tmp_path / "lib")]


def test_site_packages_are_put_first_only_where_they_must(tmp_path: Path) -> None:
    installed = Path(os.path.realpath(site.getsitepackages()[0]))
    assert own_folder([str(tmp_path)], installed) == []
    (tmp_path / "recommender").mkdir()
    assert own_folder([str(tmp_path)], installed) == [str(installed)]
    assert own_folder([], tmp_path) == [str(tmp_path)]


def test_children_read_and_write_utf8_whatever_the_locale() -> None:
    values = child_environment(None, {"LC_ALL": "zh_CN.GBK", "PYTHONIOENCODING": "gbk"})
    assert values["PYTHONUTF8"] == "1"
    assert values["PYTHONIOENCODING"].startswith("utf-8")


def test_the_search_path_keeps_its_order_and_loses_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join(["/b", ".", str(tmp_path), "relative", "", "/a"])
    kept = child_environment(None, {"PYTHONPATH": path})["PYTHONPATH"].split(os.pathsep)
    assert kept[-2:] == ["/b", "/a"]
    assert set(kept[:-2]) <= {str(PACKAGE_ROOT)}


ASKED = {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}


@pytest.mark.parametrize(
    ("device", "given", "segments"),
    [
        (Device("cuda", "a GPU", 1, 1), {}, "expandable_segments:True"),
        (Device("cuda", "a GPU", 1, 1), ASKED, "max_split_size_mb:64"),
        (Device("cuda", "a GPU", 1, 1), {"PYTORCH_ALLOC_CONF": "max_split_size_mb:64"}, None),
        (Device("cuda", "a GPU", 1, 1, unified_memory=True), {}, None),
        (Device("cpu", "a CPU", 1, 1), {}, None),
    ],
)
def test_memory_grows_by_segments_where_that_is_had_and_nothing_else_was_asked(
    device: Device, given: dict[str, str], segments: str | None
) -> None:
    assert child_environment(device, given).get("PYTORCH_CUDA_ALLOC_CONF") == segments


def test_a_run_on_the_cpu_sees_no_gpu() -> None:
    cpu = Device("cpu", "a CPU", 1, 1)
    assert child_environment(cpu, {"CUDA_VISIBLE_DEVICES": "GPU-1"})["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("uuid", "visible"), [("GPU-1", "GPU-1"), ("MIG-2", "MIG-2"), ("54e9b16b-5a4c", "0"), (None, "0")]
)
def test_a_gpu_is_named_as_cuda_knows_it(uuid: str | None, visible: str) -> None:
    device = Device("cuda", "a GPU", 1, 1, uuid=uuid, index=0)
    assert child_environment(device, {})["CUDA_VISIBLE_DEVICES"] == visible
