"""What the first painted screen waits for."""

import json
import subprocess
import sys

PROGRAM = """
import asyncio, json, sys, tempfile
from pathlib import Path
import tui.wizard.app, tui.cli

seen = []

def open_it(**given):
    global app
    app = tui.wizard.app.wizard_app(**given | {"runs": Path(tempfile.mkdtemp())})
    asyncio.run(run())
    return 0

async def run():
    async with app.run_test(size=(120, 40)):
        seen.extend(sorted({name.split(".")[0] for name in sys.modules}))

tui.wizard.app.run_wizard = open_it
sys.stdin.isatty = sys.stdout.isatty = lambda: True
assert tui.cli.main([]) == 0
print(json.dumps(seen))
"""

HEAVY = {"torch", "transformers", "peft", "trl", "datasets", "bitsandbytes", "pandas", "pyarrow"}
LATER = {"numpy", "jinja2", "textual_plot", "tokenizers", "pydantic", "typer"}


def test_nothing_heavy_is_imported_before_the_first_frame() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    imported = set(json.loads(done.stdout.strip().splitlines()[-1]))
    assert "textual" in imported
    assert not imported & (HEAVY | LATER)
