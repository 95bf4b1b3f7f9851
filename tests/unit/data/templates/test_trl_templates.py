"""Every chat template that TRL ships, on conversations of many kinds: exact, asked about, told of, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.templates import conversations, difference, outcome, vocabulary_for, without_marks
from recommender.data.templates.choose import ChatTemplate
from recommender.data.templates.render import ChatRenderer
from recommender.data.templates.trl import folder, originals, training_templates
from recommender.data.tokens.answer_spans import TurnFinder

pytestmark = pytest.mark.skipif(folder() is None, reason="needs TRL's templates")
KINDS = (
    "two answers",
    "system",
    "reasoning in the text, two answers",
    "reasoning of its own",
    "call beside text",
    "two calls in turn",
    "an answer that is context",
    "other scripts and blanks",
)
CHATS = {kind: chat for kind, chat in conversations().items() if kind in KINDS}
MARKED = [name for name, path in training_templates().items() if path.stem.endswith("_training")]


@pytest.mark.parametrize("name", originals())
def test_nothing_is_lost_or_trained_in_silence(tmp_path: Path, name: str) -> None:
    source = originals()[name]
    turns = TurnFinder(ChatTemplate("model", source), vocabulary_for(source, name, tmp_path))
    found = {kind: outcome(turns, chat, offers=False) for kind, chat in CHATS.items()}
    assert len(found) == len(KINDS)
    assert not {kind: came for kind, came in found.items() if came.kind == "SILENT"}
    assert not {kind: came for kind, came in found.items() if came.kind == "refused"}


@pytest.mark.parametrize("name", MARKED)
def test_spans_found_without_a_twins_marks_are_its_marks_or_differ_for_a_reason(tmp_path: Path, name: str) -> None:
    marked = training_templates()[name].read_text(encoding="utf-8")
    bare = without_marks(marked)
    vocabulary = vocabulary_for(bare, name, tmp_path)
    turns = TurnFinder(ChatTemplate("model", bare), vocabulary)
    chat = CHATS["two answers"]
    row = turns.render(chat)
    variables = {"bos_token": "", "eos_token": "", **vocabulary.special_tokens}
    given = [turns.habits.given(turn.for_template()) for turn in turns.given(chat)]
    text, marks = ChatRenderer(marked, variables).render_marked(given)
    assert text == row.text
    assert "?" not in difference(text, row.spans, marks, turns)
