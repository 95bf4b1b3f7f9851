"""Commands about runs that exist: list, watch, stop, resume, remove."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from presets.errors import InputError
from tui.commands.agreeing import AllowOnEnd, ask
from tui.commands.facts import JsonFlag
from tui.commands.settings import Settings, progress_note
from tui.terminal.streams import print_json, print_path

if TYPE_CHECKING:
    from trainer.run.events import Command

RunArgument = Annotated[str, typer.Argument(help="Run id, the start of one, its folder, or 'latest'.", metavar="RUN")]
OptionalRun = Annotated[
    str | None, typer.Argument(help="Run id, the start of one, or its folder; the newest otherwise.", metavar="[RUN]")
]
NotifyOption = Annotated[
    list[str] | None,
    typer.Option("--notify", help="Tell of trouble and of the end: bell, osc9 or osc777.", metavar="HOW"),
]
NotifyCommand = Annotated[
    str | None, typer.Option("--notify-command", help="Run this shell command then.", metavar="COMMAND")
]
BaseOption = Annotated[
    str | None, typer.Option("--base", metavar="FOLDER", help="Where the base lies now, if it has moved.")
]
AllowChangedBase = Annotated[
    bool, typer.Option("--allow-changed-base", help="Take this base although it is not the one that it began with.")
]
AllowBusy = Annotated[bool, typer.Option("--allow-busy", help="Beside another run on the same device.")]
PlainFlag = Annotated[bool, typer.Option("--plain", help="One line a step, no screens.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("runs")(runs)
    app.command("watch")(watch)
    app.command("stop")(stop)
    app.command("resume")(resume)
    app.command("rm")(remove)
    app.command("pause")(pause)
    app.command("continue")(go_on)
    app.command("checkpoint")(checkpoint)
    app.command("evaluate")(evaluate)


def follow(run: Path, settings: Settings, *, plain: bool) -> int:
    """Watch a run: the dashboard in a terminal, one line a step without one.

    Returns:
        0 when it finished or was stopped or is left running, 1 when it failed.
    """
    if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from tui.commands.output.watch_plain import watch_plain

        return watch_plain(run, sys.stdout)
    from tui.dashboard.app import run_watch

    return run_watch(run, runs_dir=settings.runs, theme=settings.theme, unicode=settings.unicode)


def runs(context: typer.Context, json: JsonFlag = False) -> int:
    """List every run with its state, newest first."""
    from trainer.history.listing import list_runs
    from tui.commands.output.runs import show_runs

    settings: Settings = context.obj
    found = list_runs(settings.runs)
    if json:
        print_json({"runs": [run.document() for run in found]})
        return 0
    if not found and sys.stdin.isatty() and sys.stdout.isatty():
        progress_note(f"no runs in {settings.runs}")
        return 0
    show_runs(found, settings.console())
    return 0


def wish_to_be_told(ways: list[str] | None, command: str | None) -> None:
    """Keep how somebody wants to be told, for whatever watches the run in this process.

    Raises:
        InputError: A way that there is not.
    """
    from tui.dashboard.notify import NOTIFY, NOTIFY_COMMAND, NotifySettings

    NotifySettings.read(ways or (), command or "")
    if ways:
        os.environ[NOTIFY] = ",".join(ways)
    if command:
        os.environ[NOTIFY_COMMAND] = command


def watch(
    context: typer.Context,
    run: OptionalRun = None,
    plain: PlainFlag = False,
    notify: NotifyOption = None,
    notify_command: NotifyCommand = None,
) -> int:
    """Watch a run live; leaving the dashboard leaves the run alone."""
    from trainer.history.listing import find_run

    wish_to_be_told(notify, notify_command)
    settings: Settings = context.obj
    return follow(find_run(settings.runs, run), settings, plain=plain)


def stop(
    context: typer.Context,
    run: RunArgument,
    now: Annotated[bool, typer.Option("--now", help="Stop at once, without a checkpoint.")] = False,
    after_epoch: Annotated[bool, typer.Option("--after-epoch", help="Save and stop when this epoch ends.")] = False,
) -> int:
    """Save a checkpoint and stop a run."""
    if now and after_epoch:
        raise InputError("--now and --after-epoch were both given.", remedy="Give one of them.")
    if after_epoch:
        return _ask(context, run, "stop_after_epoch", "save and stop when this epoch ends")
    return _ask(context, run, "stop_now" if now else "stop", f"stop{' now' if now else ' after saving'}")


def pause(context: typer.Context, run: RunArgument) -> int:
    """Rest after the present step; the device's memory stays taken."""
    return _ask(context, run, "pause", "pause; `lora-wizard continue` goes on")


def go_on(context: typer.Context, run: RunArgument) -> int:
    """Go on with a run that was paused."""
    return _ask(context, run, "continue", "continue")


def checkpoint(context: typer.Context, run: RunArgument) -> int:
    """Save a checkpoint after the present step."""
    return _ask(context, run, "checkpoint", "save a checkpoint")


def evaluate(context: typer.Context, run: RunArgument) -> int:
    """Evaluate after the present step."""
    return _ask(context, run, "evaluate", "evaluate")


def _ask(context: typer.Context, run: str, command: Command, what: str) -> int:
    """Send a request to a living run.

    Raises:
        InputError: It is not running, or another user's.
    """
    from trainer.history.listing import find_run
    from trainer.history.reader import RunReader
    from trainer.run.commands import request
    from trainer.run.folder import RunFolder

    settings: Settings = context.obj
    path = find_run(settings.runs, run)
    if not RunReader(path).poll().alive:
        raise InputError(f"{path.name} is not running.", remedy="`lora-wizard runs` shows the state of every run.")
    request(path, command)
    progress_note(f"asked {path.name} to {what}; `lora-wizard watch {RunFolder(path).argument}` shows it")
    return 0


def resume(
    context: typer.Context,
    run: RunArgument,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Go on with another value: learning_rate, micro-batch, run.*"),
    ] = None,
    base: BaseOption = None,
    allow_changed_base: AllowChangedBase = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and return.")] = False,
    plain: PlainFlag = False,
    allow_busy: AllowBusy = False,
    allow_on_end: AllowOnEnd = False,
) -> int:
    """Continue a run from its last checkpoint.

    One that was just asked to stop is waited for.
    """
    from trainer.history.listing import find_run
    from trainer.process.consent import ConsentError
    from trainer.process.launch import resume_run
    from tui.commands.planning import assignments

    settings: Settings = context.obj
    path, changes = find_run(settings.runs, run), assignments(values) | ({"model": base} if base else {})
    go_on_with = partial(
        resume_run,
        path,
        changes=changes,
        allow_busy=allow_busy,
        allow_changed_base=allow_changed_base,
        log=progress_note,
    )
    try:
        go_on_with(allow_on_end=allow_on_end)
    except ConsentError as unagreed:
        ask(unagreed)
        go_on_with(allow_on_end=True)
    if detach:
        print_path(path)
        return 0
    return follow(path, settings, plain=plain)


def remove(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="A run's whole id, or its whole folder.", metavar="RUN")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Remove a run: its record, its checkpoints and its adapter.

    Other files in its folder stay there. Anything but a run is refused.
    """
    from trainer.process.removal import find_whole, remove_run

    settings: Settings = context.obj
    path = find_whole(settings.runs, run)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"This removes {path} with its adapter.", remedy="Say so with --yes.")
        if not typer.confirm(f"Remove {path} with its checkpoints and its adapter?"):
            return 0
    progress_note(remove_run(path).sentence())
    return 0
