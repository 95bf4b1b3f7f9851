"""Step 1, the Machine screen: the devices here, the memory in use on them, and obstacles to a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from tui.screens.base import StepScreen
from tui.screens.machine.text import CPU, SIMULATED, device_picks, host_rows, software_rows
from tui.widgets.pick_list import Pick, PickList
from tui.widgets.rows import Rows, row
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from recommender.machine.facts import Device
    from tui.wizard.state import WizardState


class DeviceList(PickList):
    """The devices; space or enter selects one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "choose", "select")]


class MachineScreen(StepScreen):
    """GPUs, host and software."""

    STEP = Step.MACHINE
    HELP = (
        "What this machine has. Space selects the GPU (or the CPU) that the plan is made for; the bar above shows its "
        "free memory, looked at every two seconds. A line with ! or ✗ says what will get in the way, and the line "
        "below it what to do. w plans for a card that you do not have."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "what_if", "what-if GPU"),
        Binding("f5", "app.look_again", "look again"),
    ]
    DEFAULT_CSS = """
    #devices { height: auto; min-height: 3; max-height: 60%; }
    #around { height: 1fr; display: none; }
    MachineScreen.-seen #around { display: block; }
    #host { width: 2fr; height: 1fr; }
    #software { width: 3fr; height: 1fr; }
    MachineScreen.-narrow #around { layout: vertical; }
    MachineScreen.-narrow #host { width: 100%; height: 7; }
    MachineScreen.-narrow #software { width: 100%; }
    """

    def body(self) -> ComposeResult:
        """Devices above, host and software below."""
        with Vertical(id="devices", classes="pane") as devices:
            devices.border_title = "gpus"
            yield DeviceList(id="device-list")
        with Horizontal(id="around"):
            with Vertical(id="host", classes="pane") as host:
                host.border_title = "host"
                yield Rows(id="host-rows")
            with Vertical(id="software", classes="pane") as software:
                software.border_title = "software"
                yield Rows(id="software-rows")

    def on_mount(self) -> None:
        """Put the focus on the devices."""
        super().on_mount()
        self.query_one(DeviceList).focus()

    def show(self, state: WizardState) -> None:
        """Show the probe's results, and the present state of the GPUs."""
        machine = state.machine
        if machine is None:
            self.query_one(DeviceList).show(_waiting)
            self._fit(1)
            return
        self.add_class("-seen")
        devices = self.query_one(DeviceList)
        fresh = devices.current is None or devices.current.fixed
        devices.show(
            lambda width: device_picks(machine, state.gpus_now, state.device, width),
            key=_key_of(state.device) if fresh else None,
        )
        self._fit(len(devices.plain.splitlines()))
        self.query_one("#host-rows", Rows).show(host_rows(machine))
        self.query_one("#software-rows", Rows).show(software_rows(machine))

    def _fit(self, lines: int) -> None:
        """Make the list as high as its lines, within what the rest leaves."""
        self.query_one("#devices").styles.height = max(3, lines + 2)

    @on(PickList.Chosen)
    def _select(self, event: PickList.Chosen) -> None:
        machine = self.state.machine
        if machine is None or event.pick.key == SIMULATED:
            return
        gpus = {gpu.uuid: gpu for gpu in self.state.gpus_now or machine.gpus}
        self.wizard.flow.machine.choose_gpu(None if event.pick.key == CPU else gpus[event.pick.key])

    def action_what_if(self) -> None:
        """Plan for a card that is not in this machine."""
        from tui.screens.machine.what_if import WhatIfScreen

        self.app.push_screen(WhatIfScreen(self.wizard.services.gpu_catalogue()), self._take_card)

    def _take_card(self, name: str | None) -> None:
        if name is None:
            return
        from recommender.estimate.data_parallel import named_cards

        self.wizard.flow.machine.choose(named_cards(name, self.state.machine))
        self.query_one(DeviceList).move_to(SIMULATED)


def _waiting(_width: int) -> list[Pick]:
    return [Pick("waiting", (row(("looking at this machine …", "quiet")),), fixed=True)]


def _key_of(device: Device | None) -> str | None:
    if device is None:
        return None
    if device.simulated:
        return SIMULATED
    return CPU if device.kind == "cpu" else device.uuid
