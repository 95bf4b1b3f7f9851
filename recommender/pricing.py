"""The estimator bound to one model, device and data, remembering what it was asked."""

from __future__ import annotations

from recommender.config.schema import FinetuneConfig
from recommender.data.profile import DataProfile
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan import Estimate
from recommender.rules.base import Pricer


def pricer(model: ModelSpec, device: Device, data: DataProfile | None) -> Pricer:
    """A function from configuration to estimate; the same question is answered once."""
    from recommender.estimate import estimate

    known: dict[str, Estimate] = {}

    def price(config: FinetuneConfig) -> Estimate:
        key = config.model_dump_json(exclude={"run"})
        if key not in known:
            known[key] = estimate(config, model, device, data)
        return known[key]

    return price
