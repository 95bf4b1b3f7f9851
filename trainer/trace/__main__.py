"""`python -m trainer.trace ORDER.json`: run the order, print progress and then the levels as JSON lines."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from presets.errors import WizardError
from trainer.trace.order import Order
from trainer.trace.record import HOST
from trainer.trace.replay import replay
from trainer.trace.step import record_steps

EVERY_SECONDS = 0.2


class Speaker:
    """Prints progress, a few times a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def progress(self, phase: str, done: int, total: int) -> None:
        """Print progress unless something was printed just now."""
        now = time.monotonic()
        if now - self._last >= EVERY_SECONDS:
            self._last = now
            self.say({"phase": phase, "done": done, "total": total})

    def say(self, document: dict[str, Any]) -> None:
        """Print one JSON line."""
        print(json.dumps(document), flush=True)


def trace_order(order: Order, speaker: Speaker) -> dict[str, Any]:
    """The levels of an order, as a document."""
    began = time.monotonic()
    recording = record_steps(order, speaker.progress)
    levels = replay(
        recording.events,
        recording.sizes,
        recording.categories,
        expandable=order.expandable,
        empties_cache=order.empties_cache,
        ignored=HOST,
        on_cpu=order.on_cpu,
    )
    host = sum(size for size, category in zip(recording.sizes, recording.categories, strict=True) if category == HOST)
    return {
        "allocated": levels.allocated,
        "reserved": levels.reserved,
        "parts": levels.parts,
        "host": host,
        "storages": len(recording.sizes),
        "seconds": time.monotonic() - began,
    }


def main() -> int:
    """Trace an order; an error for a person becomes a document too."""
    speaker = Speaker()
    try:
        document = trace_order(Order.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), speaker)
    except WizardError as problem:
        speaker.say({"error": problem.message, "remedy": problem.remedy})
        return 2
    except Exception as problem:
        # Whatever the libraries raise means that this model does not trace; the formula still answers.
        if os.environ.get("LORA_WIZARD_DEBUG"):
            raise
        speaker.say({"error": f"this model does not trace: {type(problem).__name__}: {problem}".splitlines()[0][:300]})
        return 1
    speaker.say(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
