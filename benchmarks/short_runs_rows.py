"""Rows for `benchmarks.short_runs` beside the real sets: `python -m benchmarks.short_runs_rows FOLDER`.

Two tasks whose answers have a fixed form, as many people's own data have: the functions of Python's library by their
docstrings, and the records of ISO 3166 as JSON by a sentence (from the package `pycountry`, which must be installed).
"""

from __future__ import annotations

import ast
import json
import random
import sys
import sysconfig
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

PLACES = ("*.py", "email/*.py", "xml/*/*.py", "unittest/*.py")
MOST = 600
LONGEST_DOCSTRING = 400
LETTERS = range(61, 500)
"""Length of a function's source."""


def functions(library: Path) -> Iterator[dict[str, str]]:
    """A function of a module by the first paragraph of its docstring."""
    for file in sorted((file for place in PLACES for file in library.glob(place)), key=str):
        try:
            tree = ast.parse(file.read_text(encoding="utf-8", errors="ignore"))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or len(node.body) < 2:
                continue
            docstring = ast.get_docstring(node)
            if not docstring or len(docstring) > LONGEST_DOCSTRING:
                continue
            node.body = node.body[1:]
            source = ast.unparse(node)
            if len(source) in LETTERS:
                asked = f"Write this Python function: {docstring.split(chr(10) * 2)[0]}"
                yield {"instruction": asked, "output": source}


def countries() -> Iterator[dict[str, str]]:
    """A record as JSON by a sentence that holds all that is in it but the flag.

    Raises:
        ModuleNotFoundError: `pycountry` is not installed.
    """
    text = (files("pycountry") / "databases" / "iso3166-1.json").read_text(encoding="utf-8")
    for record in json.loads(text)["3166-1"]:
        official = record.get("official_name", record["name"])
        asked = (
            f"Extract the record from this text as JSON: {record['name']} ({official}) has the country codes "
            f"{record['alpha_2']} and {record['alpha_3']}, in numbers {record['numeric']}."
        )
        yield {"instruction": asked, "output": json.dumps(record, ensure_ascii=False)}


def main() -> int:
    """Write both files."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    try:
        made = {
            "python_functions.json": functions(Path(sysconfig.get_paths()["stdlib"])),
            "country_json.json": countries(),
        }
        for name, rows in made.items():
            shuffled = list(rows)
            random.Random(0).shuffle(shuffled)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(shuffled[:MOST]), encoding="utf-8")
            print(f"{folder / name}: {len(shuffled[:MOST])} rows")
    except ModuleNotFoundError as problem:
        print(f"{problem.name} is not installed: pip install {problem.name}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
