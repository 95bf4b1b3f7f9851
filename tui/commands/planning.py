"""Commands that plan: recommend and estimate. The same calls as the screens make, printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from presets.errors import InputError
from tui.commands.facts import JsonFlag
from tui.commands.models import learning, read_model
from tui.commands.settings import Settings, progress_note, target_device
from tui.terminal.streams import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recommender.config.schema import Data, FinetuneConfig
    from recommender.data.profile.profile import DataProfile
    from recommender.estimate.limits import Limits
    from recommender.estimate.types import Estimate
    from recommender.machine.facts import Device
    from recommender.memory.terms import Term
    from recommender.model.spec import ModelSpec
    from recommender.plan.types import Plan, Remedy
    from recommender.stages import Stage
    from recommender.warning import CodedWarning

STACK_HELP = "trl, hf-trainer, hf-trainer-noupcast, hf-trainer-fp32 or hf-trainer+liger."
ModelOption = Annotated[str, typer.Option("--model", "-m", metavar="M", help="Hub id, folder or catalogue name.")]
RowsOption = Annotated[int | None, typer.Option("--rows", min=1, help="Rows, when the data is not at hand.")]
TokensOption = Annotated[float | None, typer.Option("--tokens", min=1, help="Mean tokens a row, with --rows.")]
GpuOption = Annotated[str | None, typer.Option("--gpu", metavar="NAME", help="Plan for this card instead.")]
GpuMemoryOption = Annotated[str | None, typer.Option("--gpu-memory", metavar="24GiB", help="A card known by its size.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a value yourself.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("recommend")(learning()(recommend))
    app.command("estimate")(learning()(estimate))


def assignments(given: list[str] | None) -> dict[str, Any]:
    """`--set key=value` options as changes.

    Raises:
        InputError: one is not key=value, its key does not exist, or two give the same key different values.
    """
    from recommender.config.edit import parse_assignment

    changes: dict[str, Any] = {}
    for key, value in map(parse_assignment, given or []):
        if changes.setdefault(key, value) != value:
            raise InputError(f"--set gives {key} twice, with different values.", remedy="Give it once.")
    return changes


def stand_in(rows: int | None, tokens: float | None) -> DataProfile | None:
    """The profile that `--rows N --tokens T` stands for, None without them.

    Raises:
        InputError: only one of the two was given.
    """
    if rows is None and tokens is None:
        return None
    if rows is None or tokens is None:
        raise InputError("--rows and --tokens belong together.", remedy="Give both, such as --rows 50000 --tokens 200.")
    from recommender.data.profile.synthetic import synthetic_profile

    return synthetic_profile(rows, tokens)


def say_reading(names: Sequence[str]) -> None:
    """Say on stderr what is read.

    Raises:
        InputError: a name is empty.
    """
    from recommender.data.sources.files import require_name

    for name in names:
        require_name(name)
    progress_note(f"reading {', '.join(names)} …")


def profile_of(section: Data, model: ModelSpec, stage: Stage, base: Path | None) -> DataProfile:
    """Read and tokenise the data of a configuration, saying on stderr how far it is."""
    from recommender.data.load import profile_data
    from trainer.process.tokenizer import ensure_tokenizer
    from tui.commands.output.progress import DataLine

    model.require_supported()
    say_reading(section.train_paths)
    ensure_tokenizer(model)
    with DataLine(sys.stderr) as line:
        dataset = profile_data(
            section, model=model, stage=stage, base=base, on_progress=line.read, on_bytes=line.fetched
        )
    return dataset.profile


def data_section(paths: list[str], values: dict[str, Any]) -> Data:
    """The data section of a configuration for these files, with `data.*` values that the person set.

    Raises:
        InputError: a value that its key cannot take.
    """
    return data_config(paths, {key: value for key, value in values.items() if key.startswith("data.")}).data


def data_config(paths: list[str], values: dict[str, Any]) -> FinetuneConfig:
    """A configuration for these files, with the values of its data and training that the person set.

    Raises:
        InputError: a value that its key cannot take.
    """
    from recommender.config.edit import apply
    from recommender.config.schema import Data, FinetuneConfig

    named: dict[str, Any] = {key: value for key, value in values.items() if key.startswith(("data.", "training."))}
    return apply(FinetuneConfig(model="-", quantization={"bits": 4}, data=Data(train=list(paths))), named)


def recommend(
    context: typer.Context,
    model: ModelOption,
    data: Annotated[list[str] | None, typer.Option("--data", "-d", metavar="D", help="Data file or folder.")] = None,
    rows: RowsOption = None,
    tokens: TokensOption = None,
    gpu: GpuOption = None,
    gpu_memory: GpuMemoryOption = None,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="Number of GPUs.")] = 1,
    goal: Annotated[
        str, typer.Option(help="balanced, fastest, longest-context, best-quality or smallest-memory.")
    ] = "balanced",
    values: SetOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write config.yaml.")] = None,
    json: JsonFlag = False,
) -> int:
    """Recommend a configuration for a model and data.

    For this machine or for the card of --gpu, with the reason for every value.
    """
    from recommender.config.io import require_replaceable, resolve_changes, write_config
    from recommender.machine.probe import probe
    from recommender.plan.document import document
    from trainer.preflight.start_from import placed
    from tui.commands.output.plan import show_plan

    settings: Settings = context.obj
    if output:
        require_replaceable(output)
    changes = resolve_changes(placed(assignments(values), settings.runs), Path.cwd())
    if data and (rows or tokens):
        raise InputError("--data and --rows were both given.", remedy="Give the file, or its size, not both.")
    machine = probe(settings.runs)
    size = stand_in(rows, tokens)
    plan = _planned(model, target_device(machine, gpu, gpu_memory, gpus), data or [], size, goal, changes)
    if output:
        write_config(output, plan.config, {key: reason.why for key, reason in plan.reasons.items()})
    if json:
        print_json(document(plan, machine))
    else:
        show_plan(plan, settings.console())
        if output:
            progress_note(f"wrote {output}")
    return 1 if plan.estimate.fits == "no" else 0


def _planned(
    model: str, device: Device, data: list[str], size: DataProfile | None, goal: str, changes: dict[str, Any]
) -> Plan:
    """Return the plan for a model on a device.

    Args:
        model: Hub id, folder or catalogue name.
        device: What is planned for.
        data: Files; none where only the data's size is known.
        size: What stands for the data without files.
        goal: What matters most.
        changes: Dotted key to value that the person set.
    """
    from recommender.plan.recommend import recommend as make_plan
    from recommender.plan.request import as_goal
    from recommender.stages import find_stage

    chosen_goal = as_goal(goal)
    spec = read_model(model)
    there = [str(Path(path).absolute()) if path.strip() and Path(path).exists() else path for path in data]
    section = data_section(there, changes)
    profile = profile_of(section, spec, find_stage(changes.get("stage")), None) if data else size
    return make_plan(spec, device, profile, goal=chosen_goal, overrides=changes, data_config=section)


def read_config(path: Path, values: list[str] | None, runs: Path) -> FinetuneConfig:
    """Read a configuration file and apply `--set`; the file's paths are of its folder, those of `--set` of this one.

    Args:
        path: The file.
        values: `--set key=value`.
        runs: Folder of runs, among which `start_from` may name one.

    Raises:
        InputError: what is wrong with it, naming the file and the key.
    """
    from recommender.config.edit import apply, with_values
    from recommender.config.io import load_config, resolve, resolve_changes
    from trainer.preflight.start_from import placed

    config = apply(resolve(load_config(path), path.absolute().parent), resolve_changes(assignments(values), Path.cwd()))
    return with_values(config, placed({"start_from": config.start_from}, runs))


def settle_start(config: FinetuneConfig, model: ModelSpec, values: list[str] | None = None) -> FinetuneConfig:
    """The configuration with the values that its adapter settles; changes to the file's own are said on stderr.

    Raises:
        InputError: no such adapter, one of another base, or a `--set` against it.
    """
    from recommender.config.edit import value_of, with_values
    from recommender.config.io import value_text
    from recommender.plan.starting_adapter import adopted, refuse_against_start

    settled = adopted(config, model)
    refuse_against_start(config, tuple(assignments(values)), settled)
    for key, value in settled.items():
        if value_of(config, key) != value:
            progress_note(f"{key} {value_text(value)}, as the adapter has it, not {value_text(value_of(config, key))}")
    return with_values(config, settled)


TrainedOption = Annotated[
    int | None,
    typer.Option("--trained-tokens", min=1, metavar="N", help="With --trace: trained tokens of the worst batch (all)."),
]


def estimate(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="Configuration file.")],
    rows: RowsOption = None,
    tokens: TokensOption = None,
    gpu: GpuOption = None,
    gpu_memory: GpuMemoryOption = None,
    stack: Annotated[
        str | None,
        typer.Option(
            help="trl (the worker's own), hf-trainer, hf-trainer-noupcast, hf-trainer-fp32 or hf-trainer+liger."
        ),
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Trace the real model on fake tensors.")] = False,
    trained: TrainedOption = None,
    terms: Annotated[bool, typer.Option("--terms", help="Show every term of the formula.")] = False,
    values: SetOption = None,
    json: JsonFlag = False,
) -> int:
    """Estimate memory and time of a configuration, part by part; it refuses and warns as recommend does."""
    from recommender.estimate.estimate import estimate as price
    from recommender.estimate.limits import find_limits
    from recommender.machine.probe import probe
    from recommender.memory.terms import breakdown, experts_apart
    from recommender.stages import stage_of
    from tui.commands.output.plan import show_advice, show_estimate

    settings: Settings = context.obj
    if trained is not None and not trace:
        raise InputError("--trained-tokens says what a trace counts.", remedy="Give --trace with it.")
    wanted = read_config(config, values, settings.runs)
    device = target_device(probe(settings.runs), gpu, gpu_memory)
    wanted, spec = _trainable(wanted, device, values)
    profile = stand_in(rows, tokens)
    if profile is None and wanted.data.train:
        profile = profile_of(wanted.data, spec, stage_of(wanted), config.absolute().parent)
    asked = wanted, spec, device, profile
    answer = traced(*asked, stack, trained) if trace else price(*asked, stack=stack)
    warnings, remedies = advice(*asked, answer)
    limits, lines = find_limits(*asked, stack=stack), breakdown(*asked, stack=stack)
    if json:
        print_json(estimate_document(answer, warnings, remedies, limits, lines))
    else:
        console = settings.console()
        show_estimate(answer, device, console, experts_apart(*asked, stack=stack))
        show_advice(console, lines if terms else None, limits, warnings, remedies)
    return 1 if answer.fits == "no" else 0


def _trainable(config: FinetuneConfig, device: Device, values: list[str] | None) -> tuple[FinetuneConfig, ModelSpec]:
    """The configuration with what its adapter settles, and its model.

    Raises:
        InputError: no such model or adapter, or values that contradict each other, the model or the device.
    """
    from recommender.plan.checks.conflicts import refuse_untrainable

    spec = read_model(config.model, revision=config.revision)
    settled = settle_start(config, spec, values)
    refuse_untrainable(settled, spec, device)
    return settled, spec


def advice(
    config: FinetuneConfig, model: ModelSpec, device: Device, profile: DataProfile | None, answer: Estimate
) -> tuple[Sequence[CodedWarning], Sequence[Remedy]]:
    """Warnings of a plan with this configuration, and remedies where it surely does not fit."""
    from recommender.estimate.pricer import centred, pricer
    from recommender.plan.checks.warnings import warnings_of
    from recommender.plan.remedies import remedies

    # A trace, or another stack: what changes would need is as far from the formula as the answer.
    around = centred(pricer(model, device, profile), config, answer)
    offered = () if answer.fits == "yes" else remedies(config, model, device, profile, answer, price=around)
    return warnings_of(config, model, device, profile, answer, offered), offered


def estimate_document(
    answer: Estimate,
    warnings: Sequence[CodedWarning],
    remedies: Sequence[Remedy],
    limits: Limits,
    terms: Sequence[Term],
) -> dict[str, Any]:
    """The document of `estimate --json` (docs/architecture.md)."""
    from recommender.plan.document import remedy_document
    from recommender.warning import findings, texts

    return {
        **answer.document(),
        "warnings": texts(warnings),
        "findings": findings(answer.notes, warnings),
        "remedies": [remedy_document(remedy) for remedy in remedies],
        "limits": limits.document(),
        "terms": [{"part": term.part, "name": term.name, "bytes": term.nbytes} for term in terms],
    }


def traced(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    profile: DataProfile | None,
    stack: str | None,
    trained_tokens: int | None = None,
) -> Estimate:
    """Estimate by a trace, with a line of its progress on stderr; ctrl+c ends its process."""
    from trainer.trace.ask import trace
    from tui.commands.output.progress import share_line

    with share_line(sys.stderr) as progress:
        return trace(config, model, device, profile, stack=stack, trained_tokens=trained_tokens, progress=progress)
