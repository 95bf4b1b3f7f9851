"""Make text that others wrote safe to show: data rows, model answers, file names, library messages.

Nothing here may move the cursor, change colours, hide or reorder what stands around it. Markup is a matter of the
widget: text is given to Textual as `Content` or `Text`, never as markup.
"""

from __future__ import annotations

import re
import unicodedata

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
"""CSI sequences, OSC strings with their terminator, and two-character escapes (ECMA-48)."""
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def clean(text: str) -> str:
    """Return one line: escape sequences and invisible characters are taken out, white space becomes single blanks."""
    return " ".join(_visible(text).split())


def clean_lines(text: str) -> list[str]:
    """Return the lines of a text, each safe to show; tabs become four blanks."""
    return [_visible(line.replace("\t", "    ")).rstrip() for line in _line_ends(text).split("\n")]


def clean_text(text: str) -> str:
    """Return a text with its lines and blanks, safe to show."""
    return "\n".join(clean_lines(text))


def clean_exactly(text: str) -> str:
    """Return a text as it stands, safe to show: control characters are seen as signs (␀ ␛ ␍), tabs are four blanks.

    Lines and blanks are kept; other invisible characters (those that join or reorder) are taken out.
    """
    return "".join(_sign(char) for char in text)


def as_markup(text: str) -> str:
    """Return a text that others wrote as a piece of Rich's markup: it stays text, and moves nothing."""
    from rich.markup import escape

    return escape(clean_text(text))


def shorten(text: str, width: int, *, unicode: bool = True) -> str:
    """Cut a cleaned text to a width in characters, marking the cut with an ellipsis."""
    if len(text) <= width:
        return text
    mark = "…" if unicode else "..."
    return text[: max(0, width - len(mark))].rstrip() + mark


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _sign(char: str) -> str:
    """One character as it is shown: control characters as U+2400 to U+2421 or as a number, tabs as blanks."""
    code = ord(char)
    if char in "\n\t":
        return "\n" if char == "\n" else "    "
    if code < 0x20 or code == 0x7F:
        return chr(0x2400 + code) if code < 0x20 else "\u2421"
    if 0x80 <= code < 0xA0:
        return f"\\x{code:02x}"
    return "" if unicodedata.category(char) in _HIDDEN else char


def _visible(text: str) -> str:
    plain = _ESCAPES.sub("", text)
    return "".join(
        " " if char in "\n\r\t" or unicodedata.category(char) in ("Zl", "Zp") else char
        for char in plain
        if char in "\n\r\t" or unicodedata.category(char) not in _HIDDEN
    )
