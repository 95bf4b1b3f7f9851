"""What is drawn and written where a terminal or a pipe has fewer signs than Unicode."""

from __future__ import annotations

import pytest

from tui.terminal.ascii import charset, drawing_encoding, drawn_in, in_text
from tui.terminal.streams import REPLACED


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        # Cut text must not look like the end of a sentence or of a number.
        ("1 × 4…", "1 x 4~"),
        ("9.5 GiB more m…", "9.5 GiB more m~"),
        ("reading the rows …", "reading the rows.."),
        ("● recommended  ✎ yours", "* recommended  / yours"),
        ("■ weights 5.3 · ✓", "# weights 5.3 . +"),
    ],
)
def test_it_is_as_wide_and_says_the_same(text: str, drawn: str) -> None:
    assert drawn_in(text) == drawn
    assert len(drawn) == len(text)


@pytest.mark.parametrize(
    ("encoding", "drawn"),
    [("ascii", "+ ???? cafe | >"), ("gbk", "+ 数据 café | >"), ("latin-1", "+ ???? café | >")],
)
def test_letters_that_the_encoding_has_are_kept_and_drawings_never(encoding: str, drawn: str) -> None:
    assert drawn_in("✓ 数据 café │ →", encoding) == drawn


@pytest.mark.parametrize(
    ("stream", "environment", "encoding"),
    [
        ("utf-8", {}, "utf-8"),
        ("UTF-8", {"LANG": "en_US.UTF-8", "TERM": "xterm-256color"}, "utf-8"),
        ("utf-8", {"LANG": "C"}, "ascii"),
        ("utf-8", {"TERM": "linux"}, "ascii"),
        ("gbk", {"LANG": "zh_CN.GBK"}, "gbk"),
    ],
)
def test_the_wizard_draws_in_what_the_terminal_has(stream: str, environment: dict[str, str], encoding: str) -> None:
    assert drawing_encoding(stream, environment) == encoding
    assert drawing_encoding(stream, environment, unicode=False) == "ascii"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"LANG": "ja_JP.eucJP"}, "euc_jp"),
        ({"LC_ALL": "de_DE.ISO-8859-15@euro", "LANG": "C"}, "iso8859-15"),
        ({"LANG": "en_US"}, ""),
        ({"LANG": "xx_YY.nonsense"}, ""),
        ({}, ""),
    ],
)
def test_the_encoding_that_a_locale_names(environment: dict[str, str], named: str) -> None:
    assert charset(environment) == named


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "gbk", "euc_jp", "shift_jis", "koi8-r"])
def test_a_sign_that_is_lacking_is_replaced_by_what_means_the_same(encoding: str) -> None:
    written = "✓ ≤ 5 → … 数 \udcff".encode(encoding, REPLACED).decode(encoding)
    assert len(written.split()) == 7
    for sign, ascii_sign in zip("✓≤→…", ["+", "<=", "->", "..."], strict=True):
        assert (sign in written) != (ascii_sign in written), written
        assert in_text(sign) == ascii_sign
    assert written.endswith("?")
