"""Recomputes derived state: a change of GPU, model or data discards the plan that rests on it and works out another.

All of it is done in threads (`tui.wizard.work`), so no key waits.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.errors import InputError, WizardError
from recommender.paths import expanded
from tui.terminal.sanitize import clean
from tui.terminal.task import Task
from tui.widgets.top_bar import Step
from tui.wizard.code_question import TRUST, asks_first, without_other_code
from tui.wizard.planning import Planning
from tui.wizard.reading import out_voted

if TYPE_CHECKING:
    from recommender.machine.facts import Device, Gpu, Machine
    from tui.wizard.flow_host import FlowHost
    from tui.wizard.state import Changes
    from tui.wizard.work import StepRun

POLL_SECONDS = 2.0
"""Seconds between two looks at free memory."""


class Flow(Planning):
    """Keeps the wizard's state true to what the person chose.

    Attributes:
        app: Whose state.
    """

    def __init__(self, app: FlowHost) -> None:
        super().__init__(app)
        self._polling = Task(app, "poll")
        self._follows_memory = True

    def done(self, step: Step, changes: Changes, error: WizardError | None) -> None:
        """Take over what a step's work found, or why it failed, and go on from there."""
        # With a model that was read the rows are read anew, by its tokenizer and template.
        answered = (step, Step.DATA) if step is Step.MODEL and error is None else (step,)
        working, errors = self.state.working_with(step, None), self.state.errors_with(error, *answered)
        model = changes.get("model")
        if step is Step.MODEL and model is not None and asks_first(model, changes["model_name"], self.state.overrides):
            self.set(working=working, errors=errors)
            self.app.ask_about_code(model, lambda yes: self._take_code(yes, changes))
            return
        before = self.state.plan
        ended: Changes = {**changes, "working": working, "errors": errors}
        self.set(**ended)
        if step is Step.PLAN:
            self._planned(before, error)
        # Rows, vocabularies and modules stay: going through them again and again held a key up for 60 ms now and then.
        gc.collect()
        gc.freeze()
        self.advance()

    def _take_code(self, yes: bool | None, found: Changes) -> None:
        """Go on with a model whose own code was agreed to; without the yes, it is not chosen."""
        name = found["model_name"]
        if yes:
            agreed: Changes = {**found, "overrides": {**found["overrides"], TRUST: name}}
            self.set(**agreed)
            self.advance()
        else:
            error = InputError(
                f"{name} was not chosen: it cannot be trained without its own code.",
                remedy="Choose a model whose architecture Transformers has, or choose it again and agree.",
            )
            self.set(errors=self.state.errors_with(error, Step.MODEL))

    def advance(self) -> None:
        """Do what can be done now and is wanted: tokenise the data for the model, plan when the plan is looked at."""
        state = self.state
        if {Step.MODEL, Step.DATA} & set(state.working):
            return
        # Where the model failed the rows are read without its tokenizer: what is wrong with them is told at once.
        tried = state.model is not None or Step.MODEL in state.errors
        if tried and state.data.get("train") and state.dataset is None and Step.DATA not in state.errors:
            self.profile()
        elif self.app.at is Step.PLAN and not state.failed:
            self.plan_if_needed()

    # Machine

    def look(self) -> None:
        """Look at the machine."""
        self._follows_memory = True
        self.start(Step.MACHINE, "looking at this machine", self._look)

    def _look(self, _run: StepRun) -> Changes:
        machine = self.app.services.probe()
        return {"machine": machine, "gpus_now": machine.gpus, **self._kept_device(machine)}

    def _kept_device(self, machine: Machine) -> Changes:
        """The chosen device as it is now; the wizard's own choice where none was chosen."""
        from recommender.machine.devices import default_device, device_for_cpu, device_for_gpu

        old = self.state.device
        if old is not None and old.simulated:
            return {}
        same = [gpu for gpu in machine.gpus if old is not None and gpu.uuid == old.uuid and not gpu.problem]
        if same:
            device = device_for_gpu(same[0], machine)
        elif old is not None and old.kind == "cpu":
            device = device_for_cpu(machine)
        else:
            device = default_device(machine)
        return {"device": device, "free_now": device.free_bytes}

    def choose_gpu(self, gpu: Gpu | None) -> None:
        """Plan for this GPU, or for the CPU when None."""
        from recommender.machine.devices import device_for_cpu, device_for_gpu

        machine = self.state.machine
        if machine is None:
            return
        try:
            self.choose_device(device_for_cpu(machine) if gpu is None else device_for_gpu(gpu, machine))
        except WizardError as error:
            self.set(errors=self.state.errors_with(error, Step.MACHINE))

    def choose_device(self, device: Device) -> None:
        """Plan for this device from now on."""
        errors = self.state.errors_with(None, Step.MACHINE, Step.PLAN)
        self.set(device=device, free_now=None if device.simulated else device.free_bytes, errors=errors)
        self.advance()

    def poll(self) -> None:
        """Look at free memory, in a thread; left out while the last look has not ended."""
        if self._follows_memory and not self._polling.running and self.state.machine is not None:
            self._polling.start(lambda _run: self._poll(), self._polled, self._poll_failed)

    def _poll(self) -> tuple[tuple[Gpu, ...], int | None]:
        services = self.app.services
        gpus: Sequence[Gpu] = services.poll_gpus()[0] if self.state.machine and self.state.machine.gpus else ()
        device = self.state.device
        shares = device is not None and (device.kind == "cpu" or device.unified_memory)
        free = services.free_ram() if shares else _free(gpus, device)
        return tuple(gpus), free

    def _poll_failed(self, error: WizardError) -> None:
        """Say it once, and look no more until the machine is looked at again; what is shown as free grows old."""
        self._follows_memory = False
        self.app.notify(
            clean(f"Free memory is not followed any more (f5 looks again): {error.message}"),
            severity="error",
            timeout=10,
            markup=False,
        )

    def _polled(self, found: tuple[tuple[Gpu, ...], int | None]) -> None:
        gpus, free = found
        if self.state.device is None or self.state.device.simulated:
            free = None
        if gpus != self.state.gpus_now or free != self.state.free_now:
            self.set(gpus_now=gpus, free_now=free)

    # Model and data

    def choose_model(self, name: str) -> None:
        """Read a model, and make data and plan anew for it."""

        def work(_run: StepRun) -> Changes:
            model = self.app.services.read_model(name)
            if model.unsupported:
                raise InputError(f"{name} cannot be used: {model.unsupported}", remedy="Choose another model.")
            return {
                "model": model,
                "model_name": name,
                "overrides": without_other_code(self.state.overrides, name),
                "dataset": None,
                "first_look": None,
                "plan": None,
                "preset": "",
                "preset_values": {},
            }

        self.stop(Step.DATA)
        self.start(Step.MODEL, f"reading {name}", work)

    def open_data(self, **changes: Any) -> None:
        """Change how the data is read, and read it.

        Args:
            **changes: Keys of the `data` section; None drops one.
        """
        plan = self.state.plan
        if plan is not None and (over := out_voted(plan, changes)):
            # What is being worked out would bring them back.
            self.stop(Step.PLAN)
            plan = self.app.services.stale_with_edit(plan, {}, over)
        self.set(data=self.data_with(changes), dataset=None, first_look=None, plan=plan)
        self.profile()

    def answer(self, settings: Mapping[str, Any]) -> None:
        """Take an answer to a question about the data, and read it so.

        Args:
            settings: The answer's settings, dotted key to value.
        """
        others = {key: value for key, value in settings.items() if not key.startswith("data.")}
        data = in_data(settings)
        if (length := data.pop("max_length", None)) is not None:
            self.set_length(length)
        self.set(overrides={**self.state.overrides, **others})
        self.open_data(**data)

    def profile(self) -> None:
        """Read and tokenise the data as the state says."""
        data, model = self.state.data, self.state.model

        def work(run: StepRun) -> Changes:
            dataset = self.app.services.profile(
                data, model, run.progress, run.stopped, lambda look: run.known(first_look=look), run.fetched
            )
            return {"dataset": dataset, "first_look": None}

        self.start(Step.DATA, "reading the rows", work)

    def set_length(self, length: int) -> None:
        """Limit rows to so many tokens; a plan that is there is priced again.

        Raises:
            InputError: the configuration cannot take it.
        """
        if self.state.plan is None:
            self.set(max_length=length)
        else:
            self.edit({"data.max_length": length})

    def set_price(self, price: float | None) -> None:
        """Say what an hour costs, and keep it.

        Raises:
            InputError: it cannot be kept.
        """
        self.app.services.keep_price(price)
        self.set(price=price)


def absolute(paths: Sequence[str]) -> list[str]:
    """Paths that hold wherever the configuration file is saved; what is no file here stays as it is.

    FOLDER/NAME stands for a data set that the folder's dataset_info.json names, so it counts as a file.
    """

    def here(path: Path) -> bool:
        try:
            return path.exists() or (path.parent / "dataset_info.json").is_file()
        except OSError:
            # It may not be looked at; reading it says so.
            return True

    return [str(expanded(path).absolute()) if here(expanded(path)) else path for path in paths]


def in_data(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the `data` section by their names in it."""
    return {key.removeprefix("data."): value for key, value in settings.items() if key.startswith("data.")}


def _free(gpus: Sequence[Gpu], device: Device | None) -> int | None:
    """Bytes free on the device now; what it had when it cannot be asked."""
    if device is None:
        return None
    for gpu in gpus:
        if gpu.uuid == device.uuid and gpu.memory_free is not None:
            return gpu.memory_free
    return device.free_bytes
