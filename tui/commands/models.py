"""A model by its name, with what its class says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.commands.settings import progress_note

if TYPE_CHECKING:
    from recommender.model.spec import ModelSpec


def read_model(name: str, revision: str | None = None) -> ModelSpec:
    """Read a model, and where its class has to be asked what it is made of, say so on stderr and ask it.

    Args:
        name: A folder, a hub id or a short name of the catalogue.
        revision: Branch, tag or commit on the hub.

    Raises:
        InputError: Nothing of that name, or no class of Transformers builds it.
    """
    from recommender.model.reader import read_model as read
    from trainer.anatomy.ask import completed

    return completed(read(name, revision=revision), lambda what: progress_note(f"{what} …"))
