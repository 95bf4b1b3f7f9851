"""The Data screen's offer to train embeddings, where the template writes tokens that may be new to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.widgets.rows import Row, row

if TYPE_CHECKING:
    from tui.wizard.host import WizardHost
    from tui.wizard.state import WizardState

KEY = "lora.modules_to_save"


def embedding_rows(state: WizardState) -> list[Row]:
    """Rows of the offer to train embeddings where the template's tokens may be untrained, or that it was taken."""
    if not offers_embeddings(state):
        return []
    if trains_embeddings(state):
        return [row(("✓ ", "good"), f"{', '.join(_modules(state))} trained in full too (M takes it back)", indent=2)]
    offer = f"M trains {', '.join(_modules(state))} in full too ({KEY})"
    return [row(("? ", "caution"), (offer, "bright"), indent=2)]


def offers_embeddings(state: WizardState) -> bool:
    """Whether the template writes tokens that the model may never have trained, and an adapter would leave them so."""
    full = state.plan is not None and state.plan.config.method == "full"
    return state.dataset is not None and bool(state.dataset.profile.new_tokens) and not full


def trains_embeddings(state: WizardState) -> bool:
    """Whether they are trained as things stand."""
    return set(_modules(state)) <= set(_trained(state))


def _modules(state: WizardState) -> list[str]:
    """The embedding, and the head where it is a matrix of its own."""
    return ["embed_tokens"] if state.model is None or state.model.tied else ["embed_tokens", "lm_head"]


def toggle_embeddings(wizard: WizardHost) -> None:
    """Train the embeddings in full beside the adapter, or no longer."""
    state = wizard.state
    modules, trained = _modules(state), _trained(state)
    others = [name for name in trained if name not in modules]
    if not trains_embeddings(state):
        wizard.flow.plan.edit({KEY: [*others, *modules]})
    elif state.plan is not None or others:
        wizard.flow.plan.edit({KEY: others})
    else:
        wizard.flow.plan.edit({}, [KEY])


def _trained(state: WizardState) -> list[str]:
    """Modules trained in full: the draft's, else the plan's."""
    recommended = [] if state.plan is None else state.plan.config.lora.modules_to_save
    return list(state.draft.values.get(KEY, recommended))
