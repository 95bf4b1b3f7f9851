"""Launch of a run from a configuration, and its resumption from the last checkpoint."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from presets.errors import InputError, NoError
from trainer.history.listing import may_run_elsewhere
from trainer.process.consent import require_consent, write_run_consent
from trainer.process.device_lock import busy, device_holder
from trainer.process.environment import module_command
from trainer.process.recovery import HARMLESS
from trainer.process.stopping import wait_for_end
from trainer.process.strategy import devices_of, strategy_for
from trainer.run.adapter import has_weights
from trainer.run.checkpoints import complete_checkpoints
from trainer.run.folder import RunFolder, append_event, create, run_id, write_atomically
from trainer.run.plan_file import read_device, read_devices
from trainer.run.state import RunState, read_state, write_state

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.machine.facts import Device
    from recommender.model.spec import ModelSpec

MOVED: Final = frozenset({"data.train", "data.eval", "data.template"})
"""Keys that may name a new place of the same rows: the worker compares rows and tokens with those at the start."""
CHANGEABLE: Final = HARMLESS | MOVED | {"training.learning_rate", "training.max_grad_norm"}
"""Keys that may change from a checkpoint on, beside those under run."""
START_SECONDS = 20.0
"""The time limit for a supervisor's first state."""


def launch(
    config: FinetuneConfig,
    *,
    plan_document: Mapping[str, Any],
    device: Device,
    runs: Path,
    allow_busy: bool = False,
    allow_on_end: bool = False,
) -> Path:
    """Make the run folder and start its supervisor.

    Args:
        config: What to train; its paths absolute.
        plan_document: Estimate and reasons, kept as plan.json.
        device: What to train on.
        runs: Folder of runs.
        allow_busy: Start although another run has the device.
        allow_on_end: Whether somebody agreed to run.on_end just now.

    Returns:
        The run's folder.

    Raises:
        InputError: Values that cannot be trained, a simulated device, a busy one, a command that nobody agreed to, a
            folder that cannot be written, or a disk too full.
        NoError: The supervisor did not come up.
    """
    from recommender.model.reader import read_model
    from trainer.preflight.gate import require_trainable

    _refuse_simulated(device)
    require_consent(config.run.on_end, allowed=allow_on_end)
    require_trainable(config, read_model(config.model, revision=config.revision), device)
    devices = devices_of(config, device)
    device = device if device in devices else min(devices, key=lambda each: each.free_bytes)
    if not allow_busy and (other := next(filter(None, map(device_holder, devices)), None)):
        raise busy(other)
    data = config.data.train_paths[0] if config.data.train else None
    folder = create(runs, run_id(config.model, data, name=config.run.name))
    try:
        _require_disk_space(folder.path, plan_document)
        plan = {**plan_document, "device": asdict(device)}
        if len(devices) > 1:
            plan["devices"] = [asdict(each) for each in devices]
        _fill(folder, config, plan)
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    _start_supervisor(folder, device, allow_busy=allow_busy)
    return folder.path


def _refuse_simulated(device: Device) -> None:
    if device.simulated:
        raise InputError(
            f"{device.name} is simulated: training cannot be started on it.",
            remedy="Write the configuration (-o config.yaml) and train it on a machine that has the card.",
        )


def _fill(folder: RunFolder, config: FinetuneConfig, plan: Mapping[str, Any]) -> None:
    """Write the files of a run that has not begun."""
    from recommender.config.io import dump_config

    text = dump_config(config)
    write_atomically(folder.config, text)
    write_atomically(folder.effective_config, text)
    write_atomically(folder.plan, json.dumps(plan, default=str, allow_nan=False))
    write_run_consent(folder, config.run.on_end)
    write_state(folder, RunState(started=time.time(), heartbeat=time.time()))


