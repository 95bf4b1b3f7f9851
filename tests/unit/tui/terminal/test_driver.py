"""Keys as bytes of a terminal's encoding."""

from __future__ import annotations

from tui.terminal.driver import key_decoder


def test_a_sign_may_come_in_pieces() -> None:
    decode = key_decoder("utf-8")
    assert [decode(bytes([each])) for each in "é".encode()] == ["", "é"]


def test_bytes_that_mean_nothing_are_left_out() -> None:
    assert key_decoder("utf-8")(b"a\xff\xc3(b") == "a(b"


def test_another_encoding_is_read_as_such() -> None:
    assert key_decoder("gbk")("数".encode("gbk")) == "数"
