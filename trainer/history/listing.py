"""The list of all runs of a folder, and the search for one by its typed name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from presets.errors import InputError
from recommender.paths import expanded
from trainer.history.tail import last_lines
from trainer.run.events import SILENCE_SECONDS
from trainer.run.folder import RunFolder, found_folder, is_run
from trainer.run.identity import boot_id
from trainer.run.state import RunState, fold, read_state

NO_RUN: Final = "it holds no state.json with the record that a run begins"
"""The clause for a folder that is no run."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of the list of runs."""

    id: str
    path: Path
    status: str
    """As state.json says, 'failed' when the processes are gone without having said so."""
    step: int
    total_steps: int | None
    loss: float | None
    eval_loss: float | None
    supervisor_pid: int | None
    worker_pid: int | None
    started: float | None
    heartbeat: float | None
    reason: str | None
    world_size: int | None = None
    strategy: str | None = None
    nodes: int = 1
    job: Mapping[str, Any] | None = None
    alive: bool = False

    def document(self) -> dict[str, Any]:
        """The JSON form of `runs --json`."""
        return asdict(self) | {"path": str(self.path), "model": _model_of(RunFolder(self.path))}


def _model_of(folder: RunFolder) -> str:
    """The model that a run's configuration names; empty where it cannot be read."""
    import yaml

    now = folder.effective_config if folder.effective_config.exists() else folder.config
    try:
        raw = yaml.safe_load(now.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return ""
    return str(raw.get("model") or "") if isinstance(raw, dict) else ""


def is_alive(state: RunState) -> bool:
    """Whether the supervisor or the worker of this state still runs."""
    return any(process is not None and process.alive() for process in (state.supervisor, state.worker))


def may_run_elsewhere(state: RunState, clock: Callable[[], float] = time.time) -> bool:
    """Whether a run with no process here had a heartbeat a moment ago, and so may run on another machine.

    A folder of runs may be shared by machines; and between a run's folder and its supervisor lies a moment.
    """
    if state.ended or state.heartbeat is None or clock() - state.heartbeat > SILENCE_SECONDS:
        return False
    known = [process for process in (state.supervisor, state.worker) if process is not None]
    return all(process.boot != boot_id() for process in known)


def summarise(path: Path, clock: Callable[[], float] = time.time) -> RunSummary:
    """The summary of one run folder."""
    state = read_state(RunFolder(path))
    alive = is_alive(state)
    if not alive and not state.ended:
        # Its supervisor may have died before the worker ended well: then the record knows more than the state.
        state = _with_last_words(state, RunFolder(path))
    silent = state.heartbeat is not None and clock() - state.heartbeat > SILENCE_SECONDS
    died = not state.ended and not alive and silent
    return RunSummary(
        id=path.name,
        path=path,
        status="failed" if died else state.status,
        step=state.step,
        total_steps=state.total_steps,
        loss=state.loss,
        eval_loss=state.eval_loss,
        supervisor_pid=state.supervisor.pid if state.supervisor else None,
        worker_pid=state.worker.pid if state.worker else None,
        started=state.started,
        heartbeat=state.heartbeat,
        reason="its processes are gone; the log has their last lines" if died else state.reason,
        world_size=state.world_size,
        strategy=state.strategy,
        nodes=state.nodes,
        job=state.job,
        alive=alive,
    )


def _with_last_words(state: RunState, folder: RunFolder) -> RunState:
    for line in last_lines(folder.events, 20):
        with suppress(ValueError):
            if isinstance(document := json.loads(line), dict):
                state = fold(state, document) if document.get("kind") in {"step", "eval", "end"} else state
    return state


def list_runs(runs: Path) -> tuple[RunSummary, ...]:
    """Every run, newest first.

    Raises:
        InputError: The folder cannot be read, or is no folder.
    """
    try:
        folders = [path for path in runs.iterdir() if is_run(path)]
    except FileNotFoundError:
        return ()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"The folder of runs {runs} cannot be read: {reason}.", remedy="Give another folder with --runs."
        ) from None
    summaries = [summarise(path) for path in folders]
    return tuple(sorted(summaries, key=lambda run: (run.started or 0.0, run.id), reverse=True))


def find_run(runs: Path, wanted: str | None) -> Path:
    """The run that a name stands for.

    Args:
        runs: Folder of runs.
        wanted: A run's id, the start or a part of one, its folder, or None (or 'latest') for the newest.

    Raises:
        InputError: There is none, or several match.
    """
    typed = expanded(wanted or "")
    if wanted and is_run(typed):
        return typed.absolute()
    found = list_runs(runs)
    if not found:
        raise InputError(f"There are no runs in {runs}.", remedy="`lora-wizard train CONFIG` starts one.")
    if wanted in (None, "latest"):
        return found[0].path
    exact = [run.path for run in found if run.id == wanted]
    matching = exact or [run.path for run in found if str(wanted) in run.id]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(path.name for path in matching[:5]) or ", ".join(run.id for run in found[:5])
    what = f"{'Several runs match' if matching else 'No run matches'} '{wanted}'"
    if not matching and found_folder(typed):
        what = f"{wanted} is a folder, but not a run's: {NO_RUN}"
    raise InputError(f"{what}.", remedy=f"{'They are' if matching else 'The newest are'}: {names}.")
