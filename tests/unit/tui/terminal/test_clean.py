"""What others wrote cannot alter the screen."""

import pytest
from rich.text import Text

from presets.errors import InputError
from recommender.data.tokens.tokenise import Piece
from tui.terminal.errors import render
from tui.terminal.sanitize import as_markup, clean, clean_lines, shorten
from tui.widgets.sample import sample_content


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;Y3VybA==\x07copied", "copied"),
        ("\x1b]0;title\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("a\x00b\x07c\x9b31m", "abc31m"),
        ("first\r\nsecond\tthird", "first second third"),
        ("user\u202egpj.exe", "usergpj.exe"),
        ("[bold red]markup[/]", "[bold red]markup[/]"),
        ("über 5 µs, 日本", "über 5 µs, 日本"),
    ],
)
def test_one_line(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


def test_lines_stay_lines() -> None:
    assert clean_lines("one\r\ntwo\x1b[2J\n\tthree") == ["one", "two", "    three"]


def test_a_long_text_says_that_it_was_cut() -> None:
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 10) == "abcdefghi…"
    assert shorten("abcdefghijk", 10, unicode=False) == "abcdefg..."


def test_as_markup_it_stays_text_and_keeps_its_columns() -> None:
    hostile = "a\x1b]0;PWN\x07\x1b[31m  [bold]b\u202e\n c"
    shown = as_markup(hostile)
    assert Text.from_markup(shown).plain == "a  [bold]b\n c"
    assert "\x1b" not in shown


def test_an_error_cannot_drive_the_terminal() -> None:
    error = InputError("\x1b[2Jno model \x1b]0;PWN\x07x", remedy="see \x1b[31m/tmp/a", detail="line\x07 one\nline two")
    assert render(error) == "error: no model x\n  → see /tmp/a\n  line one\n  line two"


def test_what_a_token_holds_is_seen_in_the_sample() -> None:
    piece = Piece("x  \r\n\x1b[2J\t\x7f\u202ey  ", 7, trained=True, special=False, cut=False)
    assert sample_content([piece]).plain == "x  ␍\n␛[2J    ␡y  "
