"""The words: one sentence each, the page of them current, and every screen that shows some is one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from presets.glossary import Word, load_glossary
from tui.screens.help import _words
from tui.widgets.top_bar import Step

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("entry", load_glossary(), ids=lambda entry: entry.word)
def test_each_word_is_said_in_one_sentence(entry: Word) -> None:
    assert entry.says.endswith(".")
    assert ". " not in entry.says.replace("`. ", "")
    assert len(entry.says) <= 150
    assert set(entry.screens) <= {step.name.lower() for step in Step}


def test_no_word_is_there_twice() -> None:
    words = [entry.word for entry in load_glossary()]
    assert len(set(words)) == len(words)


def test_the_page_is_current() -> None:
    spec = importlib.util.spec_from_file_location("make_glossary", DOCS / "make_glossary.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "glossary.md").read_text(encoding="utf-8") == module.page(), "run: python docs/make_glossary.py"


@pytest.mark.parametrize("step", Step)
def test_help_shows_the_words_of_its_step(step: Step) -> None:
    shown = "\n".join(row.plain for row in _words(step))
    for entry in load_glossary():
        assert (entry.says in shown) == (step.name.lower() in entry.screens)
