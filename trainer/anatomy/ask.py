"""What reading alone cannot say of a model, asked of its class in a child process."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from presets.errors import InputError, NoError
from recommender.model.anatomies import is_current, keep, learned_here, shipped
from recommender.model.anatomy import Anatomy, from_document
from recommender.model.from_anatomy import with_anatomy
from recommender.model.spec import ModelSpec
from trainer.anatomy.limits import MOST_SECONDS
from trainer.process.children import Cancelled, ChildAnswer, follow

Progress = Callable[[str], None]
"""Told what is being done, in a few words."""

LEARNING = "learning this model"
SECONDS = 600.0
"""After which the child is ended, whatever it waits for; its processor time is bounded too, by `limits`."""
MODULE = "trainer.anatomy"


class LearningCancelled(NoError):
    """The person cancelled it."""


def completed(
    spec: ModelSpec,
    progress: Progress | None = None,
    cancelled: Cancelled = lambda: False,
    *,
    seconds: float = SECONDS,
) -> ModelSpec:
    """Fill in what the model's class says of itself, where a spec wants it: see `recommender.model.anatomy`.

    From the cache for the installed versions; from what ships, where that is of the installed minor version; else from
    a child process that builds the class on meta, in 3 to 5 seconds. What ships of another version answers where the
    child cannot.

    Args:
        spec: As `read_model` gives it.
        progress: Told that it is being learned, where a child is started.
        cancelled: Asked a few times a second; ends the child when true.
        seconds: Limit of the child's time.

    Raises:
        InputError: Transformers has no class for the model or cannot build it, with the reason in one sentence.
        LearningCancelled: `cancelled` said so.
    """
    if spec.unsupported or spec.config is None or not (spec.needs_anatomy or _is_old(spec)):
        return spec
    if (found := learned_here(spec.config)) is not None:
        return with_anatomy(spec, found)
    ships = shipped(spec.config)
    if ships is not None and is_current(ships):
        return with_anatomy(spec, ships)
    if progress is not None:
        progress(LEARNING)
    try:
        found = learn_in_child(spec.config, cancelled, seconds)
    except InputError:
        if ships is None:
            raise
        return with_anatomy(spec, ships)
    keep(spec.config, found)
    return with_anatomy(spec, found)


def _is_old(spec: ModelSpec) -> bool:
    """Whether what ships was taken, and another version of Transformers is installed."""
    return spec.anatomy is not None and not is_current(spec.anatomy)


def learn_in_child(config: Any, cancelled: Cancelled = lambda: False, seconds: float = SECONDS) -> Anatomy:
    """Ask the class that is trained for a config.json document what it is made of.

    Raises:
        InputError: Why it cannot be.
        LearningCancelled: `cancelled` said so.
    """
    ends = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="lora-wizard-anatomy-") as scratch:
        path = Path(scratch) / "order.json"
        path.write_text(json.dumps({"config": dict(config)}), encoding="utf-8")
        answer = _followed(path, lambda: cancelled() or time.monotonic() > ends)
    if answer.cancelled and cancelled():
        raise LearningCancelled("Learning this model was cancelled.")
    if answer.cancelled:
        raise InputError(
            f"Transformers did not build this model within {seconds:.0f} s, even without its weights.",
            remedy="Try again when the machine is idle; if it stays so, its config.json describes no ordinary model.",
        )
    return _anatomy(answer)


def _followed(path: Path, cancelled: Cancelled) -> ChildAnswer:
    said = follow(MODULE, str(path), device=None, cancelled=cancelled)
    while True:
        try:
            next(said)
        except StopIteration as end:
            answer: ChildAnswer = end.value
            return answer


def _anatomy(answer: ChildAnswer) -> Anatomy:
    document = answer.document or {}
    if "anatomy" in document:
        return from_document(document["anatomy"])
    if answer.code == -signal.SIGXCPU:
        raise InputError(
            f"Transformers did not build this model in {MOST_SECONDS} s of processor time, even without its weights.",
            remedy="Its config.json describes no ordinary model: choose another.",
        )
    last = answer.errors.splitlines()[-1:] or [f"exit code {answer.code}"]
    raise InputError(
        str(document.get("error") or f"The process that builds this model without its weights ended: {last[0][:200]}"),
        remedy=str(document.get("remedy") or "Choose another model."),
    )
