"""Trials: short trainings on the same rows with different values, ranked by held-out loss.

Each trial is an ordinary run in the folder of runs, named after what it tries. A trial that is there already is not
trained again: an interrupted one is resumed, so the command can be stopped and given again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.errors import InputError
from recommender.units import counted
from trainer.history.listing import is_alive
from trainer.history.reader import RunReader, Snapshot
from trainer.process.launch import launch, resume_run
from trainer.run.commands import request
from trainer.run.folder import RunFolder, is_run
from trainer.run.state import read_state

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.data.profile.profile import DataProfile
    from recommender.machine.facts import Device

MOST = 32
"""Trials beyond which a list of values is likely to be a slip."""
LOOK_SECONDS = 0.2
_LENGTH = "--steps sets the length."
_SAME_ROWS = "It decides what the held-out loss is taken over; compare two data sets by two runs."
_FIXED: Mapping[str, str] = {
    "training.max_steps": _LENGTH,
    "training.num_train_epochs": _LENGTH,
    "run.name": "Each trial has its own.",
    "run.eval_steps": "Each trial is evaluated before and after.",
    "run.save_steps": "Trials are saved halfway and at the end.",
    "model": "Losses of two models are over different tokens.",
    "training.seed": "It also draws the held-out rows.",
    "training.per_device_train_batch_size": "Held-out loss is a mean over micro-batches of this size: vary "
    "training.gradient_accumulation_steps, which makes the effective batch.",
    **dict.fromkeys(
        (
            "data.train", "data.eval", "data.eval_fraction", "data.format", "data.template", "data.columns",
            "data.max_length", "data.allow_cut_rows", "data.train_on", "data.skip_bad_rows",
            "data.chat_template_kwargs", "data.reasoning", "data.answers",
        ),
        _SAME_ROWS,
    ),
}  # fmt: skip
"""Keys that would make held-out losses incomparable, or that this command sets itself, and why."""

PlanDocument = Callable[["FinetuneConfig"], Mapping[str, Any]]
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of values and its short run."""

    values: Mapping[str, Any]
    """Dotted key to the value that is tried."""
    config: FinetuneConfig


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The result of one trial."""

    values: Mapping[str, Any]
    run: Path
    status: str
    eval_loss: float | None
    """Held-out loss after the last step, nats a token; None when it did not get there."""
    first_eval_loss: float | None
    """Held-out loss before training."""
    seconds: float | None
    """Training time."""
    reason: str

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "values": dict(self.values),
            "run": str(self.run),
            "status": self.status,
            "eval_loss": self.eval_loss,
            "first_eval_loss": self.first_eval_loss,
            "seconds": self.seconds,
            "reason": self.reason,
        }


def settled(config: FinetuneConfig, choices: Sequence[str]) -> tuple[FinetuneConfig, list[str]]:
    """The configuration with what is said of its rows, and the choices that are left to compare.

    How rows are read is the same for every trial, so one value of it is no comparison but an answer.

    Raises:
        InputError: An unknown key or value.
    """
    from recommender.config.edit import apply, parse_assignment

    said, left = {}, []
    for text in choices:
        # Several lists or mappings are no YAML of one value: each is read by itself, in `trials`.
        key, value = parse_assignment(text) if len(list(_split(text.partition("=")[2]))) == 1 else ("", None)
        if _FIXED.get(key) == _SAME_ROWS:
            said[key] = value
        else:
            left.append(text)
    return apply(config, said), left


def trials(config: FinetuneConfig, choices: Sequence[str], steps: int) -> tuple[Trial, ...]:
    """Every combination of the values, each as a short training.

    Args:
        config: What would be trained.
        choices: Such as 'training.learning_rate=1e-4,3e-4'; with several, every combination. Empty: the configuration's
            learning rate, and one to each side of it.
        steps: Optimizer steps of each trial.

    Raises:
        InputError: Nothing to compare, too much, an unknown key or value, or nothing held out.
    """
    from recommender.config.edit import apply

    if config.data.eval is None and config.data.eval_fraction <= 0:
        raise InputError(
            "Nothing is held out, so trials cannot be ranked.", remedy="Set data.eval_fraction, or data.eval."
        )
    from recommender.rules.rate import to_try

    rates = to_try(config.training.learning_rate)
    lists = dict(_choice(text) for text in choices) or {"training.learning_rate": list(rates)}
    found = tuple(dict(zip(lists, values, strict=True)) for values in product(*lists.values()))
    if len(found) < 2:
        raise InputError(
            "There is nothing to compare.",
            remedy="Give at least two values: --set training.learning_rate=1e-4,3e-4",
        )
    if len(found) > MOST:
        raise InputError(f"That is {len(found)} trials; at most {MOST} are run.", remedy="Give fewer values.")
    return tuple(_trial(apply(config, values), values, steps) for values in found)


def require_held_out(config: FinetuneConfig, profile: DataProfile) -> None:
    """Refuse rows of which none can be held out: copies of a row stay on one side.

    Raises:
        InputError: every trial would end without a loss to rank it by.
    """
    if config.data.eval is None and not profile.held_out_by_split(config.data.eval_fraction, config.training.seed):
        raise InputError(
            f"None of {counted(profile.rows, 'row')} can be held out at data.eval_fraction "
            f"{config.data.eval_fraction:g}, so trials cannot be ranked.",
            remedy="Give other rows as data.eval, or a larger data.eval_fraction.",
        )


def _choice(text: str) -> tuple[str, list[Any]]:
    from recommender.config.edit import parse_assignment

    name, equals, values = text.partition("=")
    if not equals:
        raise InputError(f"--set {text} is not key=value,value.", remedy="--set training.learning_rate=1e-4,3e-4")
    parsed = [parse_assignment(f"{name}={value.strip()}") for value in _split(values)]
    key = parsed[0][0]
    if key in _FIXED:
        raise InputError(f"{key} cannot be tried: the losses would not compare.", remedy=_FIXED[key])
    return key, [value for _, value in parsed]


def _split(values: str) -> Iterator[str]:
    """Split at commas outside of brackets: a list is one value."""
    depth, start = 0, 0
    for index, letter in enumerate(values):
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            yield values[start:index]
            start = index + 1
    yield values[start:]


def _trial(config: FinetuneConfig, values: Mapping[str, Any], steps: int) -> Trial:
    from recommender.config.edit import value_of, with_values

    short = {
        "training.max_steps": steps,
        "run.eval_steps": steps,
        "run.save_steps": max(1, steps // 2),
        "run.save_total_limit": 1,
        "run.on_end": None,
        "run.name": None,
    }
    trial = with_values(config, short)
    digest = sha256(trial.model_dump_json().encode()).hexdigest()[:10]
    trial = with_values(trial, {"run.name": f"try-{digest}"})
    return Trial({key: value_of(trial, key) for key in values}, trial)


def run_trials(
    wanted: Sequence[Trial], *, runs: Path, device: Device, plan: PlanDocument, log: Log
) -> list[TrialResult]:
    """Train one after the other, or take what is there, and rank them.

    Args:
        wanted: The trials.
        runs: Folder of runs.
        device: What to train on.
        plan: The plan document that a run keeps.
        log: Told what happens, a line at a time.

    Returns:
        The results, least held-out loss first; those without one last.

    Raises:
        InputError: a run cannot be started. KeyboardInterrupt: after the run under way was asked to stop.
    """
    results = []
    for number, trial in enumerate(wanted, 1):
        log(f"{number} of {len(wanted)}: {shown(trial.values)}")
        path = _begin(trial, runs, device, plan, log)
        result = _result(trial, _wait(path))
        log(f"  {sentence(result)}")
        results.append(result)
    return sorted(results, key=lambda one: (one.eval_loss is None, one.eval_loss or 0.0))


def _begin(trial: Trial, runs: Path, device: Device, plan: PlanDocument, log: Log) -> Path:
    found = find(trial, runs)
    if found is None:
        return launch(trial.config, plan_document=plan(trial.config), device=device, runs=runs)
    state = read_state(RunFolder(found))
    if is_alive(state):
        log(f"  under way already: {found.name}")
    elif state.status == "finished":
        log(f"  done already: {found.name}")
    else:
        log(f"  resumed: {found.name}")
        resume_run(found)
    return found


def find(trial: Trial, runs: Path) -> Path | None:
    """The run of this trial, if there is one: the same configuration to the letter."""
    from recommender.config.io import dump_config

    text = dump_config(trial.config)
    for path in sorted(runs.glob(f"*{trial.config.run.name}*"), reverse=True):
        folder = RunFolder(path)
        if is_run(path) and folder.config.is_file() and folder.config.read_text(encoding="utf-8") == text:
            return path
    return None


def _wait(path: Path) -> Snapshot:
    reader = RunReader(path)
    try:
        while True:
            shot = reader.poll()
            if shot.died or (shot.state.ended and not shot.alive):
                return shot
            # A reader of the folder has nothing else to wait on: the worker writes when it has something to say.
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        request(path, "stop")
        raise


def _result(trial: Trial, shot: Snapshot) -> TrialResult:
    steps = trial.config.training.max_steps
    losses = {point.step: point.eval_loss for point in shot.evals}
    seconds = sum(point.step_seconds or 0.0 for point in shot.steps)
    return TrialResult(
        values=trial.values,
        run=shot.path,
        status=shot.status,
        eval_loss=losses.get(steps or 0) if shot.status == "finished" else None,
        first_eval_loss=losses.get(0),
        seconds=seconds or None,
        reason=shot.died or shot.state.reason or "",
    )


def shown(values: Mapping[str, Any]) -> str:
    """Values as people read them: 'learning_rate 1.0e-4, r 16'."""
    from recommender.config.io import value_text

    return ", ".join(f"{key.rpartition('.')[2]} {value_text(value)}" for key, value in values.items())


def sentence(result: TrialResult) -> str:
    """The result in words."""
    if result.eval_loss is None:
        return f"{result.status}: {result.reason}" if result.reason else result.status
    before = f", {result.first_eval_loss:.4f} before training" if result.first_eval_loss is not None else ""
    return f"held-out loss {result.eval_loss:.4f}{before}"
