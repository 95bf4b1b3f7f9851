"""Trade-off between two plans in words: losses and gains."""

from __future__ import annotations

from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.estimate.types import Estimate
from recommender.plan.search import Candidate
from recommender.rules.base import by_how_much, slower
from recommender.rules.length import lost_share
from recommender.units import GIB, count, gib, percent


def gives_up(chosen: Candidate, other: Candidate, data: DataProfile | None) -> str:
    """Return the losses of taking `other` instead of `chosen`; 'nothing' when there are none.

    Args:
        chosen: The plan that is recommended.
        other: The best plan for another goal.
        data: For what a shorter length cuts.
    """
    if chosen.config == other.config:
        return "nothing: it is the same plan"
    losses = [loss for loss in _losses(chosen, other, data) if loss]
    return ", ".join(losses) if losses else "nothing"


def gains(chosen: Candidate, other: Candidate, data: DataProfile | None) -> str:
    """Return the gains of taking `other` instead of `chosen`; empty when there are none.

    Args:
        chosen: The plan that is recommended.
        other: The best plan for another goal.
        data: For what a longer length keeps.
    """
    before, after = chosen.config, other.config
    less = chosen.estimate.peak.process_bytes - other.estimate.peak.process_bytes
    faster = _longer(other.estimate, chosen.estimate)
    kept = lost_share(data, before.data.max_length) - lost_share(data, after.data.max_length)
    found = (
        "fits" if other.estimate.fits != "no" and chosen.estimate.fits == "no" else "",
        f"{percent(1 - 1 / (1 + faster))} less time" if faster is not None and faster >= 0.005 else "",
        f"{gib(less)} less memory" if less > GIB // 20 else "",
        "base not quantised" if _coarser(after, before) and not after.quantization.bits else "",
        f"{after.quantization.bits}-bit base" if _coarser(after, before) and after.quantization.bits else "",
        f"rank {after.lora.r} instead of {before.lora.r}" if after.lora.r > before.lora.r else "",
        "optimizer states not rounded" if _rounds(before) and not _rounds(after) else "",
        f"keeps {percent(kept)} more of the trained tokens" if kept > 0.0005 else "",
        f"rows of {count(after.data.max_length)} tokens"
        if data is None and after.data.max_length > before.data.max_length
        else "",
    )
    return ", ".join(gain for gain in found if gain)


def _losses(chosen: Candidate, other: Candidate, data: DataProfile | None) -> list[str]:
    before, after = chosen.config, other.config
    more = other.estimate.peak.process_bytes - chosen.estimate.peak.process_bytes
    longer = _longer(chosen.estimate, other.estimate)
    lost = lost_share(data, after.data.max_length) - lost_share(data, before.data.max_length)
    return [
        "" if other.estimate.fits != "no" or chosen.estimate.fits == "no" else "does not fit",
        by_how_much(longer) if longer is not None and longer >= 0.005 else "",
        f"{gib(more)} more memory" if more > GIB // 20 else "",
        f"{after.quantization.bits}-bit base" if _coarser(before, after) else "",
        f"rank {after.lora.r} instead of {before.lora.r}" if after.lora.r < before.lora.r else "",
        "8-bit optimizer states" if _rounds(after) and not _rounds(before) else "",
        f"cuts {percent(lost)} of trained tokens" if lost > 0.0005 else "",
        f"rows end at {count(after.data.max_length)} tokens"
        if data is None and after.data.max_length < before.data.max_length
        else "",
    ]


def _coarser(before: FinetuneConfig, after: FinetuneConfig) -> bool:
    """Whether the frozen base is rounded more."""
    return (after.quantization.bits or 16) < (before.quantization.bits or 16)


def _rounds(config: FinetuneConfig) -> bool:
    """Whether the optimizer's states are held in 8 bits."""
    return config.training.optim in ("adamw_8bit", "paged_adamw_8bit")


def _longer(before: Estimate, after: Estimate) -> float | None:
    """Return the increase of a run's time as a share, else of a step's: steps of different length do not compare."""
    if before.time and after.time and before.time.total_seconds and after.time.total_seconds:
        return after.time.total_seconds / before.time.total_seconds - 1
    return slower(before, after)
