"""The command that settles a choice by short trainings: try."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from presets.errors import InputError, NoError
from tui.commands.models import learning, read_model
from tui.commands.planning import read_config, settle_start
from tui.commands.settings import Settings, progress_note, training_device
from tui.terminal.streams import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recommender.config.schema import FinetuneConfig
    from trainer.results.trials import TrialResult

CAUTION = (
    "Short runs flatter high learning rates, and differences below a percent of the loss may be chance: "
    "take the winner as a direction."
)


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("try")(learning()(try_values))


def try_values(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="Configuration file.")],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE,VALUE", help="Values to compare; may be repeated. Without: three rates."
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps of each trial.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")] = False,
) -> int:
    """Train briefly with several values and rank them.

    On the same rows, by held-out loss.

    Given again, it takes finished trials as they are and resumes interrupted ones.
    """
    from trainer.results.trials import settled

    settings: Settings = context.obj
    base = read_config(config, None, settings.runs)
    if not base.data.train:
        raise InputError(f"{config} names no training data.", remedy="Add data.train, a list of files.")
    base, compared = settled(base, values or [])
    results = _tried(base, compared, steps, settings)
    if json:
        print_json(_document(results, steps))
    else:
        _show(results, steps)
    if results[0].eval_loss is None:
        raise NoError("No trial came to its end.", remedy=results[0].reason or "`lora-wizard runs` lists them.")
    return 0


def _tried(base: FinetuneConfig, compared: Sequence[str], steps: int, settings: Settings) -> Sequence[TrialResult]:
    """Check a configuration with each of the values, train briefly with them, and return the results, best first."""
    from recommender.data.load import profile_data
    from recommender.plan.checks.trainable import require_rows
    from recommender.plan.document import launch_document
    from recommender.stages import stage_of
    from trainer.preflight.gate import require_trainable
    from trainer.process.tokenizer import ensure_tokenizer
    from trainer.results.trials import require_held_out, run_trials, trials
    from tui.commands.training import run_check_list

    device = training_device(settings.runs)
    spec = read_model(base.model, revision=base.revision)
    base = settle_start(base, spec)
    wanted = trials(base, compared, steps)
    for each in (base, *(trial.config for trial in wanted)):
        require_trainable(each, spec, device)
    ensure_tokenizer(spec)
    dataset = profile_data(base.data, model=spec, stage=stage_of(base))
    require_rows(dataset.profile, base, spec)
    require_held_out(base, dataset.profile)
    run_check_list(base, device, spec, dataset, settings.runs)

    def plan(of: FinetuneConfig) -> Mapping[str, Any]:
        return launch_document(of, spec, device, dataset.profile)

    return run_trials(wanted, runs=settings.runs, device=device, plan=plan, log=progress_note)


def _document(results: Sequence[TrialResult], steps: int) -> dict[str, Any]:
    best = results[0]
    return {
        "steps": steps,
        "best": dict(best.values) if best.eval_loss is not None else None,
        "trials": [result.document() for result in results],
        "caution": CAUTION,
    }


def _show(results: Sequence[TrialResult], steps: int) -> None:
    from recommender.units import counted
    from trainer.results.trials import sentence, shown

    width = max(len(shown(result.values)) for result in results)
    print(f"After {counted(steps, 'step')} on the same rows, best first:")
    for result in results:
        print(f"  {shown(result.values):{width}s}  {sentence(result)}  {result.run.name}")
    print(CAUTION)
