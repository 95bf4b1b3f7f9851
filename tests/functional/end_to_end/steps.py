"""What a person does in the wizard, key by key, each key after the screen shows what it answers.

Only words that the field and the contracts fix are looked for: names of settings, statuses, titles of checks.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.fixtures.child import run_python
from tests.functional.terminal import Terminal

UP, DOWN, ENTER, CTRL_D = "\x1b[A", "\x1b[B", "\r", "\x04"
CURSOR = "▌"
MOST_KEYS = 60
"""More than any list of the wizard has rows."""

LOAD_ADAPTER = """
import json, sys
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), sys.argv[2])
moved = [float(weight.abs().sum()) > 0 for name, weight in model.named_parameters() if "lora_B" in name]
print(json.dumps([len(moved), all(moved)]))
"""


def trained_matrices(model: Path, adapter: Path) -> tuple[int, bool]:
    """Load an adapter with PEFT in a child process: how many pairs it has, and whether all have moved from zero."""
    count, moved = run_python(LOAD_ADAPTER, str(model), str(adapter))
    return count, moved


def shows(pattern: str, text: str) -> bool:
    """Whether a line of the screen matches."""
    return re.search(pattern, text, re.MULTILINE) is not None


def under_cursor(text: str) -> str:
    """The label under the cursor of the one list that is seen; empty while it is being repainted."""
    found = re.findall(rf"{CURSOR} (\S+(?: \S+)*)", text)
    return found[0] if len(found) == 1 else ""


def move_to(terminal: Terminal, label: str, key: str = DOWN) -> None:
    """Press an arrow key until the cursor is on the row of this label."""
    terminal.wait(lambda text: bool(under_cursor(text)))
    for _ in range(MOST_KEYS):
        here = under_cursor(terminal.text)
        if here == label or here.startswith(f"{label} "):
            return
        terminal.press(key)
        terminal.wait(lambda text, here=here: under_cursor(text) not in ("", here))  # type: ignore[misc]  # a default binds the loop's value
    raise AssertionError(f"{label!r} is not in the list:\n{terminal.text}")


def planned(terminal: Terminal) -> None:
    """Wait for the plan, opened with model and data: it fits, and the form has the focus."""
    terminal.wait(lambda text: shows(rf"{CURSOR} method\s", text) and "FITS" in text)


def choose_method(terminal: Terminal, now: str, wanted: str) -> None:
    """Open the list of methods and choose the one above the present one."""
    move_to(terminal, "method")
    terminal.press(ENTER)
    terminal.wait(lambda text: shows(rf"{CURSOR} {now}\s", text))
    terminal.press(UP)
    terminal.wait(lambda text: shows(rf"{CURSOR} {wanted}\s", text))
    terminal.press(ENTER)
    terminal.wait(lambda text: shows(rf"{CURSOR} method\s+{wanted}\s", text))


def set_max_steps(terminal: Terminal, steps: int) -> None:
    """Unfold the advanced settings and type a number of steps."""
    move_to(terminal, "advanced")
    terminal.press(ENTER)
    terminal.wait("▾")
    move_to(terminal, "max_steps")
    terminal.press(ENTER)
    terminal.wait("training.max_steps")
    terminal.press(f"{steps}{ENTER}")
    terminal.wait(lambda text: shows(rf"{CURSOR} max_steps\s+{steps}\s", text))


def measured(text: str) -> bool:
    """Whether the last check, the worst step, held and says what it measured beside what was predicted."""
    return shows("[✓!] one worst-case step", text) and "measured" in text and "predicted" in text


def start(terminal: Terminal, method: str) -> None:
    """Press g on the Check screen, see the question that a start asks, and say yes."""
    terminal.press("g")
    terminal.wait(f"start {method} of")
    terminal.press("g")


def summary(terminal: Terminal, *words: str) -> tuple[float, float]:
    """Wait for the end panel of a run that finished, with these words in it too.

    Returns:
        First and last evaluation loss as they stand there.
    """
    losses = r"eval_loss +(\d+\.\d+(?:e-\d+)?)\D+(\d+\.\d+(?:e-\d+)?) last"
    wanted = ("finished", "adapter", *words)
    text = terminal.wait(lambda text: shows(losses, text) and all(word in text for word in wanted))
    found = re.search(losses, text)
    assert found
    return float(found[1]), float(found[2])
