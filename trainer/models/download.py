"""Brings a model of the hub into the Hugging Face cache: `python -m trainer.models.download HUB_ID [--revision R]`.

Only what training reads: safetensors, JSON and tokenizer files, of the repository's top folder. Prints JSON lines:
{"file", "done_bytes", "total_bytes"} while it goes on, then {"path"}, or {"reason", "remedy"} and exit code 2. A
process of its own can be ended at any moment; what has come is kept and continued the next time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

from presets.errors import InputError, WizardError
from recommender.hub.connection import endpoint
from recommender.hub.errors import hub_errors
from recommender.hub.progress import bytes_bar
from recommender.paths import model_cache_dir

PATTERNS: Final = (
    *("*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "tokenizer*"),
    *("vocab.txt", "merges.txt"),
)
WHOLE_COPIES: Final = ("consolidated*.safetensors",)
"""The same weights once more, in the layout of the model's makers."""
REPORT_SECONDS: Final = 0.5
"""Seconds between two lines about the same file."""

OnBytes = Callable[[str, int, int], None]
"""Called with the file's name, bytes done of the whole download, and bytes in all."""


def wanted(names: Iterable[str], *, code: bool = False) -> tuple[str, ...]:
    """The files of a repository that training needs, with the Python files where they are agreed to."""
    patterns = (*PATTERNS, "*.py") if code else PATTERNS
    top = [name for name in names if "/" not in name and any(fnmatch(name, pattern) for pattern in patterns)]
    once = [name for name in top if not any(fnmatch(name, pattern) for pattern in WHOLE_COPIES)]
    has_weights = any(name.endswith(".safetensors") for name in once)
    return tuple(sorted(once if has_weights else top))


def download(hub_id: str, revision: str | None, on_bytes: OnBytes, *, code: bool = False) -> Path:
    """Download the files of a model that are not in the cache yet.

    Args:
        hub_id: Such as 'org/model'.
        revision: Branch, tag or commit; the main branch when None.
        on_bytes: Called while bytes come in.
        code: Bring the Python files that come with the model too. Nothing runs them here.

    Returns:
        The snapshot's folder in the cache.

    Raises:
        HubRefused, HubMissing: The hub does not give it. InputError: It cannot be reached, or the disk is full.
    """
    from huggingface_hub import HfApi, hf_hub_download

    def failed(problem: Exception) -> InputError:
        # Whatever the transport or the disk says is the answer.
        return InputError(
            f"{hub_id} could not be downloaded: {_first_line(problem)}",
            remedy="Check the network, HF_TOKEN and the free disk space, then try again: what has come is kept.",
        )

    place: dict[str, Any] = {"revision": revision, "endpoint": endpoint(), "cache_dir": model_cache_dir()}
    with hub_errors("model", hub_id, revision, failed):
        info = HfApi(endpoint=endpoint()).model_info(hub_id, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        names = wanted(sizes, code=code)
        total, done, folder = sum(sizes[name] for name in names), 0, None
        # Small files first: they name the snapshot, and a refusal comes before hours of download.
        for name in sorted(names, key=sizes.__getitem__):
            file = hf_hub_download(hub_id, name, tqdm_class=_now_and_then(on_bytes, name, done, total), **place)
            folder, done = Path(file).parent, done + sizes[name]
            on_bytes(name, done, total)
    if folder is None:
        raise InputError(f"{hub_id} has no safetensors weights and no configuration.", remedy="Choose another model.")
    return folder


def _first_line(problem: BaseException) -> str:
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)[:300]


def _now_and_then(on_bytes: OnBytes, name: str, before: int, total: int) -> Any:
    """A progress bar class that reports a file's bytes at most every `REPORT_SECONDS`."""
    reported_at = 0.0

    def on_file_bytes(done: int, _total: int) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at >= REPORT_SECONDS:
            reported_at = time.monotonic()
            on_bytes(name, before + done, total)

    return bytes_bar(on_file_bytes)


def main() -> int:
    """Run as a process of its own."""
    parser = argparse.ArgumentParser(description="Download a model of the hub into the cache.")
    parser.add_argument("hub_id")
    parser.add_argument("--revision")
    parser.add_argument("--code", action="store_true")
    chosen = parser.parse_args()
    try:
        path = download(
            chosen.hub_id,
            chosen.revision,
            lambda *come: _say(**dict(zip(_KEYS, come, strict=True))),
            code=chosen.code,
        )
    except WizardError as error:
        _say(reason=error.message, remedy=error.remedy)
        return error.exit_code
    _say(path=str(path))
    return 0


_KEYS: Final = ("file", "done_bytes", "total_bytes")


def _say(**document: Any) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    sys.exit(main())
