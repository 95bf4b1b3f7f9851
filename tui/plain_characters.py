"""Drawing with ASCII only, for terminals that have no other characters: `--no-unicode`, the Linux console, LANG=C.

One filter over everything that is painted, cell by cell, so that no widget needs a second way to draw.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_DRAWN = {
    **dict.fromkeys("─━═╌┄┈╴╶▔▁⎺⎽", "-"),
    **dict.fromkeys("│┃║┆┊╎╵╷▏▎▍▌▐▕⎸⎹", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝╠╣╦╩╬", "+"),
    **dict.fromkeys("█■▇▆", "#"),
    **dict.fromkeys("▓▅", "%"),
    **dict.fromkeys("▒▄▀", "="),
    **dict.fromkeys("░▃▂", ":"),
    **dict.fromkeys("●◉", "*"),
    **dict.fromkeys("○◌", "o"),
    **dict.fromkeys("·⋅", "."),
    # What is cut must not look like the end of a sentence.
    "…": "~",
    **dict.fromkeys("→▶▸❯", ">"),
    **dict.fromkeys("←◀◂", "<"),
    **dict.fromkeys("↑▲", "^"),
    **dict.fromkeys("↓▼▾", "v"),
    **dict.fromkeys("–—−", "-"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("‘’′", "'"),
    # Beside the mark of what is recommended it must be another one.
    "✎": "/",
    "✓": "+",
    "✗": "x",
    "✕": "x",
    "×": "x",
    "±": "~",
    "≈": "~",
    "°": "'",
    "↵": "_",
    "⏎": "_",
    "≤": "<",
    "≥": ">",
    "\u2800": " ",
    "\u00a0": " ",
}
_BRAILLE = range(0x2801, 0x2900)


@lru_cache(4096)
def to_ascii(text: str) -> str:
    """Return the text with every character that is not ASCII replaced, as wide as before."""
    # What is still being done ends in a blank and an ellipsis; what is cut in an ellipsis alone.
    return text if text.isascii() else "".join(map(_one, text.replace(" …", "..")))


def _one(character: str) -> str:
    if character.isascii():
        return character
    if character in _DRAWN:
        return _DRAWN[character]
    if ord(character) in _BRAILLE:
        return "." if (ord(character) - 0x2800).bit_count() < 4 else ":"
    base = unicodedata.normalize("NFKD", character)[:1]
    return base if base.isascii() and base.isprintable() else "?" * cell_len(character)


class AsciiOnly(LineFilter):
    """Replaces what the terminal cannot show."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Return the segments with their text in ASCII."""
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]


def shows_unicode(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is likely to show more than ASCII.

    Not when the locale says C or POSIX in so many words, and not on the Linux console, whose font has 512 glyphs. An
    unset locale, as in most containers, says nothing: terminals have been UTF-8 for long.
    """
    if environment.get("TERM") in {"linux", "dumb", "vt100", "vt220"}:
        return False
    # Python itself sets LC_CTYPE=C.UTF-8 under LANG=C (PEP 538), so LC_CTYPE cannot be asked.
    chosen = environment.get("LC_ALL") or environment.get("LANG") or ""
    return chosen not in {"C", "POSIX"}
