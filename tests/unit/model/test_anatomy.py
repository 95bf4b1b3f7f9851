"""Anatomies as values: kept, found again, and put into the spec of a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.edit import with_values
from recommender.estimate.estimate import estimate
from recommender.machine.devices import device_from_catalogue
from recommender.memory.modules import refuse_unknown_modules
from recommender.memory.not_learned import NotLearned
from recommender.model import anatomies
from recommender.model.anatomies import find, installed, is_current, keep, key_of, learned_here
from recommender.model.anatomy import Anatomy, FusedExperts, KeptLinear, LayerKind, Sizes, from_document, to_document
from recommender.model.document import document
from recommender.model.facts import facts
from recommender.model.families import spec_from_config
from recommender.model.from_anatomy import UNLIMITED, known, with_anatomy
from recommender.model.linear import Linear
from recommender.paths import cache_dir
from recommender.rules.adapter import _left_out
from recommender.rules.base import PricedContext
from recommender.rules.variants import _switched
from tests.unit.memory.cases import qlora

CONFIG: dict[str, Any] = {"model_type": "hybrid_x", "architectures": ["HybridXForCausalLM"], "hidden_size": 64}
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}


def anatomy(**changes: Any) -> Anatomy:
    """Two linear-attention layers with experts and one of full attention with an MLP."""
    made = Anatomy(
        text_type="hybrid_x",
        architecture="HybridXForCausalLM",
        trained_class="HybridXForCausalLM",
        linears=(Linear("q_proj", 64, 32, 1), Linear("in_proj", 64, 128, 2, bias=True)),
        kept_linears=(KeptLinear("gate", 64, 4, 2, False, "a router"),),
        mixer_linears=("q_proj", "in_proj"),
        experts=(FusedExperts("gate_up_proj", 32, 64, 4, 2),),
        kinds=(
            LayerKind("linear_attention+mixture", "linear_attention", "mixture", 2),
            LayerKind("full_attention+dense", "full_attention", "dense", 1),
        ),
        sequence=(0, 0, 1),
        embedding_parameters=6400,
        head_parameters=6400,
        norm_parameters=256,
        other_parameters=100,
        shared_parameters=0,
        tower_parameters=0,
        total_parameters=6400 + 6400 + 256 + 100 + 64 * 32 + 2 * (64 * 128 + 128) + 2 * 64 * 4 + 2 * 4 * 32 * 64,
        served_parameters=50_000,
        tied=False,
        sizes=Sizes(64, 4, 2, 16, 96, 100, 0, None, 4, 2, 16),
        supports_sdpa=True,
        supports_flash=False,
        activation="silu",
        attention_bias=False,
        softcaps=(None, 50.0),
        kernels={"linear_attention": ("flash-linear-attention",)},
        versions=dict(installed()),
    )
    return replace(made, **changes)


def test_a_document_holds_all_of_it() -> None:
    made = anatomy()
    assert from_document(json.loads(json.dumps(to_document(made)))) == made
    assert made.layers == ("linear_attention+mixture", "linear_attention+mixture", "full_attention+dense")
    assert made.mixers == ("linear_attention", "full_attention") and made.recurrent


@pytest.mark.parametrize("change", [{"format": 0}, {"linears": [{"name": "q"}]}, {"sizes": None}], ids=str)
def test_a_document_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="anatomy"):
        from_document({**to_document(anatomy()), **change})


def test_adapter_parameters_of_experts_are_each_experts() -> None:
    assert anatomy().experts[0].adapter_parameters(8) == 2 * 4 * 8 * (32 + 64)


def test_the_key_is_of_what_is_built() -> None:
    same = {**CONFIG, "transformers_version": "5.1.0", "torch_dtype": "bfloat16", "name_or_path": "x/y"}
    nested = {**CONFIG, "text_config": {"hidden_size": 8, "dtype": "float16"}}
    assert key_of(CONFIG) == key_of(same)
    assert key_of(nested) == key_of({**nested, "text_config": {"hidden_size": 8}})
    assert key_of(CONFIG) != key_of({**CONFIG, "hidden_size": 128})
    assert key_of(CONFIG) != key_of(nested)


@pytest.mark.usefixtures("home")
def test_what_was_learned_is_found_until_a_version_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(CONFIG) is None
    keep(CONFIG, anatomy())
    assert find({**CONFIG, "dtype": "float16"}) == learned_here(CONFIG) == anatomy()
    monkeypatch.setattr(anatomies, "installed", lambda: {**installed(), "transformers": "99.0.0"})
    assert learned_here(CONFIG) is None


@pytest.mark.usefixtures("home")
def test_what_ships_answers_for_every_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomies, "SHIPPED", tmp_path)
    old = anatomy(versions={"transformers": "5.1.2"})
    (tmp_path / f"{key_of(CONFIG)}.json").write_text(anatomies.text_of(old))
    assert find(CONFIG) == old
    assert not is_current(old)
    assert is_current(anatomy())
    monkeypatch.setattr(anatomies, "installed", dict)
    assert is_current(old)


@pytest.mark.usefixtures("home")
def test_a_torn_file_is_none() -> None:
    keep(CONFIG, anatomy())
    (kept,) = cache_dir().joinpath("anatomies").glob("*.json")
    kept.write_text(kept.read_text()[:100])
    assert find(CONFIG) is None


@pytest.mark.usefixtures("home")
def test_a_spec_is_filled_from_it() -> None:
    asked = spec_from_config(CONFIG, "odd")
    assert known(asked) is asked
    keep(CONFIG, anatomy())
    spec = known(asked)
    assert not spec.needs_anatomy and spec.anatomy is not None
    assert (spec.num_layers, spec.hidden_size, spec.vocab_size, spec.num_experts) == (3, 64, 100, 4)
    assert spec.max_position_embeddings == UNLIMITED
    assert spec.linears == anatomy().linears
    parts = spec.embedding_parameters + spec.head_parameters + spec.linear_parameters + spec.norm_parameters
    assert parts + spec.other_parameters == spec.total_parameters
    json.dumps(document(spec))


def test_no_hand_written_formula_prices_it() -> None:
    spec = with_anatomy(spec_from_config(CONFIG, "odd"), anatomy())
    with pytest.raises(NotLearned, match=r"odd .*has not been learned") as refused:
        estimate(qlora(), spec, device_from_catalogue("A100 PCIe 80GB"))
    assert refused.value.workload.model is spec


def test_files_that_hold_less_than_the_class_are_refused() -> None:
    asked = replace(spec_from_config(CONFIG, "odd"), has_weights=True, total_parameters=1000)
    with pytest.raises(InputError, match="describes 48,"):
        with_anatomy(asked, replace(anatomy(), total_parameters=48_000))
    assert with_anatomy(replace(asked, total_parameters=90_000), anatomy()).parameters_exact


def test_attention_and_experts_count_where_they_stand() -> None:
    spec = with_anatomy(spec_from_config(CONFIG, "odd"), anatomy())
    assert spec.attention_layers == 1
    assert spec.active_expert_parameters == 2 * 2 * 32 * 64
    hand = spec_from_config({"model_type": "mixtral", **SIZES}, "mixtral")
    assert hand.attention_layers == 2
    assert hand.active_expert_parameters == 2 * 3 * 64 * 2 * 96


def test_what_the_class_says_of_its_attention_is_a_fact() -> None:
    spec = with_anatomy(spec_from_config(CONFIG, "odd"), anatomy())
    assert facts(spec).sdpa and not facts(spec).flash and facts(spec).sweep == ""
    seen = replace(spec, anatomy=anatomy(text_type="qwen3_5_text", supports_sdpa=False))
    assert not facts(seen).sdpa and facts(seen).sweep == "qwen3_5"


def test_a_kept_layer_that_is_named_is_refused_with_its_reason() -> None:
    spec = with_anatomy(spec_from_config(CONFIG, "odd"), anatomy())
    config = qlora(lora__target_modules=["gate"])
    with pytest.raises(InputError, match="gate of HybridXForCausalLM can have no adapter: a router"):
        refuse_unknown_modules(config, spec)
    refuse_unknown_modules(qlora(lora__target_modules=["in_proj"]), spec)


def test_the_reason_for_targets_says_what_is_left_out_and_why() -> None:
    spec = with_anatomy(spec_from_config(CONFIG, "odd"), anatomy())
    assert _left_out(spec) == " Not on gate: a router."
    assert _left_out(spec_from_config({"model_type": "mixtral", **SIZES}, "mixtral")) == ""


def test_a_variant_without_a_price_costs_no_plan() -> None:
    """DoRA over quantised weights, which no trace follows: its reason stands without a figure."""
    spec = with_anatomy(spec_from_config(CONFIG, "odd"), anatomy())
    device = device_from_catalogue("A100 PCIe 80GB")

    class Context:
        config = qlora()

        def priced(self, changes: dict[str, Any]) -> Any:
            return estimate(with_values(self.config, changes), spec, device)

        def compared(self, changes: dict[str, Any]) -> Any:
            whole: Any = self
            return PricedContext.compared(whole, changes)

    context: Any = Context()
    assert _switched(context, "lora.use_dora", False, True) == ""
