"""Step 2: which model. What is on this disk first, then the catalogue, then whatever hub id was typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from tui.screens.base import Problem, StepScreen
from tui.screens.machine.text import short_name
from tui.screens.model.listing import Listing
from tui.screens.model.pricing import Pricing
from tui.screens.model.text import USE, Entry, facts, header, matching, model_picks, with_chosen
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import MARGIN, PickList
from tui.widgets.rows import Row, row
from tui.widgets.text import content, paragraph
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from textual import events

    from tui.wizard.state import WizardState


class ModelList(PickList):
    """The models; enter chooses one."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "choose", key_display="enter")]


class FilterInput(Input):
    """The filter; enter chooses the row under the list's cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "choose", key_display="enter"),
        Binding("escape", "screen.leave_filter", "to the list", key_display="esc"),
    ]


class ModelScreen(StepScreen):
    """A filter over a table."""

    STEP = Step.MODEL
    HELP = (
        "Which model is tuned. / filters; enter chooses the row under the cursor. full, lora and qlora say whether "
        "that way of training fits on the chosen device, and how many GiB its worst step takes with one row of 1 024 "
        "tokens: FITS with room to spare, TIGHT when the upper estimate is near the limit, NO when it is too much. "
        "The plan finds the best values for each. A model that needs a licence or a token says so here, before "
        "anything is downloaded."
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("slash", "filter", "filter", key_display="/")]
    DEFAULT_CSS = """
    #filter-row { height: 1; padding: 0 2; }
    #filter-label { width: 9; color: $label; }
    #model-filter { width: 1fr; }
    #models { height: 1fr; }
    #columns { height: 1; padding: 0 0 0 2; }
    #model-list { height: 1fr; }
    #model-facts { height: auto; min-height: 6; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[Entry] = []
        self._chosen_row = ""
        self._placed = ""
        self._choosing = ""
        self._listing = Listing(self, self._listed)
        self._pricing = Pricing(self, self._priced)
        self.parts = (self._listing, self._pricing)

    def body(self) -> ComposeResult:
        """Filter, table, facts."""
        with Horizontal(id="filter-row"):
            yield Static("filter /", id="filter-label")
            yield FilterInput(placeholder="a word of its name, a hub id org/model, or a folder", id="model-filter")
        with Vertical(id="models", classes="pane") as models:
            models.border_title = "models"
            yield Static(id="columns")
            yield ModelList(id="model-list")
        with Vertical(id="model-facts", classes="pane") as box:
            box.border_title = "model"
            yield Static(id="facts-text")

    def on_mount(self) -> None:
        """List what there is."""
        super().on_mount()
        self.query_one(ModelList).focus()
        self._listing.start()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the columns' titles too."""
        super().on_resize(event)
        self.call_after_refresh(self._show_header)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Turn the filter's key off while the filter is typed: there it is a letter like others."""
        if action == "filter" and self.query_one("#model-filter").has_focus:
            return False
        return super().check_action(action, parameters)

    def show(self, state: WizardState) -> None:
        """Show the models, how they fit, and what is being read."""
        self._mark_chosen()
        self._show_list()
        self._show_facts()
        if state.device is not self._pricing.priced_for and self._entries:
            self._pricing.start(self._entries)
        if self._choosing and state.model is not None and state.model_name == self._choosing:
            self._choosing = ""
            self.clear_filter()
            if not state.model.access:
                self.call_after_refresh(self.wizard.action_go, int(Step.DATA))
        elif Step.MODEL in state.errors:
            self._choosing = ""

    def _show_header(self) -> None:
        width = self.query_one(ModelList).scrollable_content_region.width - MARGIN
        self.query_one("#columns", Static).update(content(header(width), width))

    def _show_list(self) -> None:
        wanted = self.query_one("#model-filter", Input).value
        shown = matching(self._entries, wanted)
        picks, chosen = self.query_one(ModelList), self._chosen_row
        untouched = picks.current is None or picks.current.fixed or picks.current.key == self._placed
        picks.show(
            lambda width: model_picks(
                shown, self._pricing.fits, chosen, wanted, width, listing=not self._listing.complete
            ),
            key=chosen if chosen and untouched else None,
        )
        if untouched and picks.current is not None:
            self._placed = picks.current.key

    def _mark_chosen(self) -> None:
        """Find the chosen model's row; the cursor goes to it when another is chosen."""
        state = self.state
        before = self._chosen_row
        self._entries, self._chosen_row = with_chosen(self._listing.found, state.model_name, state.model)
        if self._chosen_row != before:
            self._to_chosen()

    def _to_chosen(self) -> None:
        picks = self.query_one(ModelList)
        if self._chosen_row:
            picks.move_to(self._chosen_row)
            self._placed = picks.current.key if picks.current is not None else ""

    def on_screen_resume(self) -> None:
        """Come back to the chosen model, not to where the cursor was left."""
        super().on_screen_resume()
        self._to_chosen()

    @on(PickList.Moved)
    def _show_facts(self) -> None:
        self.query_one("#facts-text", Static).update(paragraph(self._fact_rows()))

    def _fact_rows(self) -> list[Row]:
        state = self.state
        working = state.working.get(Step.MODEL)
        if working is not None:
            return [row((clean(working.what), "bright"), (" …  esc cancels", "quiet"))]
        current = self.query_one(ModelList).current
        entry = next((entry for entry in self._entries if current is not None and entry.name == current.key), None)
        device = "this device" if state.device is None else short_name(state.device.name)
        spec = None
        if entry is not None:
            chosen = state.model if entry.name == self._chosen_row else None
            spec = chosen or self._pricing.spec_of(entry)
        return facts(entry, spec, device)

    def _listed(self) -> None:
        """Show what was found, and price what is new."""
        self._priced({})
        if self._entries:
            self._pricing.start(self._entries)

    def _priced(self, refused: Mapping[str, str]) -> None:
        """Show the models as they are known now.

        Args:
            refused: Reason by name of those that cannot be trained here.
        """
        self._listing.refuse(refused)
        self._mark_chosen()
        self._show_list()
        self._show_facts()

    @on(Input.Changed, "#model-filter")
    def _filtered(self) -> None:
        self._show_list()
        self.query_one(ModelList).action_edge(-1)
        if not self.query_one("#model-filter", Input).value:
            self._to_chosen()
        self._show_facts()

    @on(Input.Submitted, "#model-filter")
    def _submitted(self) -> None:
        self.query_one(ModelList).action_choose()

    @on(PickList.Chosen)
    def _chosen(self, event: PickList.Chosen) -> None:
        if event.pick.key == self._chosen_row and Step.MODEL not in self.state.working:
            # It is chosen already: nothing is made anew.
            self.clear_filter()
            self.call_later(self.wizard.action_go, int(Step.DATA))
            return
        self._choosing = event.pick.key.removeprefix(USE)
        self.wizard.flow.model.choose(self._choosing)

    def clear_filter(self) -> bool:
        """Empty the filter and go to the list, so that keys are keys again; return whether it had text."""
        box = self.query_one("#model-filter", Input)
        typed = bool(box.value)
        box.value = ""
        self.query_one(ModelList).focus()
        return typed

    def action_filter(self) -> None:
        """Filter the models."""
        self.query_one("#model-filter", Input).focus()

    def on_key(self, event: events.Key) -> None:
        """The arrow keys move in the list while the filter is typed; escape ends a model's reading, then the filter."""
        filtering = self.query_one("#model-filter", Input).has_focus
        if filtering and event.key in ("up", "down", "pageup", "pagedown"):
            picks = self.query_one(ModelList)
            by = 1 if "down" in event.key else -1
            (picks.action_page if event.key.startswith("page") else picks.action_move)(by)
            event.stop()
        elif event.key == "escape" and self.wizard.flow.stop(Step.MODEL):
            self._choosing = ""
            event.stop()
        elif event.key == "escape" and not filtering and not self.query(Problem) and self.clear_filter():
            event.stop()

    def action_leave_filter(self) -> None:
        """Go back to the list."""
        self.query_one(ModelList).focus()
