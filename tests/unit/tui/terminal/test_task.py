"""Work in threads has one home, and one behaviour for errors, cancelling and a newer start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event, get_ident

import pytest
from textual.app import App

import tui
from presets.errors import InputError, WizardError
from tui.terminal.errors import crash_log_path
from tui.terminal.task import Failures, Run, Task

PATIENCE = 20.0
"""Seconds after which a test gives up."""


class Heard:
    """What came back, in its order."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.errors: list[str] = []
        self.threads: set[int] = set()

    def __call__(self, value: object) -> None:
        self.said.append(value)
        self.threads.add(get_ident())

    def failed(self, error: WizardError) -> None:
        self.errors.append(str(error))
        self(str(error))

    def progress(self, done: int, total: int) -> None:
        self((done, total))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)


def held(run: Run, begun: Event) -> str:
    """Work that goes on until it should end."""
    begun.set()
    assert run.wait(PATIENCE)
    return "ended"


async def test_a_result_comes_back_in_the_hosts_thread() -> None:
    heard = Heard()
    async with App[None]().run_test() as pilot:
        task = Task(pilot.app, "test")

        def work(run: Run) -> int:
            assert get_ident() != here
            run.progress(1, 2)
            run.progress(2, 2)
            run.deliver(heard, "known already")
            return 42

        here = get_ident()
        task.start(work, heard, heard.failed, progress=heard.progress)
        assert task.running
        await heard.until(lambda: not task.running)
    # Of two reports in a quarter of a second the first is delivered.
    assert heard.said == [(1, 2), "known already", 42]
    assert heard.threads == {here}


async def test_of_several_starts_in_quick_succession_the_last_one_alone_does_its_work() -> None:
    heard, worked = Heard(), []
    async with App[None]().run_test() as pilot:
        task = Task(pilot.app, "test")
        for number in range(5):

            def work(_run: Run, number: int = number) -> int:
                worked.append(number)
                return number

            task.start(work, heard, heard.failed, after=0.2)
        await heard.until(lambda: not task.running)
    assert worked == heard.said == [4]


class Panic(BaseException):
    """As the Rust libraries fail: no Exception."""


@pytest.mark.parametrize("error", [InputError("The file is empty."), RuntimeError("boom"), Panic("boom")])
async def test_whatever_is_raised_ends_the_task_and_is_told(error: BaseException) -> None:
    heard = Heard()
    async with App[None]().run_test() as pilot:
        task = Task(pilot.app, "test")

        def work(_run: Run) -> None:
            raise error

        task.start(work, heard, heard.failed)
        await heard.until(lambda: heard.said)
        assert not task.running
    assert heard.errors and heard.said == heard.errors
    (said,) = heard.errors
    if isinstance(error, InputError):
        assert said == "The file is empty." and not crash_log_path().exists()
    else:
        assert "lora-wizard itself failed" in said and "boom" in crash_log_path().read_text()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancelled_task_says_nothing_more(fails: bool) -> None:
    heard, begun, over = Heard(), Event(), Event()
    async with App[None]().run_test() as pilot:
        task = Task(pilot.app, "test")

        def work(run: Run) -> str:
            try:
                ended = held(run, begun)
                run.deliver(heard, "late")
                run.progress(1, 1)
                if fails:
                    raise RuntimeError("boom")
                return ended
            finally:
                over.set()

        task.start(work, heard, heard.failed, progress=heard.progress)
        await heard.until(begun.is_set)
        assert task.cancel() and not task.running and not task.cancel()
        await heard.until(over.is_set)
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
    assert heard.said == []
    assert not crash_log_path().exists()


async def test_what_was_delivered_before_a_cancel_and_not_yet_taken_is_dropped() -> None:
    heard = Heard()
    async with App[None]().run_test() as pilot:
        task = Task(pilot.app, "test")
        begun, go, delivered = Event(), Event(), Event()

        def work(run: Run) -> None:
            begun.set()
            assert go.wait(PATIENCE)
            run.deliver(heard, "before")
            delivered.set()

        task.start(work, heard, heard.failed)
        await heard.until(begun.is_set)
        go.set()
        # The host's own thread waits here: nothing is taken until it goes on.
        assert delivered.wait(PATIENCE)
        task.cancel()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
    assert heard.said == []


async def test_the_newest_start_wins() -> None:
    heard, begun = Heard(), Event()
    async with App[None]().run_test() as pilot:
        task = Task(pilot.app, "test")
        first = task.start(lambda run: held(run, begun), heard, heard.failed)
        await heard.until(begun.is_set)
        second = task.start(lambda _run: "second", heard, heard.failed)
        assert first.stopped() and not second.stopped()
        assert task.runs(second) and not task.runs(first)
        await heard.until(lambda: heard.said)
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert not task.running
    assert heard.said == ["second"]


async def test_a_task_that_was_asked_to_end_is_still_listened_to() -> None:
    heard, begun = Heard(), Event()
    async with App[None]().run_test() as pilot:
        task = Task(pilot.app, "test")
        task.start(lambda run: held(run, begun), heard, heard.failed)
        await heard.until(begun.is_set)
        task.ask_to_end()
        assert task.running
        await heard.until(lambda: heard.said)
    assert heard.said == ["ended"]


async def test_a_callback_that_is_a_coroutine_is_awaited() -> None:
    heard = Heard()

    async def done(value: str) -> None:
        await asyncio.sleep(0)
        heard(value)

    async with App[None]().run_test() as pilot:
        Task(pilot.app, "test").start(lambda _run: "found", done, heard.failed)
        await heard.until(lambda: heard.said)
    assert heard.said == ["found"]


async def test_work_whose_host_has_gone_is_told_to_end() -> None:
    begun, told = Event(), Event()

    def work(run: Run) -> None:
        begun.set()
        while not run.wait(0.01):
            pass
        told.set()

    heard = Heard()
    async with App[None]().run_test() as pilot:
        Task(pilot.app, "test").start(work, heard, heard.failed)
        await heard.until(begun.is_set)
    await heard.until(told.is_set)
    assert heard.said == []


def test_no_other_module_starts_threads() -> None:
    found = [
        path.name
        for path in Path(tui.__file__).parent.rglob("*.py")
        if any(way in path.read_text() for way in (".run_worker(", "@work", "Thread(", "call_from_thread("))
    ]
    assert found == ["task.py"]


def test_what_fails_each_time_is_logged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    failures = Failures()
    assert failures.take(None) is None
    first = failures.take(OSError("boom"))
    assert first is not None
    assert failures.take(OSError("boom")) is first
    assert crash_log_path().read_text().count("boom") == 1
    refused = InputError("The folder is gone.")
    assert failures.take(refused) is refused
    assert failures.take(None) is None
    assert failures.take(OSError("boom")) is not first
