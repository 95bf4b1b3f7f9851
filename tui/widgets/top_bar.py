"""The first row of every screen: the step rail and the device with its free memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from tui.terminal.sanitize import clean

if TYPE_CHECKING:
    from textual import events

BRAND = "lora-wizard"
FULL_WIDTH = 100
"""Columns from which every step has its name in the rail."""


class Step(IntEnum):
    """The six steps of the wizard, by the digit that jumps to each."""

    MACHINE = 1
    MODEL = 2
    DATA = 3
    PLAN = 4
    CHECK = 5
    TRAIN = 6

    @property
    def title(self) -> str:
        """Name of the step as it stands in the rail."""
        return self.name.capitalize()


@dataclass(frozen=True, slots=True)
class DeviceLine:
    """Contents of the right end of the bar."""

    name: str = ""
    """'gpu0 RTX 4090', 'cpu'."""
    free: str = ""
    """GiB, without the unit."""
    total: str = ""
    simulated: bool = False
    low: bool = False
    """Whether little memory is left."""


class TopBar(Widget):
    """One line of text: brand, steps, device.

    Attributes:
        current: The step that the screen belongs to; None outside the wizard.
        done: Steps that are done.
        failed: Steps that were tried and have no result.
        named: What was chosen in steps that are done, shown in place of their titles where there is room.
        device: What is planned for.
    """

    DEFAULT_CSS = """
    TopBar { dock: top; height: 1; width: 100%; background: $panel; color: $foreground; }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    current: reactive[Step | None] = reactive(None)
    done: reactive[frozenset[Step]] = reactive(frozenset())
    failed: reactive[frozenset[Step]] = reactive(frozenset())
    named: reactive[tuple[tuple[Step, str], ...]] = reactive(())
    device: reactive[DeviceLine] = reactive(DeviceLine())

    class Jump(Message):
        """A step was clicked."""

        def __init__(self, step: Step) -> None:
            super().__init__()
            self.step = step
            """Step to go to."""

    def __init__(self, current: Step | None = None) -> None:
        super().__init__()
        self.set_reactive(TopBar.current, current)

    def render(self) -> Content:
        """Lay the two ends out; the rail gives way first."""
        width = self.size.width
        names = width >= FULL_WIDTH
        right = self._device(short=not names)
        left = self._rail({}, names=names)
        for kept in range(len(self.named), 0, -1):
            told = self._rail(dict(self.named[:kept]), names=names)
            if told.cell_length + right.cell_length + 2 <= width:
                left = told
                break
        if left.cell_length + right.cell_length + 1 > width:
            right = right.truncate(max(0, width - left.cell_length - 1), ellipsis=True)
        gap = max(1, width - left.cell_length - right.cell_length - 1)
        return Content.assemble(left, " " * gap, right, " ")

    def _rail(self, chosen: Mapping[Step, str], *, names: bool) -> Content:
        brand = BRAND if names else "lw"
        parts: list[Content | tuple[str, str] | str] = [(f" {brand} ", "bold $on-accent on $primary"), " "]
        for step in Step:
            shown = chosen.get(step, "")
            parts += [self._step(step, shown, names or step is self.current), "  " if names or shown else " "]
        return Content.assemble(*parts)

    def _step(self, step: Step, chosen: str, named: bool) -> Content:
        title = step.title if named else ""
        if step is self.current and step in self.failed:
            text = Content.styled(f"✗ {title}", "bold underline $error")
        elif step is self.current:
            text = Content.styled(f"{step.value} {title}", "bold underline $foreground")
        elif step in self.failed:
            text = Content.styled(f"✗ {title}" if named else f"✗{step.value}", "$error")
        elif step in self.done:
            text = Content.styled(f"✓ {chosen or title}" if named else f"✓{step.value} {chosen}".rstrip(), "$success")
        else:
            text = Content.styled(f"{step.value} {title}".rstrip(), "$quiet")
        return text.stylize(Style.from_meta({"step": step.value}))

    def _device(self, *, short: bool) -> Content:
        device = self.device
        if not device.name:
            return Content("")
        name = clean(device.name).replace("NVIDIA ", "").replace("GeForce ", "")
        badge = (" SIM ", "bold $on-accent on $warning") if device.simulated else ""
        memory = (device.free, "bold $error" if device.low else "bold $success")
        of = "/" if short else " of "
        return Content.assemble(badge, (f" {name}  ", "$label"), memory, (f"{of}{device.total} GiB free", "$label"))

    def on_click(self, event: events.Click) -> None:
        """Go to the step under the mouse."""
        step = event.style.meta.get("step")
        if isinstance(step, int):
            self.post_message(self.Jump(Step(step)))
