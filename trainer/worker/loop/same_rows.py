"""Checks that a resumed run has the same training and held-out rows as when it started."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from presets.errors import InputError
from recommender.config.schema import Data
from recommender.units import count
from trainer.history.start_event import start_event_field
from trainer.run.folder import RunFolder
from trainer.run.state import text, whole
from trainer.worker.output.disk_space import record


@dataclass(frozen=True, slots=True)
class Contents:
    """The rows that are read, and those of them or of `data.eval` that are held out: by content and order."""

    rows: int
    rows_sha256: str
    held_out: int
    held_out_sha256: str

    @classmethod
    def of(cls, rows: Iterable[int], held_out: Iterable[int]) -> Contents:
        """Build from the content digests of all rows of `data.train`, and of those held out, in file order."""
        read, held = array("Q", rows), array("Q", held_out)
        return cls(len(read), _sha256(read), len(held), _sha256(held))

    @classmethod
    def read(cls, document: Mapping[str, Any] | None) -> Contents | None:
        """Read the JSON form; None for anything else."""
        said = document or {}
        rows, held = whole(said.get("rows")), whole(said.get("held_out"))
        rows_sha, held_sha = text(said.get("rows_sha256")), text(said.get("held_out_sha256"))
        if rows is None or held is None or rows_sha is None or held_sha is None:
            return None
        return cls(rows, rows_sha, held, held_sha)


def require_same_rows(folder: RunFolder, data: Data, now: Contents) -> None:
    """Refuse to resume with other rows; record an event where the run was begun without writing them down.

    Args:
        folder: The run.
        data: Where its rows come from.
        now: What is read and held out now.

    Raises:
        InputError: Other rows, or others of them held out.
    """
    before = Contents.read(start_event_field(folder, "contents"))
    if before is None:
        record(
            folder,
            "warning",
            message=f"{folder.id} was begun without writing down its rows: whether it goes on with the same rows, and "
            "holds out the same, cannot be told.",
        )
        return
    if (before.rows, before.rows_sha256) != (now.rows, now.rows_sha256):
        raise InputError(
            f"The data has changed since {folder.id} began: {_then_and_now(before.rows, now.rows)}.",
            remedy="Bring back what data.train names as it was, or train anew.",
        )
    if (before.held_out, before.held_out_sha256) == (now.held_out, now.held_out_sha256):
        return
    held = _then_and_now(before.held_out, now.held_out)
    if data.eval is not None:
        raise InputError(
            f"The held-out data has changed since {folder.id} began: {held}.",
            remedy="Bring back what data.eval names as it was, or train anew.",
        )
    raise InputError(
        f"The split has changed since {folder.id} began: of the same rows others would be held out ({held}), some of "
        "them trained on already, and the evaluation would look better than it is.",
        remedy="Go on with the training.seed, the data.eval_fraction and the version of lora-wizard that it began "
        "with, or train anew.",
    )


def require_same_tokens(folder: RunFolder, tokens_sha256: str) -> None:
    """Refuse to resume with rows of other tokens than before; an older run wrote none down.

    Args:
        folder: The run.
        tokens_sha256: Of its training rows as the model would see them now.

    Raises:
        InputError: They are others.
    """
    before = text((start_event_field(folder, "contents") or {}).get("tokens_sha256"))
    if before is not None and before != tokens_sha256:
        raise InputError(
            f"The rows are those that {folder.id} began with, and become other tokens now: the base's tokenizer or "
            "chat template has changed since, or the version of lora-wizard has.",
            remedy="Bring back the tokenizer's files, data.template and the version of lora-wizard that it began with, "
            "or train anew.",
        )


def _then_and_now(then: int, now: int) -> str:
    if then == now:
        return f"{count(now)} as before, but other ones or in another order"
    return f"{count(then)} then, {count(now)} now"


def _sha256(digests: array[int]) -> str:
    return hashlib.sha256(digests.tobytes()).hexdigest()
