"""Who asked for it is told of the end and of trouble, once each, in the way that was asked for."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from presets.errors import InputError
from tests.functional.dashboard.made import MadeRun
from trainer.history.reader import RunReader
from tui.dashboard.notify import Notifier, NotifySettings, in_terminal


class Told:
    """What reached the terminal and the shell."""

    def __init__(self, made: MadeRun, wishes: NotifySettings) -> None:
        self.written: list[str] = []
        self.started: list[Mapping[str, str]] = []
        self.reader = RunReader(made.path, made.clock)
        self.notifier = Notifier(wishes, self.written.append, lambda _, told: self.started.append(told))

    def look(self) -> None:
        self.notifier.look(self.reader.poll())


@pytest.fixture
def made(tmp_path: Path) -> MadeRun:
    run = MadeRun(tmp_path / "run")
    run.begin()
    run.train(150)
    return run


def test_the_end_is_told_once(made: MadeRun) -> None:
    told = Told(made, NotifySettings(frozenset({"bell", "osc9"}), "notify-me"))
    told.look()
    assert told.written == []
    made.finish()
    told.look()
    told.look()
    assert told.written == ["\a\x1b]9;run: finished\x07"]
    assert [each["LORA_WIZARD_STATUS"] for each in told.started] == ["finished"]


def test_trouble_is_told_before_the_end(made: MadeRun) -> None:
    told = Told(made, NotifySettings(frozenset({"osc777"})))
    told.look()
    made.say("step", 1, step=151, loss=float("nan"))
    told.look()
    told.look()
    assert told.written == ["\x1b]777;notify;lora-wizard;run: the loss is not a number\x07"]


def test_what_ended_before_it_was_watched_is_no_news(made: MadeRun) -> None:
    made.finish()
    told = Told(made, NotifySettings(frozenset({"bell"})))
    told.look()
    told.look()
    assert told.written == []


def test_nothing_is_told_unasked(made: MadeRun) -> None:
    told = Told(made, NotifySettings())
    told.look()
    made.finish()
    told.look()
    assert told.written == []


def test_a_hostile_name_stays_text_and_tmux_is_passed_through() -> None:
    assert in_terminal("osc777", "a\x07\x1b]0;b;c", {}) == "\x1b]777;notify;lora-wizard;a\x07"
    assert in_terminal("osc9", "end", {"TMUX": "/tmp/x"}) == "\x1bPtmux;\x1b\x1b]9;end\x07\x1b\\"


def test_wishes_come_from_the_command_line_or_the_environment() -> None:
    environment = {"LORA_WIZARD_NOTIFY": "bell,osc9", "LORA_WIZARD_NOTIFY_COMMAND": "say hi"}
    assert NotifySettings.read([], "", environment) == NotifySettings(frozenset({"bell", "osc9"}), "say hi")
    assert NotifySettings.read(["osc777"], "other", environment) == NotifySettings(frozenset({"osc777"}), "other")
    assert not NotifySettings.read([], "", {})
    with pytest.raises(InputError, match="'pigeon'"):
        NotifySettings.read(["pigeon"], "", {})
