"""docs/rules.md is written from the rules, is current, and covers the guides."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from presets.recipes import load_recipes
from recommender.config.edit import flatten
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.rules.registry import RULES
from tui.commands.root import command_names

DOCS = Path(__file__).parents[3] / "docs"
SEEDS = DOCS.parents[1] / "shared" / "seeds"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_rules", DOCS / "make_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(program: ModuleType) -> None:
    written = (DOCS / "rules.md").read_text(encoding="utf-8")
    now = program.page(program.example())
    assert program.without_figures(written) == program.without_figures(now), "run: python docs/make_rules.py"


def test_every_rule_and_key_is_on_the_page() -> None:
    written = (DOCS / "rules.md").read_text(encoding="utf-8")
    for rule in RULES:
        for key in rule.keys:
            assert f"- **`{key}`**" in written


def test_every_line_of_the_guides_leads_somewhere() -> None:
    keys = {*flatten(FinetuneConfig(model="m", quantization=Quantization(bits=4))), "model", "rope_scaling"}
    recipes = {recipe.name for recipe in load_recipes()}
    lines = [line for guide in yaml.safe_load((DOCS / "guides.yaml").read_text()).values() for line in guide]
    assert len(lines) > 60
    for line in lines:
        assert set(line) == {"say", "key", "differ"}
        commands = re.findall(r"`([^`]+)`", line["key"])
        for command in commands:
            name, *rest = command.split()
            assert name in command_names(), line
            assert set(rest) <= recipes, line
        assert commands or line["key"] in keys or line["key"] == "obsolete", line


@pytest.mark.skipif(not SEEDS.is_dir(), reason="needs the seed guides")
def test_every_field_of_the_training_form_is_covered() -> None:
    form = (SEEDS / "003_d7d02b33796b0175.txt").read_text(encoding="utf-8")
    fields = set(re.findall(r"\((?:[A-Za-z ]+ / )([a-z][a-z0-9_]+)\)", form)) | {"rope_scaling"}
    covered = (DOCS / "guides.yaml").read_text(encoding="utf-8")
    assert len(fields) >= 15
    assert {field for field in fields if field not in covered} == set()
