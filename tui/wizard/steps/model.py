"""Step 2: a model is read by its name, its own Python code agreed to, and taken into the draft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from presets.errors import InputError
from tui.widgets.top_bar import Step
from tui.wizard.draft import Draft, History

if TYPE_CHECKING:
    from recommender.model.spec import ModelSpec
    from tui.wizard.state import Changes
    from tui.wizard.steps.store import Store
    from tui.wizard.steps.work import StepRun

TRUST: Final = "trust_remote_code"


class ModelStep:
    """Reads the model that a person names; the draft has it once it is known that it can be used."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._values = store.state.draft.values
        """The command line's, with which the draft of another model begins."""

    def choose(self, name: str) -> None:
        """Read a model; data is read anew for it, and a plan made."""

        def work(run: StepRun) -> ModelSpec:
            services = self._store.services
            model = services.completed(services.read_model(name), run.doing, run.stopped)
            if model.unsupported:
                raise InputError(f"{name} cannot be used: {model.unsupported}", remedy="Choose another model.")
            return model

        # With the model the tokens change.
        self._store.stop(Step.DATA)
        self._store.start(Step.MODEL, f"reading {name}", work, lambda model: self._read(name, model))

    def _read(self, name: str, model: ModelSpec) -> Changes:
        state = self._store.state
        draft = state.draft.with_model(name, model, self._values)
        draft = draft.with_values(without_other_code(draft.values, name))
        if asks_first(model, name, draft.values):
            self._store.app.ask_about_code(model, lambda yes: self._answered(yes, draft))
            return {}
        return self._chosen(draft)

    def _chosen(self, draft: Draft) -> Changes:
        changes = self._store.following(draft, History())
        return {**changes, "plan": None, "planned": None, "errors": self._store.state.errors_with(None, *_AFTER)}

    def _answered(self, yes: bool | None, draft: Draft) -> None:
        """Go on with a model whose own code was agreed to; without the yes, it is not chosen."""
        name = draft.model_name
        if yes:
            self._store.set(**self._chosen(draft.with_values({**draft.values, TRUST: name})))
            self._store.derive()
            return
        error = InputError(
            f"{name} was not chosen: it cannot be trained without its own code.",
            remedy="Choose a model whose architecture Transformers has, or choose it again and agree.",
        )
        self._store.set(errors=self._store.state.errors_with(error, Step.MODEL))


_AFTER: Final = (Step.MODEL, Step.DATA, Step.PLAN)


def asks_first(model: ModelSpec, name: str, values: Mapping[str, Any]) -> bool:
    """Return whether a model's own code still needs the person's consent.

    Args:
        model: As it was read.
        name: As the person gave it.
        values: The person's values so far, dotted key to value.
    """
    return bool(model.own_code) and not _names(values, name)


def without_other_code(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The person's values without a yes that was for another model."""
    return {key: value for key, value in values.items() if key != TRUST or _names(values, name)}


def _names(values: Mapping[str, Any], name: str) -> bool:
    from recommender.config.schema import same_model

    agreed = values.get(TRUST)
    return isinstance(agreed, str) and same_model(agreed, name)
