"""Every rule decides exactly its keys and explains what it decided; together they decide every key of training."""

from __future__ import annotations

import pytest

from recommender.config.edit import flatten
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.estimate.pricer import pricer
from recommender.machine.facts import Device
from recommender.rules.base import Context, PricedContext, Rule
from recommender.rules.registry import decide
from recommender.rules.stages import STAGES, StageRules, all_rules
from tests.unit.plan.facts import CPU, EXAMPLE, LLAMA_8B, RTX_4090, T4

DEFAULTS = FinetuneConfig(model="m", method="qlora", quantization=Quantization(bits=4))


def priced(device: Device) -> PricedContext:
    context = Context(LLAMA_8B, device, EXAMPLE, "balanced", DEFAULTS)
    config, price = decide(context, {}), pricer(LLAMA_8B, device, EXAMPLE)
    return PricedContext(LLAMA_8B, device, EXAMPLE, "balanced", config, price=price, estimate=price(config))


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
@pytest.mark.parametrize("device", [RTX_4090, T4, CPU], ids=lambda device: device.name)
def test_a_rule_decides_its_keys_and_explains_what_it_decided(rule: Rule, device: Device) -> None:
    context = priced(device)
    values = rule.decide(context)
    reasons = rule.explain(context, values)
    assert tuple(values) == rule.keys
    assert set(reasons) == set(rule.keys)
    assert {key: reason.value for key, reason in reasons.items()} == values
    assert all(reason.source and reason.confidence for reason in reasons.values())


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_every_key_of_the_adapter_and_of_training_is_decided_by_one_rule(stage: StageRules) -> None:
    keys = [key for rule in stage.rules for key in rule.keys]
    assert len(keys) == len(set(keys))
    everything = set(flatten(DEFAULTS))
    assert set(keys) <= everything
    wanted = {key for key in everything if key.startswith(("lora.", "training.", "quantization."))} | {"method"}
    assert wanted <= set(keys)
