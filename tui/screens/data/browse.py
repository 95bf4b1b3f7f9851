"""Choose a data file in a tree of folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DirectoryTree

from recommender.config.data_paths import format_of
from tui.screens.popup import Popup
from tui.widgets.key_bar import KeyBar


def is_data(path: Path) -> bool:
    """Whether a file's name says that rows can be read from it."""
    return format_of(path) is not None


class DataTree(DirectoryTree):
    """Folders and data files; hidden ones are left out."""

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """Keep folders and data files."""
        return [path for path in paths if not path.name.startswith(".") and (path.is_dir() or is_data(path))]


class BrowseScreen(Popup[str]):
    """Answers with the path of a file."""

    DEFAULT_CSS = """
    BrowseScreen > .popup { height: 80%; }
    BrowseScreen DataTree { height: 1fr; background: $surface; }
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def compose(self) -> ComposeResult:
        """The tree."""
        with Vertical(classes="popup") as box:
            box.border_title = "data files"
            box.border_subtitle = "enter opens · esc closes"
            yield DataTree(self._folder)
        yield KeyBar()

    @on(DirectoryTree.FileSelected)
    def _selected(self, event: DirectoryTree.FileSelected) -> None:
        self.dismiss(str(event.path))
