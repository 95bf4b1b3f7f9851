"""Ten thousand random configurations price without an exception; absurd models are refused or are an honest 'no'."""

from __future__ import annotations

import random
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.estimate import estimate
from recommender.model.families import spec_from_config
from recommender.model.spec import ModelSpec
from tests.unit.memory.cases import DEVICES, FAMILIES, LLAMA_8B, STACKS, llama, qlora

ROWS = (None, synthetic_profile(1, 1), synthetic_profile(20_000, 700))
OPTIMIZERS = ("adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "sgd")
LOGARITHMIC_LENGTHS = tuple(2**k for k in range(3, 21))


def random_model(dice: random.Random) -> ModelSpec:
    heads = dice.choice((1, 2, 9, 32, 96))
    return spec_from_config(
        {
            "model_type": dice.choice(FAMILIES),
            "hidden_size": heads * dice.choice((32, 64, 128, 256)),
            "num_hidden_layers": dice.randint(1, 126),
            "intermediate_size": dice.randint(8, 60_000),
            "num_attention_heads": heads,
            "num_key_value_heads": dice.choice([k for k in (1, 2, 3, 8, 32) if heads % k == 0]),
            "vocab_size": dice.randint(2, 300_000),
            "tie_word_embeddings": dice.random() < 0.5,
            "moe_intermediate_size": dice.randint(8, 4096),
        },
        "random",
    )


def random_config(dice: random.Random) -> FinetuneConfig:
    method = dice.choice(("qlora", "lora", "full"))
    return FinetuneConfig.model_validate(
        {
            "model": "random",
            "method": method,
            "quantization": {"bits": dice.choice((4, 8)) if method == "qlora" else None},
            "lora": {
                "r": dice.randint(1, 4096),
                "lora_dropout": dice.choice((0.0, 0.05)),
                "use_dora": dice.random() < 0.3,
                "use_rslora": dice.random() < 0.3,
                "init_lora_weights": dice.choice((True, False, "gaussian", "pissa", "olora", "loftq", "orthogonal")),
                "modules_to_save": dice.choice(([], ["lm_head"], ["embed_tokens", "lm_head"], ["norm"])),
            },
            "data": {
                "max_length": dice.choice(LOGARITHMIC_LENGTHS) + dice.randint(0, 7),
                "packing": dice.choice(("auto", True, False)),
            },
            "training": {
                "per_device_train_batch_size": dice.choice((1, 2, 7, 64, 4096)),
                "gradient_accumulation_steps": dice.choice((1, 16, 4096)),
                "precision": dice.choice(("bf16", "fp16", "fp32")),
                "optim": dice.choice(OPTIMIZERS),
                "gradient_checkpointing": dice.random() < 0.5,
                "activation_offloading": dice.random() < 0.5,
                "attn_implementation": dice.choice(("sdpa", "flash_attention_2", "flash_attention_3", "eager")),
            },
        }
    )


@pytest.mark.slow
def test_ten_thousand_random_configurations_have_a_price() -> None:
    dice = random.Random(20261121)
    models = [random_model(dice) for _ in range(400)]
    for number in range(10_000):
        config, model, device = random_config(dice), models[number % len(models)], dice.choice(DEVICES)
        answer = estimate(config, model, device, dice.choice(ROWS), stack=dice.choice(STACKS))
        assert sum(answer.parts.values()) == answer.peak.process_bytes, (config, model, device)
        assert min(answer.parts.values()) >= 0, (config, model, device)


@pytest.mark.parametrize(
    "absurd",
    [
        {"vocab_size": 0},
        {"vocab_size": -1},
        {"vocab_size": "many"},
        {"num_hidden_layers": 0},
        {"hidden_size": 4095},
        {"hidden_size": None},
        {"num_attention_heads": 0},
        {"num_key_value_heads": 7},
        {"intermediate_size": 0},
        {"num_hidden_layers": 1.5},
        {"num_hidden_layers": True},
    ],
    ids=str,
)
def test_absurd_fields_are_refused_with_their_name(absurd: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        spec_from_config({**LLAMA_8B, **absurd}, "absurd")
    key = next(iter(absurd))
    assert key in refused.value.message or "head" in refused.value.message


@pytest.mark.parametrize("key", [key for key in LLAMA_8B if key.startswith(("hidden", "num_h", "vocab", "interm"))])
def test_a_missing_field_is_named_or_has_the_family_s_default(key: str) -> None:
    without = {name: value for name, value in LLAMA_8B.items() if name != key}
    try:
        spec = spec_from_config(without, "lacking")
    except InputError as refused:
        assert key in refused.message
    else:
        assert spec.total_parameters > 0


@pytest.mark.parametrize(
    "changes", [{"data__max_length": 10_000_000}, {"training__per_device_train_batch_size": 10**6}]
)
@pytest.mark.parametrize("stack", STACKS)
def test_absurd_sizes_are_an_honest_no(changes: dict[str, int], stack: str) -> None:
    for device in DEVICES:
        assert estimate(qlora(**changes), llama(), device, stack=stack).fits == "no"


def test_an_odd_architecture_is_refused_with_its_reason() -> None:
    odd = spec_from_config({"model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"], "hidden_size": 64}, "odd")
    with pytest.raises(InputError) as refused:
        estimate(qlora(), odd, DEVICES[0])
    assert "has not been learned" in refused.value.message
