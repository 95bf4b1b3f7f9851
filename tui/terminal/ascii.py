"""Signs in ASCII, for where there are no others: `--no-unicode`, the Linux console, LANG=C, another encoding."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

_DRAWN = {
    **dict.fromkeys("─━═╌┄┈╴╶▔▁⎺⎽", "-"),
    **dict.fromkeys("│┃║┆┊╎╵╷▏▎▍▌▐▕⎸⎹¦", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝╠╣╦╩╬┏┓┗┛┠┡┢┣┨┩┪┫┯┳┷┻┿╂╇╈╋", "+"),
    **dict.fromkeys("█■▇▆", "#"),
    **dict.fromkeys("▓▅", "%"),
    **dict.fromkeys("▒▄▀", "="),
    **dict.fromkeys("░▃▂", ":"),
    **dict.fromkeys("●◉•", "*"),
    **dict.fromkeys("○◌", "o"),
    **dict.fromkeys("·⋅", "."),
    # What is cut must not look like the end of a sentence.
    "…": "~",
    **dict.fromkeys("→▶▸❯›⟩", ">"),
    **dict.fromkeys("←◀◂‹⟨", "<"),
    **dict.fromkeys("↑▲", "^"),
    **dict.fromkeys("↓▼▾", "v"),
    **dict.fromkeys("–—−", "-"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("‘’′", "'"),
    # Beside the mark of what is recommended it must be another one.
    "✎": "/",
    "✂": "]",
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


_IN_TEXT = {"…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "±": "+/-", "°": " deg ", "▁": "_"}
"""ASCII in place of signs, for text that need not stay as wide as it was."""


@lru_cache(4096)
def drawn_in(text: str, encoding: str = "ascii") -> str:
    """Return the text as wide as before, drawings in ASCII, and every other sign that the encoding lacks replaced.

    Lines and blocks go even where the encoding has them: terminals of East Asian encodings draw them two cells wide.
    """
    # What is still being done ends in a blank and an ellipsis; what is cut in an ellipsis alone.
    if text.isascii():
        return text
    return "".join(one if _keeps(one, encoding) else _one(one) for one in text.replace(" …", ".."))


def _keeps(character: str, encoding: str) -> bool:
    if character.isascii() or character in _DRAWN or ord(character) in _BRAILLE:
        return character.isascii()
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _one(character: str) -> str:
    if character in _DRAWN:
        return _DRAWN[character]
    if ord(character) in _BRAILLE:
        return "." if (ord(character) - 0x2800).bit_count() < 4 else ":"
    base = unicodedata.normalize("NFKD", character)[:1]
    if base.isascii() and base.isprintable():
        return base
    from rich.cells import cell_len

    return "?" * cell_len(character)


def in_text(character: str) -> str:
    """Return the ASCII for one sign of a running text, which may become longer."""
    return _IN_TEXT.get(character) or _one(character)


def drawing_encoding(stream: str, environment: Mapping[str, str], *, unicode: bool = True) -> str:
    """Return the encoding whose signs a terminal is likely to show: the stream's, or ASCII.

    ASCII where it was asked for, where the locale says C or POSIX in so many words, and on the Linux console, whose
    font has 512 glyphs. An unset locale, as in most containers, says nothing: terminals have been UTF-8 for long.

    Args:
        stream: The encoding of what is written to the terminal.
        environment: TERM and the locale.
        unicode: Whether more than ASCII was not forbidden.
    """
    plain = environment.get("TERM") in {"linux", "dumb", "vt100", "vt220"} or _locale(environment) in {"C", "POSIX"}
    return "ascii" if plain or not unicode else codecs.lookup(stream).name


def charset(environment: Mapping[str, str]) -> str:
    """Return the locale's encoding by Python's name; empty where it names none, or none that Python knows."""
    named = _locale(environment).partition(".")[2].partition("@")[0]
    try:
        return codecs.lookup(named).name if named else ""
    except LookupError:
        return ""


def _locale(environment: Mapping[str, str]) -> str:
    # Python itself sets LC_CTYPE=C.UTF-8 under LANG=C (PEP 538), so LC_CTYPE cannot be asked.
    return environment.get("LC_ALL") or environment.get("LANG") or ""
