"""Every adapter has a gradient after the first step, or the run stops with the reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from trainer.worker.loop.learning import STEPS, CannotLearn, LearningCheck, learning_of, require_reached


class Three(nn.Module):
    """Two layers that learn, and one that is passed without a gradient, or by a factor."""

    def __init__(self, *, detached: bool = False, factor: float = 1.0) -> None:
        super().__init__()
        self.first, self.second, self.beside = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.detached, self.factor = detached, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        beside: torch.Tensor = self.beside(x) * self.factor
        out: torch.Tensor = self.second(self.first(x))
        return out + (beside.detach() if self.detached else beside)


def adapted(**kind: Any) -> Any:
    return get_peft_model(Three(**kind), LoraConfig(r=2, target_modules=["first", "second", "beside"]))


def step(model: Any) -> None:
    model.zero_grad(set_to_none=True)
    model(torch.randn(3, 4)).square().sum().backward()


def test_all_learn_after_the_first_step() -> None:
    model, check = adapted(), LearningCheck()
    step(model)

    found = check.look(model)

    assert found is not None
    assert len(found.adapters) == 3
    assert check.done
    assert check.look(model) is None


def test_an_adapter_without_a_gradient_stops_the_run_and_says_what_else_learns() -> None:
    model = adapted(detached=True)
    step(model)

    with pytest.raises(CannotLearn, match=r"1 of the 3 adapters of Three cannot learn: no gradient") as caught:
        LearningCheck().look(model)

    assert caught.value.kinds == {"beside": 1}
    assert (caught.value.count, caught.value.learning) == (3, 2)
    assert "lora.target_modules=[first, second]" in caught.value.remedy
    with pytest.raises(CannotLearn):
        require_reached(model)


def test_a_gradient_of_zero_is_waited_for_some_steps_and_then_stops_the_run() -> None:
    model, check = adapted(factor=0.0), LearningCheck()
    for _ in range(STEPS - 1):
        step(model)
        assert check.look(model) is None
        require_reached(model)
    step(model)

    with pytest.raises(CannotLearn, match="exactly zero"):
        check.look(model)


def test_one_that_comes_to_life_is_not_held_against_the_run() -> None:
    model, check = adapted(factor=0.0), LearningCheck()
    step(model)
    assert check.look(model) is None
    model.get_base_model().factor = 1.0
    step(model)

    assert check.look(model) is not None
    assert check.done


def test_what_is_trained_whole_has_no_adapters() -> None:
    assert learning_of(Three()).adapters == []
