"""`python -m trainer.learn`: a warm child. An order a line on stdin; progress, then a tape or an error, on stdout.

It imports the libraries once, and ends when its stdin does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from presets.errors import WizardError
from recommender.memory.learned.store import REFUSED
from trainer.anatomy.limits import bound

EVERY_SECONDS = 0.2
MOST_SECONDS = 3600
"""Of processor time, for all that a child is asked for while it lives; the asker ends one recipe sooner."""


class Speaker:
    """Prints progress a few times a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def progress(self, phase: str, done: int, total: int) -> None:
        """Print progress unless something was printed just now."""
        now = time.monotonic()
        if now - self._last >= EVERY_SECONDS:
            self._last = now
            say({"phase": phase, "done": done, "total": total})


def say(document: dict[str, Any]) -> None:
    """Print one JSON line."""
    print(json.dumps(document, separators=(",", ":")), flush=True)


def answer(line: str) -> dict[str, Any]:
    """The tape of an order as a document; what cannot be learned is a refusal with its reason."""
    began = time.monotonic()
    try:
        # Imported at the first order: the libraries take most of the time.
        from trainer.learn.learn import Learner
        from trainer.trace.order import Order

        learner = Learner(Order.loads(line), Speaker().progress)
        document = learner.learn().document()
    except WizardError as problem:
        return {REFUSED: problem.message, "remedy": problem.remedy}
    except Exception as problem:
        # Whatever the libraries raise means that this model does not trace: it is not learned.
        if os.environ.get("LORA_WIZARD_DEBUG"):
            raise
        said = " ".join(f"{type(problem).__name__}: {problem}".split())
        return {REFUSED: f"This model does not trace: {said[:300]}"}
    return {"tape": document, "traces": learner.done, "seconds": time.monotonic() - began}


def main() -> int:
    """Answer orders until stdin ends."""
    bound(say, seconds=MOST_SECONDS)
    for line in sys.stdin:
        if line.strip():
            say(answer(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
