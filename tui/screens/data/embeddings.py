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
    kept = state.plan.config.lora.modules_to_save if state.plan else state.overrides.get(KEY, [])
    return set(_modules(state)) <= set(kept)


def _modules(state: WizardState) -> list[str]:
    """The embedding, and the head where it is a matrix of its own."""
    return ["embed_tokens"] if state.model is None or state.model.tied else ["embed_tokens", "lm_head"]


def toggle_embeddings(wizard: WizardHost) -> None:
    """Train the embeddings in full beside the adapter, or no longer."""
    if wizard.flow.replanning:
        # Which way it goes depends on the plan that comes.
        wizard.flow.afterwards(lambda: toggle_embeddings(wizard))
        return
    state = wizard.state
    modules = _modules(state)
    if state.plan is not None:
        kept = [name for name in state.plan.config.lora.modules_to_save if name not in modules]
        wanted = kept if trains_embeddings(state) else [*kept, *modules]
        wizard.flow.edit({KEY: wanted})
        return
    others = {key: value for key, value in state.overrides.items() if key != KEY}
    wizard.flow.set(overrides=others if trains_embeddings(state) else {**others, KEY: modules})
