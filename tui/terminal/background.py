"""Work in threads: however it fails, whoever waits for it is told, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from textual.worker import get_current_worker

from tui.terminal.errors import told_as

if TYPE_CHECKING:
    from presets.errors import WizardError


class ThreadHost(Protocol):
    """A screen, a widget or an application: starts workers and calls functions in its own thread."""

    def run_worker(self, work: Any, *, thread: bool, group: str, exclusive: bool, exit_on_error: bool) -> object:
        """Run `work` in a worker."""

    def call_later(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        """Call a function in the own thread."""


def background(
    node: ThreadHost,
    work: Callable[[], object],
    failed: Callable[[WizardError], object],
    *,
    group: str,
    exclusive: bool = True,
) -> None:
    """Do something in a thread.

    Args:
        node: Who waits for it; once that is gone nobody is told.
        work: Called in the thread; what it finds it says by messages, or by `call_later`.
        failed: Called in the application's own thread with what is said of a failure: it ends what `work` had begun.
        group: What is cancelled by the next one of its kind.
        exclusive: Whether it is.
    """

    def run() -> None:
        worker = get_current_worker()
        try:
            work()
        except BaseException as error:  # A panic of Rust's (tokenizers, safetensors) is no Exception.
            if not worker.is_cancelled:
                node.call_later(failed, told_as(error))

    node.run_worker(run, thread=True, group=group, exclusive=exclusive, exit_on_error=False)


class Failures:
    """Failures of something that is done again and again: what comes each time is kept in the log once."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None
        self._told: WizardError | None = None

    def take(self, error: BaseException | None) -> WizardError | None:
        """What is said of how it went this time; the very same object while it fails in the same way."""
        last = None if error is None else (type(error).__name__, str(error))
        if last != self._last:
            self._last, self._told = last, None if error is None else told_as(error)
        return self._told
