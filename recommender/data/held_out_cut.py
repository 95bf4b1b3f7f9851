"""Held-out rows without an answer at a length: they are left out of eval_loss; if all are, a run would end."""

from __future__ import annotations

from bisect import bisect_left

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.data.split import held_out_contents
from recommender.units import count, counted
from recommender.warning import CodedWarning, stop, warning


def held_out_stop(profile: DataProfile, config: FinetuneConfig) -> CodedWarning | None:
    """Return the stop where all rows held out by the split keep no answer at a configuration's length, else None.

    Files of their own are judged by `DataProfile.stops_at`.
    """
    cut, rows = _of_split(profile, config)
    if not rows or cut < rows:
        return None
    return stop(
        "held_out_all_cut",
        f"{'The one row' if rows == 1 else f'All {count(rows)} rows'} that the split holds out "
        f"{'keeps' if rows == 1 else 'keep'} no answer at max_length {config.data.max_length}: nothing could be "
        "evaluated.",
        "Raise data.max_length, or take another data.eval_fraction or training.seed.",
    )


def held_out_warning(profile: DataProfile, config: FinetuneConfig) -> CodedWarning | None:
    """Return the warning that some rows held out by the split keep no answer; None where all or none do."""
    cut, rows = _of_split(profile, config)
    if not 0 < cut < rows:
        return None
    return warning(
        "held_out_some_cut",
        f"{count(cut)} of {counted(rows, 'row')} that the split holds out {'keeps' if cut == 1 else 'keep'} no answer "
        f"at max_length {config.data.max_length}: eval_loss is taken over the others.",
    )


def held_out_warnings(profile: DataProfile, config: FinetuneConfig) -> tuple[CodedWarning, ...]:
    """Return the stop and the warning about rows that the split holds out, as far as they apply at this length."""
    return tuple(one for one in (held_out_stop(profile, config), held_out_warning(profile, config)) if one is not None)


def _of_split(profile: DataProfile, config: FinetuneConfig) -> tuple[int, int]:
    """Rows held out by the split that keep no trained token, and how many are held out."""
    data = config.data
    if data.eval or data.eval_fraction <= 0 or not profile.digests or not profile.rows_cut(data.max_length):
        return 0, 0
    asked = "first trained of held out", data.eval_fraction, config.training.seed
    if asked not in profile.known:
        held = held_out_contents(profile.digests, data.eval_fraction, config.training.seed)
        profile.known[asked] = sorted(
            profile.first_trained(row) for row, digest in enumerate(profile.digests) if digest in held
        )
    firsts = profile.known[asked]
    return len(firsts) - bisect_left(firsts, data.max_length), len(firsts)
