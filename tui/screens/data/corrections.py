"""Corrections of how rows are read, on the Data screen: answer to a question, shape, columns, weights, bad rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from presets.questions import QuestionError
from tui.screens.base import Part
from tui.screens.data.embeddings import toggle_embeddings
from tui.screens.data.sources import ask_evaluation, ask_known, ask_weight, confirmed
from tui.screens.data.text import LEAVE_OUT, bad_row_picks
from tui.widgets.top_bar import Step
from tui.wizard.steps.data import in_data

if TYPE_CHECKING:
    from presets.errors import WizardError
    from recommender.data.formats.recognise import ShapeError
    from recommender.data.tokens.tokenise import Piece
    from tui.screens.base import StepScreen


class Corrections(Part):
    """Questions about the data and corrections of how it is read, a part of the Data screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "answer", "answer"),
        Binding("f", "format", "format"),
        Binding("b", "bad_rows", "bad rows"),
        Binding("F", "fix", "use the template"),
        Binding("M", "embeddings", "train embeddings"),
        Binding("C", "confirm", "confirm columns"),
        Binding("W", "weights", "weights"),
        Binding("V", "evaluation", "evaluation data"),
        Binding("H", "known", "hub data sets"),
    ]

    def __init__(self, screen: StepScreen) -> None:
        super().__init__(screen)
        self._asked: QuestionError | None = None

    @property
    def refused(self) -> ShapeError | None:
        """Error by which rows were not taken as they are; None when that is not what is wrong."""
        return shape_error(self.state.errors.get(Step.DATA))

    @property
    def question(self) -> QuestionError | None:
        """Question about the data; None where nothing is asked."""
        error = self.state.errors.get(Step.DATA)
        return error if isinstance(error, QuestionError) else None

    def ask_once(self) -> None:
        """Ask what has just come up; asked once, it waits for its key."""
        error = self.question
        if error is not None and error is not self._asked and Step.DATA not in self.state.working:
            self._asked = error
            self.screen.call_after_refresh(self.action_answer)

    def action_answer(self) -> None:
        """Answer how the rows are meant, with the first row under each answer."""
        error = self.question
        if error is None or self.screen.app.screen is not self.screen:
            return
        from tui.screens.question import QuestionPopup

        state, services = self.state, self.wizard.services
        source, held_out = getattr(error, "source", 0), getattr(error, "key", "") == "data.eval"

        def look(settings: Mapping[str, Any]) -> Sequence[Piece]:
            data = {**state.data, **in_data(settings)}
            # Held-out rows are shown as training rows are.
            data = {**data, "train": data["eval"], "eval": None} if held_out else data
            return services.first_row(data, state.model, state.draft.stage, source)

        def answered(number: int | None) -> None:
            if number is not None:
                self.wizard.flow.data.answer(error.question.choices[number].set)

        colour = not self.screen.app.no_color and self.wizard.unicode
        self.screen.app.push_screen(QuestionPopup(error.question, look, colour=colour), answered)

    def action_format(self) -> None:
        """Set the format of the rows, and which column is what."""
        from tui.screens.data.columns import ask_format, ask_refused

        if self.state.dataset is not None:
            ask_format(self.wizard, self.state.dataset)
        elif (error := self.refused) is not None:
            ask_refused(self.wizard, error)

    def action_fix(self) -> None:
        """Use a template with which the end-of-turn token is trained."""
        if self.state.dataset is not None:
            self.wizard.flow.data.change(template=self.state.dataset.profile.ending_template)

    def action_embeddings(self) -> None:
        """Train the embeddings of tokens that are new to the model, or leave them."""
        toggle_embeddings(self.wizard)

    def action_confirm(self) -> None:
        """Confirm the columns that were taken for question and answer."""
        if self.state.dataset is not None:
            profile = self.state.dataset.profile
            self.wizard.flow.data.change(train=confirmed(profile, list(self.state.data["train"])))

    def action_weights(self) -> None:
        """Set how often each data set's rows are taken."""
        if self.state.dataset is not None:
            ask_weight(self.wizard, self.state.dataset.profile)

    def action_evaluation(self) -> None:
        """Choose the held-out files."""
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
        self.screen.app.push_screen(screen, self._bad_rows_answered)

    def _bad_rows_answered(self, key: str | None) -> None:
        if key == LEAVE_OUT:
            self.wizard.flow.data.change(skip_bad_rows=not self.state.data.get("skip_bad_rows", False))


def shape_error(error: WizardError | None) -> ShapeError | None:
    """The error where it is one of reading rows that the person can correct; None otherwise."""
    from recommender.data.formats.recognise import ShapeError

    # Held-out files are answered for by the question alone.
    asks_of_training = isinstance(error, ShapeError) and error.columns and error.key == "data.train"
    return error if isinstance(error, ShapeError) and asks_of_training else None
