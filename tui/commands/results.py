"""Commands about what runs left: merge, chat, compare."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from presets.errors import InputError
from recommender.paths import expanded
from recommender.units import count, gib, rate
from tui.commands.facts import JsonFlag
from tui.commands.life import AllowChangedBase, BaseOption, RunArgument
from tui.commands.settings import Settings, progress_note
from tui.terminal.sanitize import clean, clean_lines
from tui.terminal.streams import print_json, print_path

if TYPE_CHECKING:
    from rich.table import Table

    from trainer.results.chat import Chat


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("merge")(merge)
    app.command("chat")(chat)
    app.command("compare")(compare)


def merge(
    context: typer.Context,
    run: RunArgument,
    into: Annotated[Path, typer.Option("--output", "-o", help="A new folder for the merged model.", metavar="DIR")],
    base: BaseOption = None,
    allow_changed_base: AllowChangedBase = False,
    json: JsonFlag = False,
) -> int:
    """Merge a run's adapter into its base.

    Writes 16-bit safetensors into a new folder, and checks that the result answers as base and adapter do.
    """
    from recommender.units import counted, gib
    from trainer.history.listing import find_run
    from trainer.results.merge import merge_run
    from trainer.run.base_model import base_warning
    from trainer.run.folder import RunFolder

    settings: Settings = context.obj
    path = find_run(settings.runs, run)
    progress_note(f"merging {path.name} into its base, a shard at a time, then checking the result …")
    found = merge_run(path, expanded(into).absolute(), base=base, allow_changed_base=allow_changed_base)
    if note := base_warning(RunFolder(path), found["base"]):
        progress_note(note)
    if json:
        print_json(found)
        return 0
    print_path(Path(found["path"]))
    progress_note(
        f"{counted(found['modules'], 'module')} merged, {counted(found['shards'], 'shard')}, {gib(found['bytes'])}; "
        f"against base + adapter the logits are off by {how_far(found)}, the most likely token agrees at "
        f"{found['agreement']:.1%} of {found['positions']} positions"
    )
    for line in what_next(Path(found["path"]), own_code=bool(found.get("own_code"))):
        progress_note(line)
    return 0


def how_far(found: Mapping[str, Any]) -> str:
    """Error of a merged model's logits against what the adapter changes, or how little that is."""
    if found["off"] is not None:
        return f"{found['off']:.2%} of what the adapter changes"
    rounded = f"{found['rounding']:.2%} of their size by rounding to 16 bits"
    if not found["moved"]:
        return f"{rounded} (the adapter changes none of them: it is as it was before training)"
    return f"{rounded}, which hides the adapter: it changes them by {found['moved']:.2%}"


def what_next(model: Path, *, own_code: bool = False) -> list[str]:
    """Commands that use a merged model, each exact.

    Args:
        model: Its folder.
        own_code: Whether it brings Python code of its own, which whoever loads it executes.
    """
    path, file = quote(str(model)), quote(f"{model.name}.gguf")
    trust = " --trust-remote-code" if own_code else ""
    return [
        f"serve it: vllm serve {path}{trust}",
        f"for llama.cpp: python convert_hf_to_gguf.py {path} --outtype bf16 --outfile {file}",
        f"     and then: llama-server -m {file}",
        f"push it: hf upload YOUR-NAME/{quote(model.name)} {path}",
    ]


def chat(
    context: typer.Context,
    run: RunArgument,
    most: Annotated[int, typer.Option("--tokens", help="Tokens of an answer at most.", min=1)] = 256,
    base: BaseOption = None,
    allow_changed_base: AllowChangedBase = False,
) -> int:
    """Ask the base and the tuned model the same.

    Their answers stand side by side; prompts come from stdin, one a line.
    """
    from trainer.history.listing import find_run
    from trainer.results.chat import Chat
    from trainer.run.base_model import base_warning
    from trainer.run.folder import RunFolder

    settings: Settings = context.obj
    path = find_run(settings.runs, run)
    progress_note("loading the base and its adapter …")
    asks = sys.stdin.isatty()
    with Chat(path, base=base, allow_changed_base=allow_changed_base) as pair:
        if note := base_warning(RunFolder(path), pair.held):
            progress_note(note)
        if asks:
            progress_note("type a prompt; /new begins a new conversation, an empty line or ctrl+d leaves")
        forget = False
        for line in _prompts(asks=asks):
            if line == "/new":
                forget = True
                continue
            _answer(pair, line, settings, most, forget=forget)
            forget = False
    return 0


def _prompts(*, asks: bool) -> list[str] | _Typed:
    return _Typed() if asks else [line.strip() for line in sys.stdin if line.strip()]


class _Typed:
    """Lines that a person types, until an empty one or the end of input."""

    def __iter__(self) -> _Typed:
        return self

    def __next__(self) -> str:
        try:
            line = input("› ").strip()
        except EOFError:
            raise StopIteration from None
        if not line:
            raise StopIteration
        return line


def _answer(pair: Chat, prompt: str, settings: Settings, most: int, *, forget: bool) -> None:
    """Both answers as they come, in two columns on a terminal; one after the other elsewhere."""
    said = {"base": "", "tuned": ""}
    pieces = pair.ask(prompt, most=most, forget=forget)
    if not sys.stdout.isatty():
        for side, text in pieces:
            said[side] += text
        for side, text in said.items():
            print(f"{side}: {_shown(text)}", flush=True)
        return
    from rich.live import Live

    with Live(_columns(said), console=settings.console(), refresh_per_second=8, transient=False) as live:
        for side, text in pieces:
            said[side] += text
            live.update(_columns(said))


def _shown(text: str) -> str:
    return "\n".join(clean_lines(text)).strip()


def _columns(said: dict[str, str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(expand=True, padding=(0, 2))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    table.add_row(Text("base", style="dim"), Text("tuned", style="bold"))
    table.add_row(*(Text(_shown(text)) for text in said.values()))
    return table


def compare(context: typer.Context, first: RunArgument, second: RunArgument, json: JsonFlag = False) -> int:
    """Two runs: the settings that differ, and what came of them."""
    from rich.table import Table
    from rich.text import Text

    from trainer.history.listing import find_run
    from trainer.results.compare import compare as compare_runs

    settings: Settings = context.obj
    paths = [find_run(settings.runs, run) for run in (first, second)]
    if paths[0] == paths[1]:
        raise InputError(f"{paths[0].name} was named twice.", remedy="`lora-wizard runs` lists them all.")
    found = compare_runs(*paths)
    if json:
        print_json(found.document())
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", *found.runs):
        table.add_column(Text(clean(heading)), overflow="fold")
    for name, pair in found.results.items():
        label, shown = RESULTS.get(name, (name, _value))
        table.add_row(Text(label), *(Text(_value(value) if value is None else shown(value)) for value in pair))
    for name, pair in found.settings.items():
        table.add_row(Text(name), *(Text(_value(value)) for value in pair))
    console = settings.console()
    console.print(table)
    if found.not_comparable:
        console.print(Text(f"! The losses are not comparable: {', '.join(found.not_comparable)}.", style="yellow"))
    return 0


RESULTS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "peak_bytes": ("peak memory", gib),
    "tokens": ("tokens", count),
    "tokens_per_second": ("speed", rate),
    "trainable_parameters": ("trainable parameters", count),
}
"""Label and format of the figures that people do not read as they are."""


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else clean(str(value))
