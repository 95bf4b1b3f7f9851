"""docs/configuration.md is written from the schema, is current, and says something of every key."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from recommender.config.io import json_schema
from recommender.config.keys import fields

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_configuration", DOCS / "make_configuration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(program: ModuleType) -> None:
    written = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert written == program.page(), "run: python docs/make_configuration.py"


def test_every_key_is_on_the_page_once() -> None:
    written = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for key in fields():
        assert written.count(f"\n| `{key}` | ") == 1, key


@pytest.mark.parametrize("key", fields())
def test_every_key_says_what_it_is(key: str) -> None:
    assert fields()[key].description, "the form, the page and editors show the description"


def test_the_json_schema_says_ranges_in_its_own_words() -> None:
    """Pydantic's 'ge' and 'lt' mean nothing to an editor that checks the file."""

    def keys(part: object) -> set[str]:
        if isinstance(part, dict):
            return set(part).union(*map(keys, part.values()))
        return set().union(*map(keys, part)) if isinstance(part, list) else set()

    assert not {"ge", "gt", "le", "lt"} & keys(json_schema())
