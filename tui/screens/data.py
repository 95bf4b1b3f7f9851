"""Step 3: did it understand my file, will the model learn the answers, what does the length limit cut."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Static

from presets.errors import InputError, WizardError
from recommender.units import count
from tui.clean import clean
from tui.flow import absolute
from tui.screens.data_first import first_rows
from tui.screens.data_near import NearSearch
from tui.screens.data_path import PathInput, PathSuggester, as_typed, with_settings
from tui.screens.data_sets import ask_evaluation, ask_known, ask_weight, confirmed
from tui.screens.data_text import LEAVE_OUT, bad_row_picks, next_length, progress_rows, summary
from tui.widgets.rows import Rows, row
from tui.widgets.sample import sample_content
from tui.widgets.top_bar import Step

if TYPE_CHECKING:
    from recommender.data.dataset import DataSet, Sample
    from recommender.data.profile import DataProfile
    from tui.state import WizardState


class Sampled(Message):
    """A row as the model will see it, ready to be shown."""

    def __init__(self, dataset: DataSet, sample: Sample | None, error: str = "") -> None:
        super().__init__()
        self.dataset = dataset
        """Of which data."""
        self.sample = sample
        """The row; None when it cannot be shown."""
        self.error = error
        """Why."""


class DataScreen(NearSearch):
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
        Binding("plus,equals_sign", "length(1)", "longer", key_display="+"),
        Binding("minus", "length(-1)", "shorter", key_display="-"),
        Binding("e", "type_length", "max_length"),
        Binding("f", "format", "format"),
        Binding("b", "bad_rows", "bad rows"),
        Binding("F", "fix", "use the template"),
        Binding("C", "confirm", "confirm columns"),
        Binding("W", "weights", "weights"),
        Binding("V", "evaluation", "evaluation data"),
        Binding("H", "known", "hub data sets"),
        Binding("D", "near", "near-duplicates"),
        Binding("z", "random", "random row"),
        Binding("L", "longest", "longest row"),
        Binding("x", "finding(1)", "next finding"),
        Binding("X", "finding(-1)", "previous finding", show=False),
        Binding("i", "ids", "token ids"),
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
        self._row = 0
        self._ids = False
        self._shown: tuple[object, ...] = ()
        self._sample: Sample | None = None

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
        if working is not None and (look := state.first_look) is not None:
            rows.show([*progress_rows(working, width), row(""), *first_rows(look, state.length, width)])
            self._show_sample(look.dataset, state.length)
        elif working is not None:
            rows.show(progress_rows(working, width))
        elif state.dataset is None:
            rows.show([row((_waiting_for(state), "quiet"))])
            self.query_one("#sample-text", Static).update("")
        else:
            profile = state.dataset.profile
            box.border_title = clean(_title(profile.files))
            stopped = bool(profile.stops_at(state.length))
            box.set_class(stopped, "-bad")
            plan = state.plan.config if state.plan else None
            rows.show([*summary(profile, state.length, width, plan), *self.near_rows(state.dataset)])
            self._show_sample(state.dataset, state.length)

    def on_resize(self, event: Any) -> None:
        """The histogram has another width."""
        super().on_resize(event)
        self.call_after_refresh(self._follow)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What needs rows is offered when there are some."""
        profile = self.state.dataset.profile if self.state.dataset else None
        if action in {"sample", "length", "type_length", "random", "longest", "ids"}:
            return self._rows_shown is not None
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
        if action == "format" and profile is None and not self._columns_seen:
            return False
        return super().check_action(action, parameters)

    @property
    def _rows_shown(self) -> DataSet | None:
        """Rows that can be looked at: all of them, or those of the first look."""
        look = self.state.first_look
        return self.state.dataset or (look.dataset if look else None)

    @property
    def _columns_seen(self) -> tuple[str, ...]:
        """Columns of rows that were not taken as they are."""
        return getattr(self.state.errors.get(Step.DATA), "columns", ())

    # The sample

    def _show_sample(self, dataset: DataSet, length: int) -> None:
        self._row = min(self._row, max(0, len(dataset) - 1))
        wanted = (dataset, self._row, length)
        if wanted != self._shown:
            self._shown = wanted
            self.refresh_bindings()
            self._read_sample(dataset, self._row, length)

    @work(thread=True, exclusive=True, group="sample", exit_on_error=False)
    def _read_sample(self, dataset: DataSet, index: int, length: int) -> None:
        try:
            self.post_message(Sampled(dataset, dataset.sample(index, length)))
        except WizardError as error:
            self.post_message(Sampled(dataset, None, str(error)))

    @on(Sampled)
    def _sampled(self, message: Sampled) -> None:
        if message.dataset is not self._rows_shown:
            return
        self._sample = message.sample
        if message.sample is None:
            self.query_one("#sample-text", Static).update(clean(message.error))
            return
        if message.sample.row == self._row:
            self._draw_sample(message.sample)

    def _draw_sample(self, sample: Sample) -> None:
        dataset = self._rows_shown
        total = count(len(dataset)) if dataset else "?"
        box = self.query_one("#sample")
        line = f", line {sample.line}" if sample.line else ""
        box.border_title = f"sample {count(sample.row + 1)} of {total}{line}, {count(sample.length)} tokens"
        cut = sample.length - self.state.length
        odd = dataset.findings(sample.row) if dataset else ()
        legend = clean(f"! {odd[0]}") if odd else "highlighted: the loss sees it"
        box.border_subtitle = legend + (f" · struck: cut ({count(cut)})" if cut > 0 else "")
        text = sample_content(sample.pieces, ids=self._ids, colour=not self.app.no_color and self.wizard.unicode)
        self.query_one("#sample-text", Static).update(text)
        self.query_one("#sample-scroll").scroll_home(animate=False)

    def _go_to_row(self, index: int) -> None:
        if (dataset := self._rows_shown) is not None:
            self._row = index % len(dataset)
            self._show_sample(dataset, self.state.length)

    def action_sample(self, by: int) -> None:
        """Show the next or the previous row."""
        self._go_to_row(self._row + by)

    def action_random(self) -> None:
        """Show any row."""
        if (dataset := self._rows_shown) is not None:
            self._go_to_row(random.randrange(len(dataset)))

    def action_longest(self) -> None:
        """Show the row with most tokens."""
        if (dataset := self._rows_shown) is not None:
            self._go_to_row(dataset.longest(1)[0])

    def action_finding(self, by: int) -> None:
        """Show the next row that something is odd about, or the one before."""
        dataset = self.state.dataset
        if dataset is None:
            return
        found = dataset.next_finding(self._row, by, self.state.length)
        if found is None:
            self.notify("No row has a finding: nothing odd, nothing trained is cut.")
        else:
            self._go_to_row(found)

    def action_ids(self) -> None:
        """Show each token's id, or stop to."""
        self._ids = not self._ids
        if self._sample is not None:
            self._draw_sample(self._sample)

    # The length limit

    def action_length(self, by: int) -> None:
        """The next limit up or down."""
        context = self.state.model.max_position_embeddings if self.state.model else None
        self.wizard.flow.set_length(next_length(self.state.length, by, context))

    def action_type_length(self) -> None:
        """Type the limit."""
        from tui.screens.popup import ValuePopup

        self.app.push_screen(
            ValuePopup(
                "max_length", str(self.state.length), self._take_length, hint="tokens a row may have; the rest is cut"
            )
        )

    def _take_length(self, text: str) -> None:
        try:
            length = int(text.replace(" ", ""))
        except ValueError:
            raise InputError(f"'{text}' is not a whole number.") from None
        if length < 8:
            raise InputError("max_length must be at least 8 tokens.")
        self.wizard.flow.set_length(length)

    # Which data

    def action_open(self) -> None:
        """Type a path."""
        self.query_one("#path").focus()

    def action_leave_path(self) -> None:
        """Go to the summary."""
        self.query_one("#profile-rows").focus()

    def action_browse(self) -> None:
        """Choose a file in a tree."""
        from tui.screens.browse import BrowseScreen

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
        self._row = 0
        self.query_one("#profile-rows").focus()
        train = with_settings(absolute(paths), self.state.data.get("train") or [])
        self.wizard.flow.open_data(train=train, format=None, columns=None, skip_bad_rows=None)

    def action_format(self) -> None:
        """Say by hand what the columns are."""
        from tui.screens.columns import ask_format

        if self.state.dataset is not None:
            ask_format(self.wizard, self.state.dataset.profile)
        elif self._columns_seen:
            ask_format(self.wizard, None, self._columns_seen)

    def action_fix(self) -> None:
        """Use a template with which the end-of-turn token is trained."""
        if self.state.dataset is not None:
            self.wizard.flow.open_data(template=self.state.dataset.profile.ending_template)

    def action_confirm(self) -> None:
        """The columns that were taken for question and answer are those."""
        if self.state.dataset is not None:
            profile = self.state.dataset.profile
            self.wizard.flow.open_data(train=confirmed(profile, list(self.state.data["train"])))

    def action_weights(self) -> None:
        """Say how often each data set's rows are taken."""
        if self.state.dataset is not None:
            ask_weight(self.wizard, self.state.dataset.profile)

    def action_evaluation(self) -> None:
        """Say which files are held out."""
        ask_evaluation(self.wizard)

    def action_known(self) -> None:
        """Choose a well-known data set of the hub."""
        ask_known(self.wizard)

    def action_bad_rows(self) -> None:
        """List the bad rows; leave them out or take them back."""
        from tui.screens.popup import PickPopup

        dataset = self.state.dataset
        if dataset is None:
            return
        profile = dataset.profile
        screen = PickPopup("bad rows", lambda width, _wanted: bad_row_picks(profile, width))
        self.app.push_screen(screen, self._bad_rows_answered)

    def _bad_rows_answered(self, key: str | None) -> None:
        if key == LEAVE_OUT:
            self.wizard.flow.open_data(skip_bad_rows=not self.state.data.get("skip_bad_rows", False))

    def on_key(self, event: Any) -> None:
        """Escape ends the reading."""
        if event.key == "escape" and self.wizard.flow.stop(Step.DATA):
            event.stop()


def _waiting_for(state: WizardState) -> str:
    if state.data.get("train") and state.model is None:
        return "the rows are read when a model is chosen: 2"
    if getattr(state.errors.get(Step.DATA), "columns", ()):
        return "f says by hand what the rows are: their shape, and which column is what"
    return "no data yet: type a path or a hub id above · ctrl+o browses files · H lists well-known data sets"


def _title(files: Sequence[Path]) -> str:
    if not files:
        return "data"
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
