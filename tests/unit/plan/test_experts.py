"""A mixture's experts in a plan: what goes with their adapters, and what the reasons say."""

from __future__ import annotations

from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.model.families import spec_from_config
from recommender.plan.checks.conflicts import refuse_untrainable
from recommender.plan.recommend import recommend
from tests.unit.memory.cases import LLAMA_8B
from tests.unit.plan.facts import EXAMPLE, RTX_4090, model

MIXTURE = spec_from_config({**LLAMA_8B, "model_type": "mixtral", "num_local_experts": 4}, "mixtral")


@pytest.mark.parametrize(
    ("changes", "key", "instead"),
    [
        ({"lora_dropout": 0.1}, "lora.lora_dropout", "0"),
        ({"use_dora": True}, "lora.use_dora", "false"),
        ({"bias": "all"}, "lora.bias", "none"),
        ({"init_lora_weights": "olora"}, "lora.init_lora_weights olora", "true"),
        ({"init_lora_weights": "loftq"}, "lora.init_lora_weights loftq", "true"),
    ],
)
def test_what_peft_refuses_for_parameters_is_refused_before(changes: dict[str, Any], key: str, instead: str) -> None:
    config = FinetuneConfig.model_validate({"model": "m", "lora": {"experts": True, **changes}})
    with pytest.raises(InputError, match=f"do not go with {key}") as refused:
        refuse_untrainable(config, MIXTURE, RTX_4090)
    assert refused.value.remedy == f"Set {key.partition(' ')[0]} to {instead}, or lora.experts to false."
    frozen = config.model_copy(update={"lora": config.lora.model_copy(update={"experts": "auto"})})
    refuse_untrainable(frozen, MIXTURE, RTX_4090)


def test_a_dense_model_has_no_experts_to_adapt() -> None:
    config = FinetuneConfig.model_validate({"model": "m", "lora": {"experts": True}})
    with pytest.raises(InputError, match="has no experts"):
        refuse_untrainable(config, model("llama-3.1-8b"), RTX_4090)


def test_the_reasons_say_what_experts_take_and_who_serves_them() -> None:
    plan = recommend(model("qwen3-30b-a3b"), RTX_4090, EXAMPLE)
    assert plan.estimate.fits == "yes"
    held, adapted = plan.reasons["quantization.experts"], plan.reasons["lora.experts"]
    assert "13.9 GiB, in 16 54.0 GiB" in held.why and "In 16 bits they would take 40" in held.costs
    parameters = {8: "315 M", 16: "629 M", 32: "1.26 B", 64: "2.52 B"}[plan.config.lora.r]
    assert f"{parameters} parameters at r {plan.config.lora.r}" in adapted.why and "vllm#41384" in adapted.why
    dense = recommend(model("llama-3.1-8b"), RTX_4090, EXAMPLE).reasons
    assert dense["lora.experts"].why.startswith("Without effect")
