"""Commands that start training: train, demo, calibrate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from presets.errors import InputError, NoError
from tui.commands.agreeing import AllowOnEnd, agree_on_end
from tui.commands.life import AllowBusy, NotifyCommand, NotifyOption, PlainFlag, follow, wish_to_be_told
from tui.commands.models import learning, read_model
from tui.commands.planning import SetOption, assignments, read_config, settle_start
from tui.commands.settings import Settings, progress_note, training_device, usual_device

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.data.dataset import DataSet
    from recommender.machine.facts import Device
    from recommender.model.spec import ModelSpec

DetachFlag = Annotated[bool, typer.Option("--detach", help="Start it and return; `watch` shows it.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("train")(learning()(train))
    app.command("demo")(demo)
    app.command("calibrate")(learning()(calibrate))


def run_check_list(
    config: FinetuneConfig, device: Device, model: ModelSpec, dataset: DataSet, runs: Path, *, allow_busy: bool = False
) -> None:
    """Run the Check screen's list, a line each on stderr.

    Raises:
        NoError: a check failed, so training would fail too; carries its remedy.
        InputError: no run folder can be made there.
    """
    from trainer.preflight.checks import run_checks
    from trainer.run.folder import require_place
    from tui.commands.output.machine import MARKS

    require_place(runs)
    failed = []
    for line in run_checks(config, device, model=model, dataset=dataset, runs=runs, allow_busy=allow_busy):
        if line.status in MARKS:
            took = f"  ({line.seconds:.1f} s)" if line.seconds is not None and line.seconds >= 0.1 else ""
            progress_note(f"{MARKS[line.status]} {line.title}: {line.detail}{took}")
        if line.status == "fail":
            failed.append(line)
    if failed:
        raise NoError(
            "; ".join(f"{line.title}: {line.detail}" for line in failed),
            remedy=" ".join(line.remedy for line in failed if line.remedy),
        )


def start(
    config: FinetuneConfig,
    settings: Settings,
    *,
    document: dict[str, Any] | None,
    device: Device,
    allow_busy: bool = False,
    allow_on_end: bool = False,
    values: list[str] | None = None,
) -> Path:
    """Check, then launch a run.

    Returns:
        The run folder.

    Raises:
        NoError: a check failed. InputError: the data, the model or the folder cannot be used.
    """
    from recommender.data.load import profile_data
    from recommender.plan.checks.trainable import require_rows
    from recommender.plan.document import launch_document
    from recommender.stages import stage_of
    from trainer.preflight.gate import require_trainable
    from trainer.process.launch import launch
    from trainer.process.tokenizer import ensure_tokenizer

    spec = read_model(config.model, revision=config.revision)
    config = settle_start(config, spec, values)
    require_trainable(config, spec, device)
    ensure_tokenizer(spec)
    dataset = profile_data(config.data, model=spec, stage=stage_of(config))
    require_rows(dataset.profile, config, spec)
    run_check_list(config, device, spec, dataset, settings.runs, allow_busy=allow_busy)
    plan = document or launch_document(config, spec, device, dataset.profile)
    return launch(
        config,
        plan_document=plan,
        device=device,
        runs=settings.runs,
        allow_busy=allow_busy,
        allow_on_end=allow_on_end,
    )


def train(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="Configuration file.")],
    values: SetOption = None,
    detach: DetachFlag = False,
    plain: PlainFlag = False,
    allow_busy: AllowBusy = False,
    allow_on_end: AllowOnEnd = False,
    notify: NotifyOption = None,
    notify_command: NotifyCommand = None,
) -> int:
    """Check a configuration, then train it and watch.

    It trains in a process of its own, which outlives this terminal.
    """
    from trainer.run.folder import require_place

    settings: Settings = context.obj
    require_place(settings.runs)
    wish_to_be_told(notify, notify_command)
    wanted = read_config(config, values, settings.runs)
    if not wanted.data.train:
        raise InputError(f"{config} names no training data.", remedy="Add data.train, a list of files.")
    agreed = agree_on_end(wanted.run.on_end, allowed=allow_on_end)
    device = training_device(settings.runs)
    run = start(
        wanted,
        settings,
        document=None,
        device=device,
        allow_busy=allow_busy,
        allow_on_end=agreed,
        values=values,
    )
    if detach:
        from tui.terminal.streams import print_path

        print_path(run)
        return 0
    return follow(run, settings, plain=plain)


def demo(context: typer.Context, plain: PlainFlag = False) -> int:
    """Do the main job on a small real model and shipped data.

    In a terminal the wizard opens at the plan; without one, or with --plain, it trains and prints how it goes.
    """
    from presets.demo import demo_data_path
    from trainer.models.demo import ensure_demo_model
    from tui.commands.output.progress import download_line

    settings: Settings = context.obj
    screens = not plain and sys.stdin.isatty() and sys.stdout.isatty()
    # The wizard asks before it starts.
    device = usual_device(settings.runs) if screens else training_device(settings.runs)
    with download_line(sys.stderr) as progress:
        model = ensure_demo_model(progress)
    if screens:
        from tui.wizard.app import run_wizard

        return run_wizard(
            model=str(model),
            data=[str(demo_data_path())],
            runs=settings.runs,
            theme=settings.theme,
            unicode=settings.unicode,
            overrides=demo_overrides(device),
        )
    return _plain_demo(model, device, settings)


def demo_overrides(device: Device) -> dict[str, Any]:
    """Values that the demo sets by hand: on a CPU one pass over the rows, so that it ends in minutes."""
    return {"training.num_train_epochs": 1, "data.eval_fraction": 0.08} if device.kind == "cpu" else {}


def _plain_demo(model: Path, device: Device, settings: Settings) -> int:
    from presets.demo import demo_data_path
    from recommender.config.schema import Data
    from recommender.data.load import profile_data
    from recommender.machine.probe import probe
    from recommender.plan.document import document
    from recommender.plan.recommend import recommend
    from recommender.stages.sft import SFT
    from tui.commands.output.plan import show_plan

    spec = read_model(str(model))
    data = Data(train=[str(demo_data_path())])
    profile = profile_data(data, model=spec, stage=SFT).profile
    plan = recommend(spec, device, profile, overrides=demo_overrides(device), data_config=data)
    show_plan(plan, settings.console())
    if plan.estimate.fits == "no":
        raise NoError("The demo does not fit on this machine.", remedy=plan.remedies[0].label if plan.remedies else "")
    run = start(plan.config, settings, document=document(plan, probe(settings.runs)), device=device)
    return follow(run, settings, plain=True)


def calibrate(
    context: typer.Context,
    config: Annotated[Path | None, typer.Argument(help="Configuration to measure; the demo otherwise.")] = None,
    values: SetOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")] = False,
) -> int:
    """Measure one worst step of a configuration here.

    Kept beside its prediction, it centres later estimates of the same setting on this machine.
    """
    from trainer.preflight.calibrate import measure
    from tui.terminal.streams import print_json

    settings: Settings = context.obj
    device = training_device(settings.runs)
    outcome = measure(_calibration_config(config, values, settings, device), device, log=progress_note)
    if json:
        print_json(outcome.document())
    else:
        print(outcome.sentence())
    return 0


def _calibration_config(
    config: Path | None, values: list[str] | None, settings: Settings, device: Device
) -> FinetuneConfig:
    """The configuration to measure: the given file's, or the demo's plan."""
    if config:
        return read_config(config, values, settings.runs)
    from presets.demo import demo_data_path
    from recommender.config.schema import Data
    from recommender.data.load import profile_data
    from recommender.plan.recommend import recommend
    from recommender.stages import find_stage
    from trainer.models.demo import ensure_demo_model
    from tui.commands.output.progress import download_line

    with download_line(sys.stderr) as progress:
        spec = read_model(str(ensure_demo_model(progress)))
    data, changes = Data(train=[str(demo_data_path())]), assignments(values)
    profile = profile_data(data, model=spec, stage=find_stage(changes.get("stage"))).profile
    return recommend(spec, device, profile, overrides=changes, data_config=data).config
