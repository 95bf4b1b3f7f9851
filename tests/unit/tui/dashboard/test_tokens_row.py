"""The dashboard's tokens: those so far of those that the run comes to, by what its start event says of a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.dashboard.made import MadeRun
from trainer.history.reader import RunReader
from tui.dashboard.curves import History
from tui.dashboard.now import now_rows

Tokens = Callable[..., str]


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    """The row of a run of 500 steps after some of them, 210 tokens each."""

    def row(steps: int, *, ended: bool = False, **started: float) -> str:
        made = MadeRun(tmp_path / f"run-{steps}", total=500)
        made.begin()
        if started:
            made.say("start", total_steps=500, **started)
        made.train(steps)
        if ended:
            made.say("end", status="stopped", reason="asked for")
        snapshot = RunReader(made.path, made.clock).poll()
        return next((line.plain for line in now_rows(snapshot, History()) if line.plain.startswith("tokens")), "")

    return row


def test_the_expected_tokens_are_those_that_the_start_says_of_a_step(tokens: Tokens) -> None:
    assert tokens(100, tokens_per_step=180.5).split() == ["tokens", "21", "000", "of", "90", "250"]


@pytest.mark.parametrize("started", [{}, {"tokens_per_step": float("nan")}], ids=["not said", "not a number"])
def test_a_run_that_does_not_say_it_goes_on_as_it_began(tokens: Tokens, started: dict[str, float]) -> None:
    assert tokens(100, **started).split() == ["tokens", "21", "000", "of", "105", "000"]


def test_a_run_that_has_ended_expects_none_and_one_without_a_step_has_none(tokens: Tokens) -> None:
    assert tokens(0) == ""
    assert tokens(100, ended=True).split() == ["tokens", "21", "000"]
