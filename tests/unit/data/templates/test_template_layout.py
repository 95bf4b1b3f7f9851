"""Answers found by the template layout of a conversation's roles are those that rendering finds, whatever is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommender.data.formats.examples import Chat, Message, RowProblem
from recommender.data.templates.layout import CHECKED
from recommender.data.tokens.answer_spans import RenderedChat, TurnFinder
from tests.fixtures.vocabularies import CHATML
from tests.unit.data.tokens.test_turns import FORGETFUL, HEADED, INST, MARKED, PREFILLED, SHOUTING, TRAILING, finder

SIGNS = ["a", "é", " ", "\n", "<", "|", "im_end", "<|im_end|>", "</think>", "<|eot_id|>", "Yes.", "Zq1probe"]
SAID = st.lists(st.sampled_from(SIGNS), max_size=6).map("".join)
TEMPLATES = {
    "chatml": CHATML,
    "headed": HEADED,
    "inst": INST,
    "marked": MARKED,
    "trailing": TRAILING,
    "forgetful": FORGETFUL,
    "prefilled": PREFILLED,
    "shouting": SHOUTING,
    "half trimmed": CHATML.replace("message['content']", "message['content'].rstrip()"),
    "picky": CHATML.replace("message['content']", "(message['content'] if 'é' not in message['content'] else 'E')"),
}


def chat(*said: str) -> Chat:
    return Chat(tuple(Message("assistant" if turn % 2 else "user", text) for turn, text in enumerate(said)))


def by_rendering(turns: TurnFinder, row: Chat) -> RenderedChat | str:
    """As it was found before there were layouts."""
    messages = list(row.messages)
    wanted = [i for i, turn in enumerate(messages) if turn.role == "assistant" and turn.train and not turn.empty]
    try:
        return turns._by_rendering(row, messages, wanted)
    except RowProblem as problem:
        return problem.reason


def found(turns: TurnFinder, row: Chat) -> RenderedChat | str:
    try:
        return turns.render(row)
    except RowProblem as problem:
        return problem.reason


@pytest.fixture(scope="module", params=TEMPLATES)
def turns(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TurnFinder:
    made = finder(tmp_path_factory.mktemp("model"), TEMPLATES[request.param])
    for row in range(CHECKED + 1):
        for length in (2, 4):
            found(made, chat(*(f"word {row} of {turn}" for turn in range(length))))
    return made


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.sampled_from([2, 4]).flatmap(lambda length: st.lists(SAID, min_size=length, max_size=length)))
def test_the_quick_way_says_what_rendering_says(turns: TurnFinder, said: list[str]) -> None:
    row = chat(*said)
    assert without_method(found(turns, row)) == without_method(by_rendering(turns, row))


def without_method(rendered: RenderedChat | str) -> RenderedChat | str:
    """A row of which some answers are empty may name the method that finds these."""
    return rendered if isinstance(rendered, str) else replace(rendered, method="")


def test_rows_of_known_roles_are_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = finder(tmp_path, CHATML)
    for row in range(CHECKED):
        made.render(chat(f"Ask {row}", "Yes."))
    calls: list[int] = []
    render = made.habits.plain.render

    def counted(messages: Sequence[Mapping[str, Any]], **options: Any) -> str:
        calls.append(1)
        return render(messages, **options)

    monkeypatch.setattr(made.habits.plain, "render", counted)
    assert made.render(chat("Ask", "Yes.")).method == "prefix"
    assert len(calls) == 1


def test_a_layout_that_a_row_refutes_is_not_used_again(tmp_path: Path) -> None:
    made = finder(tmp_path, CHATML)
    row = chat("Ask", "Yes.")
    made.render(row)
    layout = made._layouts.of(row.messages)
    assert layout is not None
    layout.compare([(0, 1)], [(0, 2)])
    assert made._layouts.of(row.messages) is None
    assert made.render(row) == by_rendering(made, row)
