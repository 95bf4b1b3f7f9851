"""Keys as bytes of a terminal's encoding."""

from __future__ import annotations

import os
from threading import Event

import pytest

from tui.terminal import driver
from tui.terminal.driver import TerminalDriver, key_decoder


class Silent:
    """A parser of keys that makes nothing of them."""

    def __init__(self, _driver: TerminalDriver) -> None:
        pass

    def feed(self, _characters: str) -> tuple[()]:
        return ()

    def tick(self) -> tuple[()]:
        return ()


def test_a_sign_may_come_in_pieces() -> None:
    decode = key_decoder("utf-8")
    assert [decode(bytes([each])) for each in "é".encode()] == ["", "é"]


def test_bytes_that_mean_nothing_are_left_out() -> None:
    assert key_decoder("utf-8")(b"a\xff\xc3(b") == "a(b"


def test_another_encoding_is_read_as_such() -> None:
    assert key_decoder("gbk")("数".encode("gbk")) == "数"


def test_a_terminal_that_has_gone_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had read on for ever, where SIGHUP is ignored."""
    ours, theirs = os.pipe()
    os.close(theirs)
    ended: list[bool] = []
    monkeypatch.setattr(driver, "KeyParser", Silent)
    monkeypatch.setattr(driver, "hang_up", lambda: ended.append(True))
    reader = object.__new__(TerminalDriver)
    reader.fileno, reader.exit_event = ours, Event()
    reader.run_input_thread()
    os.close(ours)
    assert ended == [True]
