"""Step 1: the machine, the device that is planned for, and its free memory as it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from presets.errors import WizardError
from tui.terminal.sanitize import clean
from tui.terminal.task import Task
from tui.widgets.top_bar import Step
from tui.wizard.draft import History

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recommender.machine.facts import Device, Gpu, Machine
    from tui.wizard.state import Changes
    from tui.wizard.steps.store import Store

POLL_SECONDS = 2.0
"""Seconds between two looks at free memory."""


class MachineStep:
    """Reads the machine, and takes the device that a person chooses into the draft."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._polling = Task(store.app, "poll")
        self._follows_memory = True

    def look(self) -> None:
        """Look at the machine."""
        self._follows_memory = True
        self._store.start(Step.MACHINE, "looking at this machine", lambda _run: self._look(), self._looked)

    def _look(self) -> tuple[Machine, Device]:
        machine = self._store.services.probe()
        return machine, _same_device(machine, self._store.state.device)

    def _looked(self, found: tuple[Machine, Device]) -> Changes:
        machine, device = found
        state = self._store.state
        changes: Changes = {"machine": machine, "gpus_now": machine.gpus}
        if not device.simulated:
            changes["free_now"] = device.free_bytes
        if device == state.device:
            return changes
        # The same choice with what is free now: edits are taken back as before.
        return {**changes, **self._store.following(replace(state.draft, device=device), state.history)}

    def choose_gpu(self, gpu: Gpu | None) -> None:
        """Plan for this GPU, or for the CPU when None."""
        from recommender.machine.devices import device_for_cpu, device_for_gpu

        state = self._store.state
        if state.machine is None:
            return
        try:
            self.choose(device_for_cpu(state.machine) if gpu is None else device_for_gpu(gpu, state.machine))
        except WizardError as error:
            self._store.set(errors=state.errors_with(error, Step.MACHINE))

    def choose(self, device: Device) -> None:
        """Plan for this device from now on."""
        state = self._store.state
        self._store.set(
            free_now=None if device.simulated else device.free_bytes,
            errors=state.errors_with(None, Step.MACHINE, Step.PLAN),
        )
        if device == state.device:
            self._store.derive()
        else:
            self._store.change(replace(state.draft, device=device), History())

    def poll(self) -> None:
        """Look at free memory, in a thread; left out while the last look has not ended."""
        if self._follows_memory and not self._polling.running and self._store.state.machine is not None:
            self._polling.start(lambda _run: self._poll(), self._polled, self._not_polled)

    def _poll(self) -> tuple[tuple[Gpu, ...], int | None]:
        services, state = self._store.services, self._store.state
        gpus: Sequence[Gpu] = services.poll_gpus()[0] if state.machine and state.machine.gpus else ()
        device = state.device
        shares = device is not None and (device.kind == "cpu" or device.unified_memory)
        return tuple(gpus), services.free_ram() if shares else _free(gpus, device)

    def _polled(self, found: tuple[tuple[Gpu, ...], int | None]) -> None:
        gpus, free = found
        state = self._store.state
        if state.device is None or state.device.simulated:
            free = None
        if gpus != state.gpus_now or free != state.free_now:
            self._store.set(gpus_now=gpus, free_now=free)

    def _not_polled(self, error: WizardError) -> None:
        """Say it once, and look no more until the machine is looked at again; what is shown as free grows old."""
        self._follows_memory = False
        self._store.app.notify(
            clean(f"Free memory is not followed any more (f5 looks again): {error.message}"),
            severity="error",
            timeout=10,
            markup=False,
        )


def _same_device(machine: Machine, old: Device | None) -> Device:
    """The chosen device as it is now; the default one where none was chosen or it is gone."""
    from recommender.machine.devices import default_device, device_for_cpu, device_for_gpu

    if old is not None and old.simulated:
        return old
    same = [gpu for gpu in machine.gpus if old is not None and gpu.uuid == old.uuid and not gpu.problem]
    if same:
        return device_for_gpu(same[0], machine)
    return device_for_cpu(machine) if old is not None and old.kind == "cpu" else default_device(machine)


def _free(gpus: Sequence[Gpu], device: Device | None) -> int | None:
    """Bytes free on the device now; what it had when it cannot be asked."""
    if device is None:
        return None
    for gpu in gpus:
        if gpu.uuid == device.uuid and gpu.memory_free is not None:
            return gpu.memory_free
    return device.free_bytes
