"""`python -m trainer.classes.convert_tokenizer FOLDER INTO`: a tokenizer as tokenizer.json, by Transformers.

Prints one JSON line: {"path"}, or {"reason"} and exit code 2. What is in INTO is whole, or not there.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from recommender.data.tokens.converted import NAME, SOURCES

TEXTS: Final = (
    *("The quick brown fox.", " two  blanks\n\tand a tab", "naïve café, 東京 и Москва 🙂", "x = [1, 22, 333];"),
)
"""Texts that the converted tokenizer must take apart as Transformers' own does: blanks, accents, scripts, code."""
BLANK: Final = "\u2581"
TIKTOKEN: Final = "tiktoken.model"


class Unconvertible(Exception):
    """A tokenizer that has no form as tokenizer.json, with the reason."""


def convert(folder: Path, into: Path) -> None:
    """Write tokenizer.json and what belongs to it.

    Args:
        folder: A model's, with its tokenizer in another form.
        into: A folder that is made.

    Raises:
        Unconvertible: With the reason, and the package to install where one is missing.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as problem:  # whatever a converter trips over is the answer
        raise Unconvertible(_reason(problem)) from problem
    if not getattr(tokenizer, "is_fast", False):
        raise Unconvertible(f"Transformers has only {type(tokenizer).__name__} for it, which has no {NAME}")
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix="converting-") as scratch:
        made = Path(scratch) / "made"
        tokenizer.save_pretrained(str(made))
        for name in ("generation_config.json", "config.json"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, made / name)
        _check(tokenizer, made)
        _check_sentencepiece(folder, made)
        if not (into / NAME).is_file():
            # Another process may have made it meanwhile: the same files.
            shutil.rmtree(into, ignore_errors=True)
            with suppress(OSError):
                made.rename(into)


def _check(tokenizer: Any, made: Path) -> None:
    """Hold the written file against the tokenizer that it was written from."""
    from recommender.data.tokens.vocabulary import load_vocabulary

    written = load_vocabulary(made)
    if written is None:
        raise Unconvertible(f"Transformers wrote no {NAME} of it")
    for text, found in zip(TEXTS, written.encode(TEXTS), strict=True):
        known = tokenizer(text, add_special_tokens=False)["input_ids"]
        if list(found.ids) != list(known):
            raise Unconvertible(f"as {NAME} it takes {text!r} apart otherwise than before it was saved")


def _check_sentencepiece(folder: Path, made: Path) -> None:
    """Hold a converted SentencePiece model against SentencePiece; a blank in front is each one's own affair."""
    from recommender.data.tokens.vocabulary import load_vocabulary

    models = [folder / name for name in SOURCES if name.endswith(".model") and name != TIKTOKEN]
    model = next((path for path in models if path.is_file()), None)
    if model is None:
        return
    try:
        from sentencepiece import SentencePieceProcessor

        pieces = SentencePieceProcessor(model_file=str(model))
    except (ImportError, RuntimeError, OSError):
        return  # a vocabulary of another library under that name
    written = load_vocabulary(made)
    assert written is not None
    plain = [text for text in TEXTS if not text.startswith(" ")]
    for text, found in zip(plain, written.encode(plain), strict=True):
        known = list(pieces.encode(text, out_type=str))
        ours = list(found.tokens)
        if _bare(ours) != _bare(known):
            raise Unconvertible(f"Transformers' conversion takes {text!r} apart otherwise than SentencePiece does")


def _bare(tokens: list[str]) -> list[str]:
    """Tokens without the blank in front of the first one."""
    first = tokens[0].removeprefix(BLANK) if tokens else ""
    return ([first] if first else []) + tokens[1:]


def _reason(problem: Exception) -> str:
    """The first line of what went wrong; the command that installs a package where one is missing."""
    said = next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
    for package in ("sentencepiece", "tiktoken", "protobuf"):
        if isinstance(problem, ImportError) and package in str(problem):
            return f"{package} is not installed (pip install {package})"
    return f"{type(problem).__name__}: {said[:300]}"


def main() -> int:
    """Convert, print one JSON line."""
    told, sys.stdout = sys.stdout, sys.stderr
    folder, into = map(Path, sys.argv[1:3])
    try:
        convert(folder, into)
        answer, code = {"path": str(into)}, 0
    except Unconvertible as problem:
        answer, code = {"reason": str(problem)}, 2
    print(json.dumps(answer), file=told, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
