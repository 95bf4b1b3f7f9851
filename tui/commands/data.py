"""The command `data`: what a model will learn from some rows, in tokens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.facts import JsonFlag
from tui.commands.models import read_model
from tui.commands.planning import ModelOption, SetOption, assignments, data_config, say_reading
from tui.commands.settings import Settings
from tui.terminal.streams import print_json

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.data.dataset import DataSet
    from recommender.model.spec import ModelSpec


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("data")(data)


def data(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Data files, folders or hub ids.", metavar="DATA...")],
    model: ModelOption,
    values: SetOption = None,
    row: Annotated[
        str | None, typer.Option(help="Row to show: its number from 1, longest, random or finding. The first.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Show that row's token ids too.")] = False,
    near: Annotated[bool, typer.Option("--near", help="Look for near-identical rows in a second pass.")] = False,
    json: JsonFlag = False,
) -> int:
    """Show what a model will learn from the data.

    Its shape, its lengths, what is cut, and which tokens are trained.
    """
    from recommender.data.packing import limit_of
    from tui.commands.output.data import chosen_row, show_data

    settings: Settings = context.obj
    spec = read_model(model)
    say_reading(files)
    dataset, config = _read(files, spec, assignments(values), near=near)
    limit, asked = limit_of(dataset.profile, config), ids or row is not None
    chosen, max_length = chosen_row(dataset, row or "1", limit), config.data.max_length
    if json:
        print_json(_document(dataset, config, near=near, row=chosen if asked else None))
    else:
        show_data(dataset, max_length, chosen, settings.console(), whole=asked, ids=ids, near=near, config=config)
    return 1 if dataset.profile.stops_at(max_length) else 0


def _read(files: list[str], model: ModelSpec, changes: dict[str, Any], *, near: bool) -> tuple[DataSet, FinetuneConfig]:
    """The rows, and a configuration for them with the share that is held out as recommended unless it was set.

    Args:
        files: Files, folders or hub ids.
        model: Whose tokenizer is used.
        changes: Dotted key to value that the person set.
        near: Whether near-identical rows are looked for.
    """
    from recommender.config.edit import apply
    from recommender.data.load import profile_data
    from recommender.rules.running import recommended_eval_fraction
    from recommender.stages import find_stage
    from trainer.process.tokenizer import ensure_tokenizer
    from tui.commands.output.progress import DataLine

    config = data_config(files, changes)
    ensure_tokenizer(model)
    with DataLine(sys.stderr) as line:
        dataset = profile_data(
            config.data,
            model=model,
            stage=find_stage(changes.get("stage")),
            on_progress=line.read,
            on_bytes=line.fetched,
        )
        if "data.eval_fraction" not in changes:
            config = apply(config, {"data.eval_fraction": recommended_eval_fraction(dataset.profile.rows)})
        if near:
            from recommender.data.near_duplicates import near_duplicates

            fraction, seed = config.data.eval_fraction, config.training.seed
            dataset.near = near_duplicates(dataset, line.compared, fraction=fraction, seed=seed)
    return dataset, config


def _document(dataset: DataSet, config: FinetuneConfig, *, near: bool, row: int | None) -> dict[str, Any]:
    """The document of `data --json` (docs/architecture.md), with a row where one was asked for."""
    from recommender.data.packing import limit_of, splits
    from recommender.data.profile.document import document, near_document, row_document
    from recommender.steps import packing_document

    profile = dataset.profile
    whole = document(profile, config.data.max_length, split=splits(profile, config))
    packed = {"packing": packing_document(profile, config)}
    found = near_document(dataset.near) if near else {}
    one = {} if row is None else {"row": row_document(dataset.sample(row, limit_of(profile, config)))}
    return whole | packed | found | one