def resume_run(
    path: Path,
    *,
    allow_busy: bool = False,
    allow_on_end: bool = False,
    changes: Mapping[str, Any] | None = None,
    allow_changed_base: bool = False,
    log: Callable[[str], None] = lambda _text: None,
) -> Path:
    """Continue a run from its last whole checkpoint, or from the beginning where it had not come to one.

    Args:
        path: The run's folder.
        allow_busy: Start although another run has the device.
        allow_on_end: Whether somebody agreed to run.on_end just now.
        changes: Dotted key to a value that holds from now on; `model` is where its base lies now.
        allow_changed_base: Go on over a base that is not the one that it began with.
        log: Told that a run which was asked to stop is waited for.

    Raises:
        InputError: It is running, has finished, its device is busy or gone, its base is not there or another one, a
            change does not go with what was trained so far, or nobody agreed to its command.
    """
    from recommender.config.io import load_config
    from trainer.preflight.gate import require_trainable

    folder = RunFolder(path)
    state = _ended_state(folder, log)
    if state.status == "finished" and has_weights(folder.adapter):
        raise _finished(folder, changes or {})
    device = read_device(folder)
    if not allow_busy and (other := next(filter(None, map(device_holder, read_devices(folder, device))), None)):
        raise busy(other)
    wanted = dict(changes or {})
    moved = wanted.pop("model", None)
    config = load_config(folder.effective_config)
    changed = _changed(config, wanted) if wanted else config
    require_consent(changed.run.on_end, folder, allowed=allow_on_end)
    base = _hold_base(folder, moved, allow_changed=allow_changed_base)
    if wanted:
        require_trainable(changed, base, device)
    write_run_consent(folder, changed.run.on_end)
    if wanted:
        _write_down(folder, config, changed, wanted)
    if moved is not None:
        _move_base(folder, moved)
    write_state(folder, replace(state, status="starting", reason=None, exit_code=None, signal=None))
    _start_supervisor(folder, device, allow_busy=allow_busy, resume=True)
    return path


def _ended_state(folder: RunFolder, log: Callable[[str], None]) -> RunState:
    """Return the state of a run once it has ended.

    Raises:
        InputError: It goes on, here or on another machine.
    """
    state = wait_for_end(folder, log)
    if may_run_elsewhere(state):
        raise InputError(
            f"{folder.id} had a heartbeat a moment ago, and none of its processes is on this machine.",
            remedy="It runs on another machine, or is being started; if that one is gone, try again in half a minute.",
        )
    return state


def _changed(config: FinetuneConfig, changes: Mapping[str, Any]) -> FinetuneConfig:
    """The configuration of a resumed run; the order of rows and the trained weights stay as they were."""
    from recommender.config.edit import apply
    from recommender.config.io import resolve

    if wrong := next((key for key in changes if key not in CHANGEABLE and not key.startswith("run.")), None):
        raise InputError(
            f"{wrong} cannot be changed in the middle of a run.",
            remedy=f"These can: {', '.join(sorted(CHANGEABLE))}, and what is under run. Anything else is a new run.",
        )
    # The worker has a folder of its own: paths are whole.
    changed = resolve(apply(config, dict(changes)), Path.cwd())
    if changed.training.effective_batch_size != config.training.effective_batch_size:
        raise InputError(
            f"The effective batch size would be {changed.training.effective_batch_size} instead of "
            f"{config.training.effective_batch_size}, and other rows would come next.",
            remedy="Change per_device_train_batch_size and gradient_accumulation_steps together.",
        )
    return changed


def _write_down(folder: RunFolder, config: FinetuneConfig, changed: FinetuneConfig, changes: Mapping[str, Any]) -> None:
    """Write the changed configuration as the effective one, and record the changes."""
    from recommender.config.edit import value_of
    from recommender.config.io import dump_config

    write_atomically(folder.effective_config, dump_config(changed))
    before, after = ({key: value_of(each, key) for key in changes} for each in (config, changed))
    append_event(folder, "recovery", before=before, after=after, why="it was asked for")


