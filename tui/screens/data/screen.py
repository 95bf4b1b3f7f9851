"""Step 3: did it understand my file, will the model learn the answers, what does the length limit cut."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Static

from presets.errors import InputError, WizardError
from presets.questions import QuestionError
from tui.screens.base import StepScreen
from tui.screens.data.embeddings import embedding_rows, offers_embeddings, toggle_embeddings
from tui.screens.data.first_look import first_rows
from tui.screens.data.near_duplicates import NearSearch
from tui.screens.data.path_input import PathInput, PathSuggester, as_typed, with_settings
from tui.screens.data.sample import SampleView
from tui.screens.data.sources import ask_evaluation, ask_known, ask_weight, confirmed
from tui.screens.data.text import LEAVE_OUT, bad_row_picks, next_length, summary
from tui.screens.progress import progress_rows
from tui.terminal.sanitize import clean
from tui.widgets.rows import Rows, row
from tui.widgets.top_bar import Step
from tui.wizard.flow import absolute, in_data

if TYPE_CHECKING:
    from recommender.data.formats.recognise import ShapeError
    from recommender.data.profile.profile import DataProfile
    from recommender.data.tokens.tokenise import Piece
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
        Binding("plus,equals_sign", "length(1)", "longer", key_display="+"),
        Binding("minus", "length(-1)", "shorter", key_display="-"),
        Binding("e", "type_length", "max_length"),
        Binding("a", "answer", "answer"),
        Binding("f", "format", "format"),
        Binding("b", "bad_rows", "bad rows"),
        Binding("F", "fix", "use the template"),
        Binding("M", "embeddings", "train embeddings"),
        Binding("C", "confirm", "confirm columns"),
        Binding("W", "weights", "weights"),
        Binding("V", "evaluation", "evaluation data"),
        Binding("H", "known", "hub data sets"),
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
        self._asked: QuestionError | None = None
        self.sample, self.near = SampleView(self), NearSearch(self)
        self.parts = (self.sample, self.near)

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
        self._ask_once()
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
        """What a letter does depends on whether it is typed."""
        if self.state.dataset is None:
            self.follow()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What needs rows is offered when there are some."""
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
        if action == "answer" and self._question is None:
            return False
        if action == "embeddings" and not offers_embeddings(self.state):
            return False
        if action == "format" and profile is None and self._refused is None:
            return False
        return super().check_action(action, parameters)

    @property
    def _refused(self) -> ShapeError | None:
        """Why rows were not taken as they are; None when that is not what is wrong."""
        return refused(self.state.errors.get(Step.DATA))

    @property
    def _question(self) -> QuestionError | None:
        """What is asked about the data; None where nothing is."""
        error = self.state.errors.get(Step.DATA)
        return error if isinstance(error, QuestionError) else None

    def _ask_once(self) -> None:
        """Ask what has just come up; asked once, it waits for its key."""
        error = self._question
        if error is not None and error is not self._asked and Step.DATA not in self.state.working:
            self._asked = error
            self.call_after_refresh(self.action_answer)

    def action_answer(self) -> None:
        """Ask how the rows are meant, with the first row under each answer."""
        error = self._question
        if error is None or self.app.screen is not self:
            return
        from tui.screens.question import QuestionPopup

        state, services = self.state, self.wizard.services
        source, held_out = getattr(error, "source", 0), getattr(error, "key", "") == "data.eval"

        def look(settings: Mapping[str, Any]) -> Sequence[Piece]:
            data = {**state.data, **in_data(settings)}
            # Held-out rows are shown as training rows are.
            data = {**data, "train": data["eval"], "eval": None} if held_out else data
            return services.first_row(data, state.model, source)

        def answered(number: int | None) -> None:
            if number is not None:
                self.wizard.flow.answer(error.question.choices[number].set)

        colour = not self.app.no_color and self.wizard.unicode
        self.app.push_screen(QuestionPopup(error.question, look, colour=colour), answered)

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
        if length < 2:
            raise InputError("max_length must be at least 2 tokens.")
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
        self.wizard.flow.open_data(train=train, format=None, columns=None, skip_bad_rows=None)

    def action_format(self) -> None:
        """Say by hand what the rows are."""
        from tui.screens.data.columns import ask_format, ask_refused

        if self.state.dataset is not None:
            ask_format(self.wizard, self.state.dataset)
        elif (error := self._refused) is not None:
            ask_refused(self.wizard, error)

    def action_fix(self) -> None:
        """Use a template with which the end-of-turn token is trained."""
        if self.state.dataset is not None:
            self.wizard.flow.open_data(template=self.state.dataset.profile.ending_template)

    def action_embeddings(self) -> None:
        """Train the embeddings of tokens that are new to the model, or leave them."""
        toggle_embeddings(self.wizard)

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
        """Escape ends the reading, or the search for a finding."""
        if event.key == "escape" and (self.sample.stop_looking() or self.wizard.flow.stop(Step.DATA)):
            event.stop()


def refused(error: WizardError | None) -> ShapeError | None:
    """The error as one of rows that the person can say how to read, where it is one."""
    from recommender.data.formats.recognise import ShapeError

    # Held-out files are answered for by the question alone.
    asks_of_training = isinstance(error, ShapeError) and error.columns and error.key == "data.train"
    return error if isinstance(error, ShapeError) and asks_of_training else None


def _waiting_for(state: WizardState, *, typing: bool) -> list[str]:
    if state.data.get("train") and state.model is None:
        return ["the rows are read when a model is chosen: 2"]
    if isinstance(state.errors.get(Step.DATA), QuestionError):
        return ["a answers the question: nothing is read until it is answered"]
    if refused(state.errors.get(Step.DATA)) is not None:
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
