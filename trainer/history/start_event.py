"""Fields of a run's `start` events: a resumed run goes on with the same values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.history.tail import Tail
from trainer.run.folder import RunFolder


def start_event_field(folder: RunFolder, key: str) -> Mapping[str, Any] | None:
    """The value of a key in the newest `start` event that has it; None where none has.

    The newest: a run without a whole checkpoint begins anew, and each attempt was compared with the one before it.
    """
    found = None
    for document in Tail(folder.events).documents():
        if document.get("kind") == "start" and isinstance(said := document.get(key), dict):
            found = said
    return found
