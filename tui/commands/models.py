"""A model by its name, with what its class says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


@contextmanager
def learning() -> Iterator[None]:
    """Have prices in this block learn a class that no formula is known of, and say so on stderr, once."""
    from recommender.memory.learned.missing import learning as offered

    said = False

    def learn(workload: Any) -> None:
        from trainer.learn.ask import learned

        nonlocal said
        if not said:
            progress_note("learning this model's memory …")
            said = True
        learned(workload)

    with offered(learn):
        yield
