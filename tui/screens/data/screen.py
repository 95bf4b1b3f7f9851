"""Step 3: did it understand my file, will the model learn the answers, what does the length limit cut."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Static

from presets.questions import QuestionError
from tui.screens.base import StepScreen
from tui.screens.data.corrections import Corrections, shape_error
from tui.screens.data.embeddings import embedding_rows, offers_embeddings
from tui.screens.data.first_look import first_rows
from tui.screens.data.max_length import MaxLength
from tui.screens.data.near_duplicates import NearSearch
from tui.screens.data.path_input import PathInput, PathSuggester, as_typed, with_settings
from tui.screens.data.sample import SampleView
from tui.screens.data.text import summary
from tui.screens.progress import progress_rows
from tui.terminal.sanitize import clean
from tui.widgets.rows import Rows, row
from tui.widgets.top_bar import Step
from tui.wizard.steps.data import absolute

if TYPE_CHECKING:
    from recommender.data.profile.profile import DataProfile
    from tui.wizard.state import WizardState


class DataScreen(StepScreen):
    """The profile on the left, a sample on the right."""

    STEP = Step.DATA
    HELP = (
        "The data that is trained on: JSON, JSONL, CSV, Parquet or text files, a folder of them, or a hub id ORG/NAME "
        "(with :CONFIGURATION:SPLIT where there are several). Several are mixed; W gives each a weight. V names files "
        "that are held out. A shape is recognised by its columns; f corrects it by hand. Lengths are in the model's "
        "own tokens, with its own chat template. + and - move max_length: what it cuts is exact at once. On the right "
        "is a row as the model will see it: special tokens shown, highlighted what the loss sees, struck through what "
        "max_length cuts. ✗ is a stop: nothing starts until it is gone."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "open"),
        Binding("right_square_bracket", "sample(1)", "next", key_display="]"),
        Binding("left_square_bracket", "sample(-1)", "previous", key_display="["),
        *MaxLength.BINDINGS,
        *Corrections.BINDINGS,
        *NearSearch.BINDINGS,
        *SampleView.BINDINGS,
        Binding("ctrl+o", "browse", "browse files", show=False),
    ]
    DEFAULT_CSS = """
    #path-row { height: 1; padding: 0 2; }
    #path-label { width: 6; color: $label; }
    #path { width: 1fr; }
    #data-panes { height: 1fr; }
    #profile { width: 1fr; height: 1fr; }
    #sample { width: 1fr; height: 1fr; }
    #sample-scroll { height: 1fr; scrollbar-size-vertical: 1; }
    #sample-text { height: auto; }
    DataScreen.-narrow #data-panes { layout: vertical; }
    DataScreen.-narrow #profile { width: 100%; height: 13; }
    DataScreen.-narrow #sample { width: 100%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.sample, self.near = SampleView(self), NearSearch(self)
        self.corrections, self.max_length = Corrections(self), MaxLength(self)
        self.parts = (self.sample, self.near, self.corrections, self.max_length)

    def body(self) -> ComposeResult:
        """The path, the profile, a sample."""
        with Horizontal(id="path-row"):
            yield Static("data", id="path-label")
            yield PathInput(
                placeholder="a file, a folder or a hub id: data/train.jsonl", suggester=PathSuggester(), id="path"
            )
        with Horizontal(id="data-panes"):
            with Vertical(id="profile", classes="pane") as profile:
                profile.border_title = "profile"
                yield Rows(id="profile-rows")
            with Vertical(id="sample", classes="pane") as sample:
                sample.border_title = "sample"
                sample.border_subtitle = "highlighted: the loss sees it"
                with VerticalScroll(id="sample-scroll"):
                    yield Static(id="sample-text")

    def on_mount(self) -> None:
        """Ask for the path when there is none yet."""
        super().on_mount()
        if self.state.data.get("train"):
            self.query_one("#path", Input).value = as_typed(self.state.data["train"])
            self.query_one("#profile-rows").focus()
        else:
            self.query_one("#path").focus()

    def show(self, state: WizardState) -> None:
        """Show the profile at the length that holds, or how far its making is."""
        rows = self.query_one("#profile-rows", Rows)
        width = max(20, rows.scrollable_content_region.width)
        working = state.working.get(Step.DATA) or state.working.get(Step.MODEL)
        box = self.query_one("#profile")
        self.corrections.ask_once()
        if working is not None and (look := state.first_look) is not None:
            rows.show([*progress_rows(working, width), row(""), *first_rows(look, state.length, width)])
            self.sample.show(look.dataset, self.sample.limit)
        elif working is not None:
            rows.show(progress_rows(working, width))
        elif state.dataset is None:
            typing = self.query_one("#path").has_focus
            rows.show([row((line, "quiet")) for line in _waiting_for(state, typing=typing)])
            self.query_one("#sample-text", Static).update("")
        else:
            profile = state.dataset.profile
            box.border_title = clean(_title(profile.files))
            stopped = bool(profile.stops_at(state.length))
            box.set_class(stopped, "-bad")
            plan = state.plan.config if state.plan else None
            told = [*summary(profile, state.length, width, plan), *embedding_rows(state)]
            near = self.near.rows(state.dataset)
            # What has just been asked for is seen without scrolling.
            rows.show([*near, *told] if self.has_class("-narrow") else [*told, *near])
            self.sample.show(state.dataset, self.sample.limit)

    def on_resize(self, event: Any) -> None:
        """The histogram has another width."""
        super().on_resize(event)
        self.call_after_refresh(self.follow)

    def on_descendant_focus(self) -> None:
        """Follow the focus: what a letter does depends on whether it is typed."""
        if self.state.dataset is None:
            self.follow()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the keys that need rows only when there are some."""
        profile = self.state.dataset.profile if self.state.dataset else None
        if action in {"sample", "length", "type_length", "random", "longest", "ids"}:
            return self.sample.rows_shown is not None
        needs: dict[str, Callable[[DataProfile], object]] = {
            "finding": lambda held: held.rows,
            "near": lambda held: held.rows > 1,
            "bad_rows": lambda held: held.bad_row_count,
            "fix": lambda held: held.ending_template,
            "confirm": lambda held: held.unconfirmed,
            "weights": lambda held: len(held.sources) > 1,
        }
        if action in needs and (profile is None or not needs[action](profile)):
            return False
        if action == "answer" and self.corrections.question is None:
            return False
        if action == "embeddings" and not offers_embeddings(self.state):
            return False
        if action == "format" and profile is None and self.corrections.refused is None:
            return False
        return super().check_action(action, parameters)

    # Which data

    def action_open(self) -> None:
        """Type a file, a folder or a data set of the hub."""
        self.query_one("#path").focus()

    def action_leave_path(self) -> None:
        """Go to the summary."""
        self.query_one("#profile-rows").focus()

    def action_browse(self) -> None:
        """Choose a data file in a tree."""
        from tui.screens.data.browse import BrowseScreen

        self.app.push_screen(BrowseScreen(Path.cwd()), self._browsed)

    def _browsed(self, path: str | None) -> None:
        if path:
            self.query_one("#path", Input).value = shlex.quote(path)
            self._open([path])

    @on(Input.Submitted, "#path")
    def _submitted(self, event: Input.Submitted) -> None:
        try:
            paths = shlex.split(event.value)
        except ValueError:
            paths = [event.value]
        if paths:
            self._open(paths)

    def _open(self, paths: Sequence[str]) -> None:
        self.sample.row = 0
        self.query_one("#profile-rows").focus()
        train = with_settings(absolute(paths), self.state.data.get("train") or [])
        self.wizard.flow.data.change(train=train, format=None, columns=None, skip_bad_rows=None)

    def on_key(self, event: Any) -> None:
        """Escape ends the reading, or the search for a finding."""
        if event.key == "escape" and (self.sample.stop_looking() or self.wizard.flow.stop(Step.DATA)):
            event.stop()


def _waiting_for(state: WizardState, *, typing: bool) -> list[str]:
    if state.data.get("train") and state.model is None:
        return ["the rows are read when a model is chosen: 2"]
    if isinstance(state.errors.get(Step.DATA), QuestionError):
        return ["a answers the question: nothing is read until it is answered"]
    if shape_error(state.errors.get(Step.DATA)) is not None:
        return ["f says by hand what the rows are: their shape, and which column is what"]
    known = "esc, then H, lists well-known data sets" if typing else "H lists well-known data sets · o types a path"
    lines = ["ctrl+o browses files", known]
    if Step.DATA in state.errors:
        again = "enter reads it again" if typing else "o, then enter, reads it again"
        return ["nothing was read: type another path or hub id above", f"once the file is mended, {again}", *lines]
    return ["no data yet: type a path or a hub id above", *lines]


def _title(files: Sequence[Path]) -> str:
    if not files:
        return "data"
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
