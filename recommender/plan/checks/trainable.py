"""Rows that must not be trained on as they are: stops, and too many rows that the length limit cuts."""

from __future__ import annotations

from collections.abc import Iterator

from presets.errors import InputError
from presets.questions import Choice, Question, QuestionError
from recommender.config.schema import FinetuneConfig
from recommender.data.held_out_cut import held_out_stop
from recommender.data.packing import splits
from recommender.data.profile.profile import DataProfile
from recommender.model.spec import ModelSpec
from recommender.rules.length import MULTIPLE, lost_share, reach
from recommender.units import count, percent
from recommender.warning import CodedWarning

WARNED = 0.01
"""Share of rows cut from which a warning is shown before a start."""
ASKED = 0.2
"""Share of rows cut from which the person is asked: a limit that was estimated without a tokenizer cuts most."""


def stops_of(profile: DataProfile, config: FinetuneConfig) -> tuple[CodedWarning, ...]:
    """Return the reasons not to train a configuration on its data."""
    held_out = held_out_stop(profile, config)
    return (*profile.stops_at(config.data.max_length), *(() if held_out is None else (held_out,)))


def require_rows(profile: DataProfile, config: FinetuneConfig, model: ModelSpec) -> None:
    """Refuse data that must not be trained on, and ask when the limit cuts many of its rows.

    Raises:
        InputError: A stop.
        QuestionError: From a fifth of the rows cut, unless the configuration says that they are meant to be.
    """
    if stops := stops_of(profile, config):
        raise InputError(stops[0].text, remedy="`lora-wizard data` shows the rows as the model sees them.")
    if question := question_of_cuts(profile, config, model):
        raise QuestionError(question)


def cut_sentence(profile: DataProfile, config: FinetuneConfig) -> str:
    """Return a phrase on the rows cut by the limit; empty where none is, or too few for a warning."""
    length = config.data.max_length
    cut = 0 if splits(profile, config) else profile.rows_cut(length)
    if cut < WARNED * profile.rows or not cut:
        return ""
    return (
        f"max_length {count(length)} cuts {count(cut)} of {count(profile.rows)} rows and "
        f"{percent(lost_share(profile, length))} of the trained tokens"
    )


def question_of_cuts(profile: DataProfile, config: FinetuneConfig, model: ModelSpec) -> Question | None:
    """Return the question of a length limit that cuts a fifth of the rows or more; None below, or with cuts allowed.

    Args:
        profile: The rows, in the model's own tokens.
        config: What would be trained.
        model: For the context that its positions reach.
    """
    cut = cut_sentence(profile, config)
    if not cut or config.data.allow_cut_rows or profile.tokenizer != "exact":
        return None
    if profile.rows_cut(config.data.max_length) < ASKED * profile.rows:
        return None
    return Question(
        "rows_cut", f"{cut}, the ends of answers first. How long may rows be?", tuple(_ways(profile, model))
    )


def _ways(profile: DataProfile, model: ModelSpec) -> Iterator[Choice]:
    whole = {length: share for share in (0.99, 1.0) if (length := _up(profile.quantile(share))) <= reach(model)}
    for length in whole:
        rows = profile.rows - profile.rows_cut(length)
        yield Choice(
            {"data.max_length": length},
            f"{count(length)} tokens: {count(rows)} of {count(profile.rows)} rows are whole; memory is priced anew.",
        )
    yield Choice({"data.allow_cut_rows": True}, "Cut them: what stands behind the limit is not learnt.")


def _up(tokens: int) -> int:
    return -(-tokens // MULTIPLE) * MULTIPLE
