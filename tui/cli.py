"""The command line: `lora-wizard [MODEL] [DATA]` opens the wizard, everything else is a command by name.

Textual, pydantic and everything heavier are imported by the command that needs them, never here: the first frame
waits for this module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tui.commands.names import COMPLETE, WIZARD

GLOBAL_OPTIONS = {"--no-unicode": 0, "--verbose": 0, "-v": 0, "--version": 0, "--runs": 1, "--theme": 1}
"""Options that may stand anywhere on the line, and how many values each takes."""


def hoist(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the options that hold everywhere out of the line, because only the root command reads them.

    Returns:
        Those options with their values, and the rest in its order. Everything after `--` stays in the rest.
    """
    front: list[str] = []
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        name, has_value, _ = item.partition("=")
        if item == "--":
            rest += [item, *items]
        elif name not in GLOBAL_OPTIONS:
            rest.append(item)
        else:
            front.append(item)
            if GLOBAL_OPTIONS[name] and not has_value:
                front += [following for following in [next(items, None)] if following is not None]
    return front, rest


def with_command(rest: Sequence[str], commands: Sequence[str]) -> list[str]:
    """Put the wizard's name before a line that names no command: a command's name wins over a folder's."""
    first = next((item for item in rest if not item.startswith("-")), None)
    roots_own = {"-h", "--help", "--install-completion", "--show-completion"}
    if first in commands or (first is None and roots_own & set(rest)):
        return list(rest)
    return [WIZARD, *rest]


def _run(arguments: Sequence[str]) -> int:
    if os.environ.get(COMPLETE):
        from tui.commands.root import run

        return run(arguments)
    if not arguments:
        from tui.commands.opening import open_wizard
        from tui.commands.settings import Settings

        return open_wizard(Settings.usual())
    from tui.commands.completion import completion
    from tui.commands.root import command_names, run

    front, rest = hoist(arguments)
    if script := completion(rest):
        print(script)
        return 0
    from tui.commands.asking import answering

    return answering(with_command(rest, command_names()), lambda line: run([*front, *line]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 a sound 'no', 2 bad input, 70 a fault of our own."""
    from presets.errors import WizardError
    from tui.terminal.errors import show, show_crash
    from tui.terminal.streams import fit_streams, require_utf8_names

    if arguments is None:
        require_utf8_names()
    given = sys.argv[1:] if arguments is None else arguments
    fit_streams(ascii_only="--no-unicode" in given)
    try:
        return _run(given)
    except WizardError as error:
        return show(error, as_json="--json" in given)
    except KeyboardInterrupt:
        print("cancelled", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the pipe (head, less) has gone: nobody's error. Closing keeps the interpreter quiet at exit.
        sys.stderr.close()
        return 0
    except Exception as error:
        return show_crash(error)


if __name__ == "__main__":
    sys.exit(main())
