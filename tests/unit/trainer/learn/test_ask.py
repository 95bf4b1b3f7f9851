"""What is remembered of an order that was not answered."""

from __future__ import annotations

from typing import Any

import pytest

from recommender.memory.learned.store import REFUSED, refusal_of
from recommender.memory.not_learned import CannotLearn
from recommender.memory.workload import Workload
from recommender.model.spec import ModelSpec
from tests.unit.memory.learned import test_price
from trainer.learn import ask
from trainer.learn.ask import learned
from trainer.learn.warm import FAILED

model = test_price.model


class Child:
    """Answers every order alike."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer

    def ask(self, *_: object) -> dict[str, Any]:
        """The answer."""
        return self._answer


@pytest.mark.parametrize(("answer", "kept"), [({REFUSED: "no form."}, "no form."), ({FAILED: "it took too long."}, "")])
def test_a_refusal_of_the_model_is_remembered_and_a_failure_of_the_machine_is_not(
    model: ModelSpec, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], kept: str
) -> None:
    monkeypatch.setattr(ask, "CHILD", Child(answer))
    monkeypatch.setattr(ask, "order_of", _order)
    workload = test_price.case(model)
    with pytest.raises(CannotLearn):
        learned(workload)
    assert refusal_of(workload) == kept


class _Order:
    def dumps(self) -> str:
        """Nothing that matters here."""
        return "{}"


def _order(_: Workload) -> _Order:
    return _Order()