def _finished(folder: RunFolder, changes: Mapping[str, Any]) -> InputError:
    """The error for resuming a finished run, with the ways to train on."""
    from recommender.config.io import load_config

    if load_config(folder.effective_config).method == "full":
        return InputError(f"{folder.id} has finished.", remedy=f"Its model is in {folder.adapter}: train on that.")
    from trainer.preflight.start_from import how_to_go_on

    return InputError(
        f"{folder.id} has finished; its adapter is in {folder.adapter}.",
        remedy=f"To train on from it, as a run of its own: {how_to_go_on(folder, changes)} (other rows: --set "
        "data.train=FILE).",
    )


def _hold_base(folder: RunFolder, moved: str | None, *, allow_changed: bool) -> ModelSpec:
    """The base to resume over, which must be the run's if anything has been trained over it.

    Weights that are not here yet are held to it by the worker, once they have been downloaded.
    """
    from recommender.config.io import load_config
    from trainer.run.base_model import base_warning, check_base, find_base, write_base

    spec = find_base(folder, load_config(folder.effective_config), moved)
    if moved is not None and not spec.has_weights:
        raise InputError(f"{moved} has no safetensors weights.", remedy="Name the folder that has them.")
    if complete_checkpoints(folder) and check_base(folder, spec, allow_changed=allow_changed) == "changed":
        write_base(folder, spec)
        append_event(folder, "warning", message=base_warning(folder, "changed"))
    return spec


def _move_base(folder: RunFolder, place: str) -> None:
    """Point a run's configuration to the base's new place."""
    from recommender.config.edit import with_values
    from recommender.config.io import dump_config, load_config
    from trainer.run.base_model import place_of

    config, now = load_config(folder.effective_config), place_of(place)
    trusted = config.trust_remote_code and now
    moved = with_values(config, {"model": now, "revision": None, "trust_remote_code": trusted})
    write_atomically(folder.effective_config, dump_config(moved))
    append_event(folder, "recovery", before={"model": config.model}, after={"model": now}, why="it was asked for")


def _require_disk_space(path: Path, plan: Mapping[str, Any]) -> None:
    """Refuse to start when the disk has no space for a single checkpoint."""
    needed = int(plan.get("estimate", {}).get("checkpoint_bytes") or 0)
    free = shutil.disk_usage(path).free
    if free < needed:
        from recommender.units import gib

        raise InputError(
            f"The disk of {path.parent} has {gib(free)} free and one checkpoint needs {gib(needed)}.",
            remedy="Free some room, or choose another folder with --runs.",
        )


def logout_scope(root: Path = Path("/")) -> list[str]:
    """Command prefix (`systemd-run --scope …`) that lets a process survive a logout; empty where setsid is enough.

    Where logind ends a user's processes, a scope of the user's manager is spared if that manager lingers
    (logind.conf(5), KillUserProcesses); `--scope` executes the command in systemd-run's own process. Without lingering
    the Machine screen tells the person, with the remedy.
    """
    from recommender.machine.host.logind import kills_at_logout

    if not kills_at_logout(root) or shutil.which("systemd-run") is None:
        return []
    lingers = (root / "var/lib/systemd/linger" / getpass.getuser()).exists()
    return ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"] if lingers else []


def _start_supervisor(folder: RunFolder, device: Device, *, allow_busy: bool, resume: bool = False) -> None:
    """Start it in a session of its own, without a terminal, and wait until it has written its state."""
    options = [*(["--resume"] if resume else []), *(["--allow-busy"] if allow_busy else [])]
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            [*logout_scope(), *module_command("trainer.process.supervisor", str(folder.path), *options)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=strategy_for(folder, device).supervisor_environment(device),
            cwd=folder.path,
            start_new_session=True,
        )
    folder.log.chmod(0o600)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        state = read_state(folder)
        if state.supervisor is not None and state.supervisor.pid == process.pid:
            return
        if process.poll() is not None:
            raise NoError(state.reason or "The run's supervisor ended at once.", remedy=f"{folder.log} says why.")
        # The supervisor needs a third of a second to import and answer; looking is cheap.
        time.sleep(0.05)
    raise NoError("The run's supervisor did not come up.", remedy=f"{folder.log} may say why.")
