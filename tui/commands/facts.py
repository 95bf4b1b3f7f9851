"""Commands that only show facts: the machine, presets, the configuration's schema, the doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from tui.commands.settings import Settings
from tui.terminal.streams import print_json

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("probe")(probe)
    app.command("presets")(presets)
    app.command("schema")(schema)
    app.command("doctor")(doctor)


def probe(context: typer.Context, json: JsonFlag = False) -> int:
    """Show GPUs, host and software, and what will get in the way."""
    from recommender.machine.probe import document
    from recommender.machine.probe import probe as probe_machine
    from tui.commands.output.machine import show_machine

    settings: Settings = context.obj
    machine = probe_machine(settings.runs)
    if json:
        print_json(document(machine))
    else:
        show_machine(machine, settings.console())
    return 0


def presets(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
    json: JsonFlag = False,
) -> int:
    """List the recipes that ship with the program, or show one."""
    from dataclasses import asdict

    from presets.recipes import find_recipe, load_recipes

    settings: Settings = context.obj
    recipes = (find_recipe(name),) if name else load_recipes()
    if json:
        documents = [asdict(recipe) for recipe in recipes]
        print_json(documents[0] if name else {"presets": documents})
        return 0
    console = settings.console()
    for recipe in recipes:
        console.print(f"[bold]{recipe.name}[/bold]  {recipe.title}", soft_wrap=True)
        if name:
            console.print(f"  meant for: {recipe.meant_for}\n  source: {recipe.source}", markup=False, soft_wrap=True)
            for key, value in recipe.changes.items():
                console.print(f"  {key}: {value}", markup=False)
    return 0


def schema() -> int:
    """Print the JSON schema of the configuration file.

    For editors that complete and check it.
    """
    from recommender.config.io import json_schema

    print_json(json_schema())
    return 0


def doctor(context: typer.Context, json: JsonFlag = False) -> int:
    """Check driver, torch, quantisation, disk and terminal.

    Says whether this machine can train, with a remedy for whatever is in the way.
    """
    from trainer.preflight.doctor import examine
    from tui.commands.output.machine import MARKS

    settings: Settings = context.obj
    findings = examine(settings.runs)
    if json:
        print_json({"checks": [finding.document() for finding in findings]})
    else:
        console = settings.console()
        for finding in findings:
            console.print(f"{MARKS[finding.status]} {finding.name}: {finding.detail}", markup=False, soft_wrap=True)
            if finding.remedy:
                console.print(f"    → {finding.remedy}", markup=False, soft_wrap=True)
    return 1 if any(finding.status == "fail" for finding in findings) else 0
