"""`python -m trainer.anatomy ORDER.json`: build the class of a config.json without memory, print what it is made of."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from presets.errors import WizardError
from trainer.anatomy.limits import bound


def say(document: dict[str, Any]) -> None:
    """Print one JSON line."""
    print(json.dumps(document), flush=True)


def main() -> int:
    """Learn an order's anatomy; an error for a person becomes a document too."""
    order = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    bound(say)
    try:
        # Imported within the bounds: the libraries take most of the time.
        from recommender.model.anatomy import to_document
        from trainer.anatomy.learn import learn

        document = to_document(learn(order["config"]))
    except WizardError as problem:
        say({"error": problem.message, "remedy": problem.remedy})
        return 2
    except ModuleNotFoundError as problem:
        say(
            {
                "error": f"What this model is made of is learned from its class, and {problem.name} is not installed.",
                "remedy": "Install lora-wizard's training packages, or plan a model of the catalogue.",
            }
        )
        return 2
    except Exception as problem:
        # Whatever the libraries raise means that this class cannot be asked.
        if os.environ.get("LORA_WIZARD_DEBUG"):
            raise
        said = " ".join(f"{type(problem).__name__}: {problem}".split())
        say({"error": f"What this model is made of cannot be learned: {said[:300]}", "remedy": "Choose another model."})
        return 1
    say({"anatomy": document})
    return 0


if __name__ == "__main__":
    sys.exit(main())
