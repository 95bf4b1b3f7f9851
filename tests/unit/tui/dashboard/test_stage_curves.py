"""Curves of a run are those of its stage: what another stage logs is not offered."""

from __future__ import annotations

from dataclasses import replace

from recommender.stages.base import Figure
from recommender.stages.sft import SFT
from tui.dashboard.curves import History
from tui.screens.train.panes import metrics_of, older

MARGIN = Figure("reward_margin", "rewards/margins", "reward margin")
PAIRS = replace(SFT, name="pairs", figures=(*SFT.figures, MARGIN))


def test_a_stage_has_curves_of_its_own_figures_between_the_loss_and_the_machine() -> None:
    usual = [metric.key for metric in metrics_of(SFT)]
    assert usual == ["loss", "learning_rate", "grad_norm", "speed", "busy", "memory", "power", "heat"]
    pairs = metrics_of(PAIRS)
    assert [metric.key for metric in pairs] == [*usual[:3], "reward_margin", *usual[3:]]
    assert len({metric.title for metric in pairs}) == len(pairs)


def test_the_history_of_a_run_holds_the_figures_of_its_stage() -> None:
    history = History(PAIRS)
    assert list(history.figures) == ["learning_rate", "grad_norm", "reward_margin"]
    (margin,) = [metric for metric in metrics_of(PAIRS) if metric.key == "reward_margin"]
    (track,) = margin.tracks(history)
    assert track.series is history.figures["reward_margin"]


def test_a_run_of_another_stage_is_laid_behind_where_both_have_the_figure() -> None:
    loss, *_ = metrics_of(PAIRS)
    (margin,) = [metric for metric in metrics_of(PAIRS) if metric.key == "reward_margin"]
    other = History(SFT)
    assert [track.series for track in older(other, loss)] == [other.smooth.series]
    assert older(other, margin) == ()
