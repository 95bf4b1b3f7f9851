"""A sample of the anatomies that ship, held to the classes of the installed Transformers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from presets.models import find_model
from recommender.model.anatomies import is_current, shipped
from trainer.anatomy.learn import learn

SAMPLE = ("gemma-3-4b-it", "granite-4.0-h-tiny", "lfm2.5-1.2b-instruct", "glm-4.7-flash")


@pytest.mark.parametrize("name", SAMPLE)
def test_what_ships_is_what_the_class_says(name: str) -> None:
    model = find_model(name)
    assert model is not None
    kept = shipped(model.config)
    assert kept is not None
    if not is_current(kept):
        pytest.skip(f"learned with Transformers {kept.versions['transformers']}; another is installed")
    assert replace(learn(dict(model.config)), versions=kept.versions) == kept
