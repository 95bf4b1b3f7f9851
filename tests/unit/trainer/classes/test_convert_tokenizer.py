"""Tokenizers of other forms become tokenizer.json, or the reason why not is said."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recommender.data.tokens import converted
from recommender.data.tokens.converted import converted_folder, tokenizer_folder, why_refused
from recommender.data.tokens.vocabulary import load_vocabulary
from recommender.model.reader import read_model
from recommender.model.sources.missing_files import missing_tokenizer
from tests.fixtures import older_tokenizers as older
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.classes.convert_tokenizer import Unconvertible, convert
from trainer.process.tokenizer import ensure_tokenizer

pytestmark = pytest.mark.torch
TEXT = "The quick brown fox, 12 times; naïve café 東京."


def _model(folder: Path, make: Callable[[Path], Path], **changes: Any) -> Path:
    """A tiny Llama whose tokenizer is of that form alone."""
    build_tiny_llama(folder, vocabulary=300)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    make(folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def _bpe(folder: Path) -> Path:
    return older.sentencepiece(folder, "bpe")


@pytest.mark.parametrize("make", [_bpe, older.tekken, older.tiktoken], ids=["SentencePiece", "tekken", "tiktoken"])
def test_gives_the_ids_that_transformers_gives(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    from transformers import AutoTokenizer

    folder = _model(tmp_path / "m", make)
    convert(folder, tmp_path / "made")
    vocabulary = load_vocabulary(tmp_path / "made")
    assert vocabulary is not None
    theirs = AutoTokenizer.from_pretrained(str(folder))
    assert vocabulary.encode([TEXT])[0].ids == theirs(TEXT, add_special_tokens=False)["input_ids"]
    assert vocabulary.decode(vocabulary.encode([TEXT])[0].ids).strip() == TEXT
    assert vocabulary.special_tokens["eos_token"] == theirs.eos_token
    assert vocabulary.stop_ids >= {vocabulary.eos}


def test_a_conversion_that_is_not_what_sentencepiece_does_is_refused(tmp_path: Path) -> None:
    """Llama's class reads a unigram model as merges, and takes words apart otherwise."""
    folder = _model(tmp_path / "m", lambda folder: older.sentencepiece(folder, "unigram"))
    with pytest.raises(Unconvertible, match="otherwise than SentencePiece does"):
        convert(folder, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_torn_vocabulary_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder = _model(tmp_path / "m", older.tekken)
    (folder / "tekken.json").write_text('{"config": {')
    with pytest.raises(Unconvertible, match="JSON"):
        convert(folder, tmp_path / "made")
    assert not list(tmp_path.glob("converting-*")) and not (tmp_path / "made").exists()


@pytest.mark.process
def test_is_converted_once_in_a_child_and_then_read_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = _model(tmp_path / "m", older.tekken)
    spec = read_model(str(folder))
    assert load_vocabulary(spec.path) is None
    ensure_tokenizer(spec)
    assert load_vocabulary(spec.path) is not None and tokenizer_folder(folder) == converted_folder(folder)
    monkeypatch.setattr("trainer.process.tokenizer.ask", None)
    ensure_tokenizer(spec)
    before = converted_folder(folder)
    older.write(folder / "tokenizer_config.json", {"eos_token": "[INST]"})
    assert converted_folder(folder) != before and tokenizer_folder(folder) is None


@pytest.mark.process
def test_the_reason_is_kept_for_the_check_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = _model(tmp_path / "m", older.tekken)
    (folder / "tekken.json").write_text("[]")
    ensure_tokenizer(read_model(str(folder)))
    clause, remedy = missing_tokenizer(folder, why_refused(folder))
    assert clause.startswith("has tekken.json and no tokenizer.json, and it cannot be converted: ")
    assert "tokenizer.json of the same vocabulary" in remedy


def test_a_missing_package_is_named_and_tried_again_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _model(tmp_path / "m", older.tiktoken)
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    monkeypatch.setitem(sys.modules, "tiktoken.load", None)
    with pytest.raises(Unconvertible, match=r"pip install tiktoken|tiktoken"):
        convert(folder, tmp_path / "made")
    absent = converted_folder(folder)
    monkeypatch.setattr(converted, "_version", lambda package: "9")
    assert converted_folder(folder) != absent
