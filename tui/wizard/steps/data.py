"""Step 3: the rows are read and tokenised as the draft says, for its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.paths import expanded
from tui.widgets.top_bar import Step
from tui.wizard.draft import History

if TYPE_CHECKING:
    from recommender.data.dataset import DataSet
    from tui.wizard.draft import Draft
    from tui.wizard.state import Changes
    from tui.wizard.steps.store import Store
    from tui.wizard.steps.work import StepRun


class DataStep:
    """Reads the draft's data; reading that is superseded or stopped leaves nothing behind."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def change(self, **changes: Any) -> None:
        """Change how the data is read, and read it, also where nothing has changed but the files.

        Args:
            **changes: Keys of the `data` section; None drops one.
        """
        self._read_anew(self._store.state.draft.with_data(changes))

    def answer(self, settings: Mapping[str, Any]) -> None:
        """Take an answer to a question about the data, and read it so.

        Args:
            settings: The answer's settings, dotted key to value.
        """
        data = in_data(settings)
        own = {key: value for key, value in settings.items() if not key.startswith("data.")}
        if "max_length" in data:
            own["data.max_length"] = data.pop("max_length")
        draft = self._store.state.draft.with_data(data)
        self._read_anew(draft.with_values({**draft.values, **own}))

    def _read_anew(self, draft: Draft) -> None:
        changes: Changes = {**self._store.following(draft, History()), "dataset": None, "first_look": None}
        self._store.set(**changes)
        self.read()

    def read(self) -> None:
        """Read and tokenise the data."""
        draft, services = self._store.state.draft, self._store.services

        def work(run: StepRun) -> DataSet:
            return services.profile(
                draft.reading,
                draft.model,
                draft.stage,
                run.progress,
                run.stopped,
                lambda look: run.publish(first_look=look),
                run.on_bytes,
            )

        self._store.start(Step.DATA, "reading the rows", work, lambda dataset: {"dataset": dataset, "first_look": None})

    def derive(self) -> bool:
        """Read the data where that lacks; return whether a plan has to wait for it."""
        state = self._store.state
        # Where the model failed the rows are read without its tokenizer: what is wrong with them is told at once.
        tried = state.model is not None or Step.MODEL in state.errors
        wanted = tried and state.data.get("train") and state.dataset is None and Step.DATA not in state.errors
        if wanted and Step.DATA not in state.working:
            self.read()
        return bool(wanted)


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
