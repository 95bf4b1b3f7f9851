"""The goals of a plan as radio marks in one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

if TYPE_CHECKING:
    from textual import events

    from recommender.config.schema import Goal

GOALS: Mapping[Goal, str] = {
    "balanced": "balanced",
    "fastest": "fastest",
    "longest-context": "longest context",
    "best-quality": "best quality",
    "smallest-memory": "smallest memory",
}


class GoalRow(Widget, can_focus=True):
    """Left and right move, enter or space takes.

    Attributes:
        goal: The plan's goal.
        preset: Name of the preset that was applied last.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", show=False),
        Binding("right", "move(1)", show=False),
        Binding("enter,space", "take", "choose goal", key_display="enter"),
    ]
    DEFAULT_CSS = """
    GoalRow { height: 1; width: 1fr; }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    goal: reactive[Goal] = reactive("balanced")
    at: reactive[int] = reactive(0)
    preset: reactive[str] = reactive("")

    class Taken(Message):
        """Another goal is wanted."""

        def __init__(self, goal: Goal) -> None:
            super().__init__()
            self.goal = goal
            """Goal that was chosen."""

    def watch_goal(self, goal: Goal) -> None:
        """The mark moves to the plan's goal."""
        self.at = list(GOALS).index(goal)

    def render(self) -> Content:
        """Draw the row; the preset's name gives way when there is no room."""
        width = self.size.width
        gap = "    " if width >= 100 else " "
        left = Content(gap).join([self._entry(goal, index) for index, goal in enumerate(GOALS)])
        right = Content.assemble(("preset: ", "$quiet"), (self.preset or "none", "$label"))
        room = width - left.cell_length - right.cell_length
        return Content.assemble(left, " " * room, right) if room > 1 else left.truncate(width, ellipsis=True)

    def _entry(self, goal: Goal, index: int) -> Content:
        chosen = goal == self.goal
        style = "bold $foreground" if chosen else "$label"
        if self.has_focus and index == self.at:
            style += " underline"
        mark = ("◉ ", "$primary") if chosen else ("○ ", "$quiet")
        return Content.assemble(mark, (GOALS[goal], style)).stylize(Style.from_meta({"goal": goal}))

    def action_move(self, by: int) -> None:
        """Move to the next goal."""
        self.at = (self.at + by) % len(GOALS)

    def action_take(self) -> None:
        """Take the goal under the mark."""
        self.post_message(self.Taken(list(GOALS)[self.at]))

    def on_blur(self) -> None:
        """Go back to the plan's goal."""
        self.at = list(GOALS).index(self.goal)

    def on_click(self, event: events.Click) -> None:
        """Take the goal under the mouse."""
        for index, goal in enumerate(GOALS):
            if event.style.meta.get("goal") == goal:
                self.at = index
                self.action_take()
