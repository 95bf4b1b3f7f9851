"""Has a model's tokenizer converted to tokenizer.json where it comes in another form; once, into the cache."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from recommender.data.tokens.converted import NAME, REFUSED, converted_folder, needs_conversion
from recommender.model.spec import ModelSpec
from trainer.process.children import ask

MODULE: Final = "trainer.classes.convert_tokenizer"
SECONDS: Final = 180.0
"""Time limit of a conversion: the largest vocabularies take some ten seconds."""


def ensure_tokenizer(spec: ModelSpec | None, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Convert the tokenizer of a model on this disk where it needs that and nobody has yet.

    One that cannot be converted leaves the reason in the cache: lengths are then estimated, and a run is refused with
    it before its start (`recommender.model.sources.missing_files.missing_tokenizer`).

    Args:
        spec: The model; nothing is done for None, or one that is not on this disk.
        cancelled: Asked a few times a second; ends the conversion.
    """
    if spec is None or spec.path is None or not needs_conversion(spec.path):
        return
    into = converted_folder(spec.path)
    if (into / NAME).is_file() or (into / REFUSED).is_file():
        return
    until = time.monotonic() + SECONDS
    answer = ask(
        MODULE, str(spec.path), str(into), device=None, cancelled=lambda: cancelled() or time.monotonic() > until
    )
    if answer.code == 0 or cancelled():
        return
    reason = (answer.document or {}).get("reason")
    if answer.cancelled:
        reason = f"it took more than {SECONDS:.0f} s"
    _keep(into, str(reason or answer.errors.strip().rpartition("\n")[2] or f"its process ended with {answer.code}"))


def _keep(into: Path, reason: str) -> None:
    into.mkdir(parents=True, exist_ok=True)
    (into / REFUSED).write_text(json.dumps({"reason": reason}), encoding="utf-8")
