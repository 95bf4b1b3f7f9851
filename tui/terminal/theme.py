"""The three themes and the style of everything that all screens share: thin round borders, one accent, muted labels.

Colours mean the same in each theme: `$primary` is the accent, `$success`, `$warning` and `$error` judge, `$label` and
`$quiet` step back, `$extra` and `$extra2` tell parts apart, `$line` draws borders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from textual.theme import Theme

from presets.errors import InputError

if TYPE_CHECKING:
    from textual.app import App

DEFAULT: Final = "dark"

DARK = Theme(
    name="dark",
    primary="#7aa2f7",
    secondary="#7dcfff",
    accent="#bb9af7",
    success="#9ece6a",
    warning="#e0af68",
    error="#f7768e",
    foreground="#c0caf5",
    background="#16161e",
    surface="#1a1b26",
    panel="#1f2335",
    dark=True,
    variables={
        "label": "#a9b1d6",
        "quiet": "#7982a9",
        "line": "#3b4261",
        "extra": "#bb9af7",
        "extra2": "#7dcfff",
        "raised": "#2a2f45",
        "on-accent": "#16161e",
    },
)
LIGHT = Theme(
    name="light",
    primary="#2959aa",
    secondary="#0f6b86",
    accent="#7a3e9d",
    success="#33691e",
    warning="#8a5300",
    error="#b3203d",
    foreground="#1f2335",
    background="#eceef5",
    surface="#f6f7fb",
    panel="#dde1ee",
    dark=False,
    variables={
        "label": "#3d4463",
        "quiet": "#5d6485",
        "line": "#a8aec8",
        "extra": "#7a3e9d",
        "extra2": "#0f6b86",
        "raised": "#cdd4ea",
        "on-accent": "#ffffff",
    },
)
# Okabe and Ito's eight colours (2008), some lightened for a dark ground: none of those that judge are told apart by
# red and green alone.
COLOUR_BLIND = Theme(
    name="colour-blind",
    primary="#56b4e9",
    secondary="#e69f00",
    accent="#cc79a7",
    success="#2ec4a0",
    warning="#f0e442",
    error="#ff8a4c",
    foreground="#e4e6ee",
    background="#14161c",
    surface="#191c24",
    panel="#222733",
    dark=True,
    variables={
        "label": "#c3c8d6",
        "quiet": "#949bb0",
        "line": "#4a5163",
        "extra": "#cc79a7",
        "extra2": "#e69f00",
        "raised": "#323a4b",
        "on-accent": "#14161c",
    },
)
THEMES: Final = (DARK, LIGHT, COLOUR_BLIND)

BOX_CSS: Final = """
.pane {
    border: round $line;
    border-title-color: $primary;
    border-title-background: $background;
    border-subtitle-color: $quiet;
    border-subtitle-background: $background;
    padding: 0 1;
}
.pane:focus, .pane:focus-within { border: round $primary; }
.pane.-bad { border: round $error; border-title-color: $error; }
.pane.-caution { border: round $warning; border-title-color: $warning; }
.popup {
    border: round $primary;
    border-title-color: $primary;
    border-title-background: $surface;
    border-subtitle-color: $quiet;
    border-subtitle-background: $surface;
    background: $surface;
    padding: 0 1;
}
"""
"""The frame of everything: the lowest level of style, so that a screen can leave it out where there is no room."""

SHARED_CSS: Final = """
Screen { background: $background; color: $foreground; }
Screen.-tiny TooSmall { display: block; }
ModalScreen { background: transparent; }
Input { border: none; height: 1; padding: 0; background: $raised; }
Input:focus { border: none; background: $raised; }
Input.-invalid, Input.-invalid:focus { border: none; }
Rows, PickList, VerticalScroll, DirectoryTree {
    scrollbar-size-vertical: 1;
    scrollbar-color: $line;
    scrollbar-color-hover: $quiet;
    scrollbar-color-active: $primary;
    scrollbar-background: $panel;
    scrollbar-background-hover: $panel;
    scrollbar-background-active: $panel;
}
"""
"""CSS put before the default styles of Textual's own widgets."""


def theme_named(name: str | None) -> Theme:
    """The theme of this name; the dark one when none is named.

    Raises:
        InputError: there is none of that name.
    """
    wanted = (name or DEFAULT).strip().lower().replace("_", "-").replace("color", "colour")
    for theme in THEMES:
        if theme.name == wanted:
            return theme
    names = ", ".join(theme.name for theme in THEMES)
    raise InputError(f"There is no theme '{name}'.", remedy=f"Themes are {names}.")


def use_theme(app: App[Any], name: str | None = None) -> None:
    """Register all themes and switch to one.

    Raises:
        InputError: there is none of that name.
    """
    chosen = theme_named(name)
    for theme in THEMES:
        app.register_theme(theme)
    app.theme = chosen.name


def variable_defaults() -> dict[str, str]:
    """Our own variables with the dark theme's values: Textual's own themes lack them."""
    return dict(DARK.variables)
