"""A model's fingerprint: its configuration, and a digest of every tensor from samples of its bytes.

Four blocks of 4 KiB a tensor are read, so that 140 GB cost what 12 MB cost. Another training of the same model changes
nearly every tensor, and most values of it: it cannot pass. What is one tensor in another file stays the same tensor.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from recommender.model.sources.headers import Entry, read_entries, weight_files

BLOCK: Final = 4096
"""Bytes of one sample."""
BLOCKS: Final = 4
"""Samples of a tensor, spread evenly from its first byte to its last; a smaller one is read whole."""
WITHOUT_EFFECT: Final = frozenset(
    {
        *("_name_or_path", "architectures", "transformers_version", "dtype", "torch_dtype", "use_cache"),
        *("bos_token_id", "eos_token_id", "pad_token_id"),
    }
)
"""Keys of config.json that change nothing of what the weights compute: who wrote the file, how it is loaded, and where
generation ends."""
SETTLED: Final = 10.0
"""Seconds since a file was written from which on what was read of it is kept."""
MOST_NAMED: Final = 3
"""Keys or tensors that a sentence names."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of a model's folder."""

    config: Mapping[str, Any]
    """config.json."""
    tensors: Mapping[str, str]
    """Tensor name to the first 16 hex digits of SHA-256 over its type, its shape and samples of its bytes."""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read a model's folder.

        Raises:
            InputError: Its configuration or a safetensors file cannot be read.
        """
        from recommender.model.sources.folder import read_config

        tensors: dict[str, str] = {}
        for path in weight_files(folder):
            stat = path.stat()
            # Of a file that is being written, the time of its last change tells little.
            read = _tensors.__wrapped__ if time.time() - stat.st_mtime < SETTLED else _tensors
            tensors |= read(path, stat.st_size, stat.st_mtime_ns)
        return cls(read_config(folder), tensors)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self | None:
        """The fingerprint in this JSON form; None for anything else."""
        config, tensors = document.get("config"), document.get("tensors")
        if not isinstance(config, dict) or not isinstance(tensors, dict) or not tensors:
            return None
        return cls(config, {str(name): str(digest) for name, digest in tensors.items()})

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"config": dict(self.config), "tensors": dict(self.tensors)}

    def differences(self, now: Fingerprint) -> tuple[str, ...]:
        """The differences from another model, a clause each; empty for the same model."""
        before, after = self._weights, now._weights
        shared = before.keys() & after.keys()
        changed = sorted(name for name in shared if before[name] != after[name])
        found = [f"{len(changed)} of {len(before)} tensors hold other values ({_some(changed)})"] if changed else []
        for names, what in ((before.keys() - shared, "are missing"), (after.keys() - shared, "are new")):
            found += [f"{len(names)} tensors {what} ({_some(sorted(names))})"] if names else []
        keys = sorted(key for key in self.config.keys() | now.config.keys() if self._differs(now, key))
        return (*found, *([f"config.json differs in {_some([_pair(self, now, key) for key in keys])}"] if keys else []))

    @property
    def _weights(self) -> Mapping[str, str]:
        """The tensors without a stored copy of a tied head."""
        if not self.config.get("tie_word_embeddings"):
            return self.tensors
        return {name: digest for name, digest in self.tensors.items() if name != "lm_head.weight"}

    def _differs(self, now: Fingerprint, key: str) -> bool:
        return key not in WITHOUT_EFFECT and self.config.get(key) != now.config.get(key)


def _pair(before: Fingerprint, now: Fingerprint, key: str) -> str:
    was, is_now = (json.dumps(each.config.get(key))[:40] for each in (before, now))
    return f"{key} ({was} then, {is_now} now)"


def _some(names: list[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


@lru_cache(maxsize=256)
def _tensors(path: Path, _size: int, _modified: int) -> Mapping[str, str]:
    """Name and digest of every tensor of a file; an edit of a plan asks for them again."""
    entries = read_entries(path)
    with path.open("rb") as stream:
        return {name: _digest(stream, entry) for name, entry in entries.items()}


def _digest(stream: BinaryIO, entry: Entry) -> str:
    sha = hashlib.sha256(f"{entry.dtype} {list(entry.shape)}".encode())
    size = entry.end - entry.start
    if size <= BLOCK * BLOCKS:
        stream.seek(entry.start)
        sha.update(stream.read(size))
    else:
        for block in range(BLOCKS):
            stream.seek(entry.start + (size - BLOCK) * block // (BLOCKS - 1))
            sha.update(stream.read(BLOCK))
    return sha.hexdigest()[:16]
