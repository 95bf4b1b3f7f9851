"""What to change first: in order, with figures of the configuration, and as changes that can be applied."""

from __future__ import annotations

import pytest

from recommender.config.edit import apply
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.rules.fitting import against_no_learning, against_overfitting, against_underfitting

RUN = apply(
    FinetuneConfig(model="m", method="qlora", quantization=Quantization(bits=4)),
    {"num_train_epochs": 3, "learning_rate": 3e-4, "r": 64},
)


def test_overfitting_begins_with_fewer_epochs() -> None:
    advice = against_overfitting(RUN)
    assert [one.change for one in advice] == [
        "num_train_epochs 3 → 2",
        "early_stopping 2",
        "more rows, or a general data set mixed in",
        "r 64 → 32",
        "learning_rate 3e-4 → 1.5e-4",
        "lora_dropout 0 → 0.1",
        "weight_decay 0 → 0.1",
    ]


@pytest.mark.parametrize(("best", "epochs"), [(0.2, 0.5), (1.1, 1.0), (1.6, 1.5), (5.0, None)])
def test_the_best_evaluation_says_how_many_epochs(best: float, epochs: float | None) -> None:
    first = against_overfitting(RUN, best_epoch=best)[0]
    assert first.changes.get("training.num_train_epochs") == epochs


def test_what_cannot_go_further_is_not_offered() -> None:
    least = apply(RUN, {"num_train_epochs": 1, "r": 4, "lora_dropout": 0.1, "weight_decay": 0.1, "early_stopping": 3})
    assert [one.change for one in against_overfitting(least)] == [
        "more rows, or a general data set mixed in",
        "learning_rate 3e-4 → 1.5e-4",
    ]
    full = apply(RUN, {"method": "full", "max_steps": 100})
    for advice in (against_overfitting(full), against_underfitting(full), against_no_learning(full)):
        assert not any(key.startswith("lora.") or key.endswith("epochs") for one in advice for key in one.changes)


def test_underfitting_begins_with_the_rate() -> None:
    attention = apply(RUN, {"target_modules": ["q_proj", "v_proj"]})
    assert [one.change for one in against_underfitting(attention)] == [
        "learning_rate 3e-4 → 6e-4",
        "num_train_epochs 3 → 4",
        "target_modules → all-linear",
        "r 64 → 128",
        "rows nearer to the task",
    ]
    assert "target_modules → all-linear" not in [one.change for one in against_underfitting(RUN)]


def test_a_run_that_still_learned_is_made_longer_first() -> None:
    assert [one.change for one in against_underfitting(RUN, falling=True)] == [
        "num_train_epochs 3 → 4",
        "learning_rate 3e-4 → 6e-4",
        "r 64 → 128",
    ]
    ended_early = apply(RUN, {"max_steps": 60})
    assert against_underfitting(ended_early, falling=True)[0].change == "max_steps 60 → 120"


def test_a_loss_that_does_not_move_wants_a_rate_of_another_order() -> None:
    assert [one.change for one in against_no_learning(RUN)] == ["learning_rate 3e-4 → 0.001", "r 64 → 128"]
    assert not against_no_learning(apply(RUN, {"learning_rate": 1.0, "r": 256}))


def test_no_rate_is_advised_above_all_that_were_measured() -> None:
    high = apply(RUN, {"learning_rate": 8e-4})
    assert against_underfitting(high)[0].change == "learning_rate 8e-4 → 0.001"
    assert against_underfitting(apply(RUN, {"learning_rate": 1e-3}))[0].change == "num_train_epochs 3 → 4"
    full = apply(RUN, {"method": "full", "learning_rate": 2e-5})
    assert against_no_learning(full)[0].change == "learning_rate 2e-5 → 1e-4"


def test_every_change_can_be_applied() -> None:
    for one in (*against_overfitting(RUN), *against_underfitting(RUN), *against_no_learning(RUN)):
        assert (apply(RUN, one.changes) != RUN) is bool(one.changes)
        assert one.why.endswith(".")
        assert one.source
