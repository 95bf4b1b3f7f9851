"""Tokenizers in other forms than tokenizer.json (SentencePiece, tekken, tiktoken), once they have been converted.

A child process converts them with Transformers (`trainer.process.tokenizer`) into a folder of the cache; from then on
that folder's tokenizer.json is read like any other. Everything that tokenises asks here for the folder to read.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from recommender.paths import cache_dir

NAME: Final = "tokenizer.json"
SOURCES: Final = (
    *("tokenizer.model", "tokenizer.model.v3", "spiece.model", "sentencepiece.bpe.model", "tekken.json"),
    *("tiktoken.model", "vocab.json", "vocab.txt"),
)
"""Files that hold a vocabulary in another form."""
BESIDE: Final = (
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "chat_template.jinja"),
    *("generation_config.json", "config.json"),
)
"""Files that say what else there is to a tokenizer."""
REFUSED: Final = "refused.json"
PACKAGES: Final = ("transformers", "tokenizers", "sentencepiece", "protobuf", "tiktoken")


def needs_conversion(folder: Path | None) -> bool:
    """Whether a model's folder holds its vocabulary in another form alone."""
    if folder is None or (folder / NAME).is_file():
        return False
    return any((folder / name).is_file() for name in SOURCES) or any(folder.glob("*.tiktoken"))


def converted_folder(folder: Path) -> Path:
    """The folder of the cache for a model's converted tokenizer, there or not.

    Its name is a digest of the files that it is made of and of the versions of the packages that make it.
    """
    digest = hashlib.sha256("\0".join(_version(package) for package in PACKAGES).encode())
    for path in sorted({folder / name for name in (*SOURCES, *BESIDE)} | set(folder.glob("*.tiktoken"))):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return cache_dir() / "tokenizers" / digest.hexdigest()[:24]


def tokenizer_folder(folder: Path | None) -> Path | None:
    """The folder whose tokenizer.json is a model's: its own, or that of the cache; None where there is neither."""
    if folder is None or (folder / NAME).is_file():
        return folder
    if not needs_conversion(folder):
        return None
    made = converted_folder(folder)
    return made if (made / NAME).is_file() else None


def why_refused(folder: Path) -> str:
    """The reason why a model's tokenizer could not be converted; empty where it was, or nobody has tried."""
    if not needs_conversion(folder):
        return ""
    try:
        document = json.loads((converted_folder(folder) / REFUSED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(document.get("reason", "")) if isinstance(document, dict) else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
