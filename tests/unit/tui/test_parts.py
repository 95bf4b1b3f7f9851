"""Keys of a screen that is made of parts do what its parts do, and no part hides an action of another."""

from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.screen import Screen

from tui.screens.data.screen import DataScreen
from tui.screens.parts import ScreenWithParts
from tui.screens.plan.screen import PlanScreen
from tui.screens.train.screen import TrainScreen


def screens() -> list[ScreenWithParts]:
    return [PlanScreen(), DataScreen(), TrainScreen(Path("run"))]


@pytest.mark.parametrize("screen", screens(), ids=lambda screen: type(screen).__name__)
def test_every_key_leads_to_an_action(screen: ScreenWithParts) -> None:
    assert screen.parts
    bindings = [binding for binding in screen.BINDINGS if isinstance(binding, Binding)]
    for binding in bindings:
        owner, _, name = binding.action.partition("(")[0].rpartition(".")
        if not owner:
            assert inspect.getdoc(getattr(screen, f"action_{name}")), binding.action


@pytest.mark.parametrize("screen", screens(), ids=lambda screen: type(screen).__name__)
def test_no_part_hides_an_action_of_another(screen: ScreenWithParts) -> None:
    of_parts = Counter(name for part in screen.parts for name in dir(part) if name.startswith("action_"))
    assert max(of_parts.values()) == 1
    assert not of_parts.keys() & set(dir(type(screen)))


def test_what_no_part_has_is_no_attribute() -> None:
    screen = ScreenWithParts()
    assert isinstance(screen, Screen) and screen.parts == ()
    with pytest.raises(AttributeError, match="action_nothing"):
        getattr(screen, "action_nothing")  # noqa: B009  # a type checker would refuse it, rightly
