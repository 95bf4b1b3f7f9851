"""What a model's class brings with it is said before a start: kernels, servers, layers that carry a state."""

from __future__ import annotations

from dataclasses import replace

import pytest
import transformers
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

from presets.errors import InputError
from presets.servers import servers
from recommender.config.edit import with_values
from recommender.machine.devices import device_from_catalogue
from recommender.plan.checks.conflicts import refuse_contradictions
from recommender.plan.checks.of_class import about_class, missing_kernels
from recommender.rules.base import Context
from recommender.rules.length import packing
from recommender.rules.precision import attention
from tests.unit.memory.cases import qlora
from tests.unit.model.test_anatomy import anatomy
from tests.unit.plan.facts import LLAMA_8B

CARD = device_from_catalogue("RTX 4090")
HYBRID = replace(LLAMA_8B, architecture="HybridXForCausalLM", anatomy=anatomy())


def test_the_slow_path_is_said_with_the_command_that_ends_it() -> None:
    (said,) = about_class(qlora(), HYBRID, CARD)

    assert said.code == "slow_kernels"
    assert "2 linear-attention layers" in said.text
    assert said.remedy.endswith("install flash-linear-attention") or "pip install" in said.remedy
    assert not list(about_class(qlora(), LLAMA_8B, CARD))


def test_installed_kernels_are_not_missed() -> None:
    assert missing_kernels(HYBRID, lambda _: False) == ("flash-linear-attention",)
    assert missing_kernels(HYBRID, lambda module: module == "fla") == ()


def test_a_server_that_takes_no_adapter_of_a_class_is_named_with_the_merge() -> None:
    (said,) = about_class(qlora(), replace(LLAMA_8B, architecture="OlmoeForCausalLM"), CARD)

    assert said.code == "server_takes_no_adapter"
    assert "vLLM serves OlmoeForCausalLM without adapters" in said.text
    assert "--to merged" in said.remedy


def test_the_classes_in_the_table_are_ones_that_transformers_has() -> None:
    known = {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values(), *MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.values()}
    for server in servers():
        assert {name for name in server.without_lora if name not in known and not hasattr(transformers, name)} == set()


def test_rows_are_not_packed_where_layers_carry_a_state() -> None:
    flash = with_values(qlora(), {"training.attn_implementation": "flash_attention_2"})

    assert packing(Context(HYBRID, CARD, None, "balanced", flash))["data.packing"] is False
    assert packing(Context(LLAMA_8B, CARD, None, "balanced", flash))["data.packing"] == "auto"
    with pytest.raises(InputError, match="run into one another"):
        refuse_contradictions(flash, {"data.packing": "auto"}, HYBRID, CARD)
    refuse_contradictions(with_values(flash, {"data.packing": False}), {"data.packing": False}, HYBRID, CARD)


def test_flash_attention_is_neither_chosen_nor_taken_over_heads_that_its_kernels_have_not() -> None:
    """Gemma 4's layers that see all tokens have heads of 512; flash-attn stops at 256, in a run's first step."""
    card = replace(CARD, flash_attention=True)
    wide = replace(HYBRID, head_dim=512, anatomy=replace(anatomy(), supports_flash=True))
    narrow = replace(wide, head_dim=256)
    key = "training.attn_implementation"

    assert attention(Context(wide, card, None, "balanced", qlora()))[key] == "sdpa"
    assert attention(Context(narrow, card, None, "balanced", qlora()))[key] == "flash_attention_2"
    flash = with_values(qlora(), {key: "flash_attention_2", "data.packing": False})
    with pytest.raises(InputError, match=r"stops at heads of 256, and .* has some of 512"):
        refuse_contradictions(flash, {key: "flash_attention_2"}, wide, card)
    refuse_contradictions(flash, {key: "flash_attention_2"}, narrow, card)
