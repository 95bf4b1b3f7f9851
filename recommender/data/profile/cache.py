"""On-disk cache of row statistics, keyed by content, tokenizer, template and settings.

One file for each, numbers as they lie in memory behind one line of JSON. It is a cache: what cannot be written is not
kept, and what cannot be read is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from array import array
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

from recommender.config.schema import Data
from recommender.data.open_file import OpenFile
from recommender.data.profile.collect import RowStats
from recommender.data.profile.flags import FlagCounts
from recommender.data.rows import BadRow
from recommender.data.templates.choose import ChatTemplate
from recommender.data.tokens.tokenise import Tokeniser
from recommender.paths import cache_dir

KEPT_BYTES = 2 * 2**30
"""The newest files up to so many bytes are kept."""
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "config.json",
)
_INDEX = ("file", "line", "start", "end", "digest", "flags", "part")


def key_of(
    files: Sequence[OpenFile],
    weights: Sequence[float],
    tokeniser: Tokeniser | None,
    template: ChatTemplate | None,
    data: Data,
) -> str | None:
    """The cache key of a data set; None when a file cannot be read now.

    It changes with any byte of the rows, of the tokenizer's files and of this room's own code, with the template, with
    how the columns are read, and with the day where the template writes the date.
    """
    folder = tokeniser.vocabulary.folder if tokeniser else None
    source = (template.name, template.source, template.with_tools) if template else ()
    try:
        parts: list[Any] = [
            [_hash(path) for path in sorted(Path(__file__).parents[1].rglob("*.py"))],
            [
                [str(file.reader.path), _hash(file.reader.path), repr(file.shape), file.reader.note, file.around]
                for file in files
            ],
            list(weights),
            [_hash(folder / name) if (folder / name).is_file() else "" for name in _TOKENIZER] if folder else [],
            source,
            [files[0].rows.stage.name, data.train_on, data.reasoning, data.answers, data.chat_template_kwargs],
            tokeniser.embedding_rows if tokeniser else 0,
            datetime.now().astimezone().date().isoformat() if any("strftime_now" in text for text in source) else "",
            sys.byteorder,
        ]
    except OSError:
        return None
    return blake2b(json.dumps(parts, default=str).encode(), digest_size=20).hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "blake2b").hexdigest()


def load(key: str, tokeniser: Tokeniser | None) -> RowStats | None:
    """The cached statistics of a key; None when there are none that can be read."""
    path = _folder() / key
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline())
            kept = RowStats(bad=[BadRow(**row) for row in head["bad"]], read=head["read"])
            kept.found = FlagCounts(**{**head["found"], "methods": set(head["found"]["methods"])})
            kept.span_start = array("Q")
            for numbers, count in zip(_arrays(kept), head["counts"], strict=True):
                numbers.fromfile(file, count)
        os.utime(path)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if tokeniser is not None:
        tokeniser.turns.notes.update(head["notes"])
    return kept


def save(key: str, kept: RowStats, tokeniser: Tokeniser | None) -> None:
    """Store the statistics, and delete the oldest where the cache is too large."""
    found = {**asdict(kept.found), "methods": sorted(kept.found.methods)}
    head = {
        "bad": [asdict(row) for row in kept.bad],
        "found": found,
        "read": kept.read,
        "notes": sorted(tokeniser.turns.notes) if tokeniser else [],
        "counts": [len(numbers) for numbers in _arrays(kept)],
    }
    with contextlib.suppress(OSError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(head).encode() + b"\n")
                for numbers in _arrays(kept):
                    numbers.tofile(file)
            Path(temporary).replace(folder / key)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
        _prune(folder)


def _arrays(kept: RowStats) -> list[array[int]]:
    return [*(getattr(kept.index, name) for name in _INDEX), kept.lengths, kept.turns, kept.spans, kept.span_start]


def _folder() -> Path:
    return cache_dir() / "profiles"


def _prune(folder: Path) -> None:
    held = 0
    newest = sorted(((path.stat().st_mtime, path) for path in folder.iterdir()), reverse=True)
    for _, path in newest:
        held += path.stat().st_size
        if held > KEPT_BYTES:
            path.unlink(missing_ok=True)
