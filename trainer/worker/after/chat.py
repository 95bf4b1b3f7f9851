"""`python -m trainer.worker.after.chat RUN [BASE]`: prompts as JSON lines in, pieces of two answers out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

from presets.errors import WizardError
from trainer.run.folder import RunFolder


def main() -> int:
    """Answer until stdin ends; what libraries print goes to stderr."""
    told, sys.stdout = sys.stdout, sys.stderr
    try:
        from trainer.worker.after.answering import Answerer

        answerer = Answerer.of(RunFolder(Path(sys.argv[1]).absolute()), *sys.argv[2:3])
    except WizardError as error:
        _say(told, error=error.message, remedy=error.remedy)
        return error.exit_code
    _say(told, ready=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("forget"):
            answerer.forget()
        for side, piece in answerer.answers(str(asked["prompt"]), int(asked.get("most", 256))):
            _say(told, side=side, text=piece)
        _say(told, done=True)
    return 0


def _say(stream: TextIO, **document: Any) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
