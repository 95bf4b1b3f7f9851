"""Training that goes on from an adapter: what the adapter settles, and what cannot be gone on from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.edit import apply, value_of
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.model.reader import read_model
from recommender.model.sources.fingerprint import Fingerprint
from recommender.model.spec import ModelSpec
from recommender.plan.edit import replan
from recommender.plan.recommend import plan_of, recommend
from recommender.plan.remedies import remedies
from recommender.plan.starting_adapter import adopted, read_start
from recommender.rules.fitting import against_no_learning, against_overfitting, against_underfitting
from recommender.warning import codes
from tests.fixtures.adapters import build_adapter
from tests.fixtures.tiny_model import build_tiny_llama
from tests.unit.plan.facts import EXAMPLE, RTX_4090

ATTENTION = ("self_attn.q_proj", "self_attn.v_proj")


@pytest.fixture
def base(tmp_path: Path) -> ModelSpec:
    return read_model(str(build_tiny_llama(tmp_path / "m")))


def lora(base: ModelSpec, start: Path, **changes: Any) -> FinetuneConfig:
    plain = FinetuneConfig(model=str(base.path), method="lora", quantization=Quantization(bits=None))
    return apply(plain, {"start_from": str(start), **changes})


def test_its_rank_scale_and_places_are_settled(base: ModelSpec, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "use_dora": True,
        "use_rslora": True,
        "lora_alpha": 12.5,
        "rank_pattern": {"q_proj": 2, "k_proj": 8},
        "alpha_pattern": {"layers.0.self_attn.q_proj": 3},
        "modules_to_save": ["lm_head"],
        "init_lora_weights": "eva",
        "bias": "lora_only",
    }
    start = build_adapter(tmp_path / "a", str(base.path), r=8, targets=ATTENTION, **settings)
    assert adopted(lora(base, start), base) == {
        "lora.r": 8,
        "lora.lora_alpha": 12.5,
        "lora.target_modules": ["q_proj", "v_proj"],
        "lora.bias": "lora_only",
        "lora.use_rslora": True,
        "lora.use_dora": True,
        "lora.init_lora_weights": True,
        "lora.modules_to_save": ["lm_head"],
        "lora.rank_pattern": {"q_proj": 2},
        "lora.alpha_pattern": {"layers.0.self_attn.q_proj": 3},
    }


def test_every_layer_is_all_linear_and_a_run_stands_for_its_adapter(base: ModelSpec, tmp_path: Path) -> None:
    build_adapter(tmp_path / "run" / "adapter", str(base.path), target_modules="all-linear")
    assert adopted(lora(base, tmp_path / "run"), base)["lora.target_modules"] == "all-linear"
    assert read_start(str(tmp_path / "run")).folder == tmp_path / "run" / "adapter"


def test_a_plan_takes_them_and_says_why(base: ModelSpec, tmp_path: Path) -> None:
    start = build_adapter(tmp_path / "a", str(base.path), targets=ATTENTION)
    plan = recommend(base, RTX_4090, EXAMPLE, overrides={"start_from": str(start), "lora.lora_dropout": 0.1})
    got = {key: value_of(plan.config, key) for key in ("lora.r", "lora.lora_alpha", "lora.target_modules")}
    assert got == {"lora.r": 4, "lora.lora_alpha": 8, "lora.target_modules": ["q_proj", "v_proj"]}
    assert plan.config.lora.lora_dropout == 0.1
    for key in got:
        assert plan.reasons[key].why.startswith("As the adapter has it that training goes on from.")
        assert plan.reasons[key].source == str(start) and plan.recommended[key] == got[key]
        assert key not in plan.overrides
    assert "nobody measured" in plan.reasons["training.learning_rate"].why
    assert plan.estimate.trainable_parameters == 2 * (4 * (64 + 64) + 4 * (64 + 32))

    again = replan(plan, {"training.num_train_epochs": 2})
    assert again.config.lora == plan.config.lora
    anew = replan(plan, {}, ["start_from"])
    assert anew.config.start_from is None and anew.config.lora.r == recommend(base, RTX_4090, EXAMPLE).config.lora.r
    assert anew.config.lora.target_modules == "all-linear"


def test_what_the_person_sets_against_it_is_refused(base: ModelSpec, tmp_path: Path) -> None:
    start = build_adapter(tmp_path / "a", str(base.path))
    with pytest.raises(InputError, match=r"lora.r is 4 in the adapter .* not 32") as caught:
        recommend(base, RTX_4090, EXAMPLE, overrides={"start_from": str(start), "r": 32})
    assert "Leave lora.r out" in caught.value.remedy
    plan = recommend(base, RTX_4090, EXAMPLE, overrides={"start_from": str(start), "r": 4})
    with pytest.raises(InputError, match=r"lora.target_modules is all-linear in the adapter"):
        replan(plan, {"lora.target_modules": ["q_proj"]})
    with pytest.raises(InputError, match="method full trains none"):
        replan(plan, {"method": "full"})


def test_nothing_that_would_need_another_adapter_is_offered(base: ModelSpec, tmp_path: Path) -> None:
    start = build_adapter(tmp_path / "a", str(base.path), r=16, targets=ATTENTION)
    small = replace(RTX_4090, free_bytes=2**20)
    plan = recommend(base, small, EXAMPLE, overrides={"start_from": str(start)})
    assert plan.config.lora.r == 16
    offered = remedies(plan.config, base, small, EXAMPLE, plan.estimate)
    assert not any(key.startswith("lora.") for remedy in offered for key in remedy.changes)
    for against in (against_overfitting, against_underfitting, against_no_learning):
        for advice in against(plan.config):
            assert not set(advice.changes) & {"lora.r", "lora.target_modules"}


def test_a_configuration_with_an_adapter_is_a_plan(base: ModelSpec, tmp_path: Path) -> None:
    start = build_adapter(tmp_path / "a", str(base.path))
    config = apply(lora(base, start), adopted(lora(base, start), base))
    plan = plan_of(config, base, RTX_4090, EXAMPLE)
    assert plan.config.lora == config.lora and plan.overrides["start_from"] == str(start)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"peft_type": "IA3"}, "of kind IA3, not LoRA"),
        ({"task_type": "SEQ_CLS"}, "trained for SEQ_CLS"),
        ({"target_parameters": ["experts.gate_up_proj"]}, "target_parameters"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"init_lora_weights": "corda"}, "began with corda"),
        ({"base_model_name_or_path": "meta-llama/Llama-3.1-8B"}, "trained over meta-llama/Llama-3.1-8B, and the model"),
    ],
)
def test_what_cannot_be_gone_on_from(base: ModelSpec, tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    start = build_adapter(tmp_path / "a", str(base.path), **settings)
    with pytest.raises(InputError, match=says) as caught:
        adopted(lora(base, start), base)
    assert caught.value.remedy


def test_files_that_are_missing_or_wrong(base: ModelSpec, tmp_path: Path) -> None:
    start = build_adapter(tmp_path / "a", str(base.path))
    weights = start / "adapter_model.safetensors"
    weights.rename(start / "kept")
    with pytest.raises(InputError, match=r"has no adapter_model.safetensors"):
        adopted(lora(base, start), base)
    weights.write_bytes(b"torn")
    with pytest.raises(InputError, match="is torn"):
        adopted(lora(base, start), base)
    (start / "kept").replace(weights)
    (start / "adapter_config.json").write_text("[1]")
    with pytest.raises(InputError, match="must hold a JSON object"):
        adopted(lora(base, start), base)
    with pytest.raises(InputError, match="is no adapter"):
        adopted(lora(base, tmp_path / "nowhere"), base)


def test_shapes_of_another_model_and_a_vocabulary_that_grew(base: ModelSpec, tmp_path: Path) -> None:
    start = build_adapter(tmp_path / "a", str(base.path))
    wider = read_model(str(build_tiny_llama(tmp_path / "wide" / "m", hidden=128)))
    with pytest.raises(InputError, match=r"down_proj is 128 to 64 wide in .* 256 to 128: it was trained over another"):
        adopted(lora(base, start), wider)
    grown = {"model.embed_tokens.weight": (base.vocab_size + 2, 64)}
    start = build_adapter(tmp_path / "b", str(base.path), whole=grown, modules_to_save=["embed_tokens"])
    with pytest.raises(InputError, match="tokens were added to it"):
        adopted(lora(base, start), base)


def test_an_embedding_that_came_along_untrained_is_not_lost_in_silence(base: ModelSpec, tmp_path: Path) -> None:
    """PEFT saves it where it seems to have been resized; it would stand in the base, and not be saved again."""
    along = {"model.embed_tokens.weight": (base.vocab_size, 64)}
    start = build_adapter(tmp_path / "a", str(base.path), whole=along)
    with pytest.raises(InputError, match=r"brings model.embed_tokens.weight whole without training it"):
        adopted(lora(base, start), base)
    trained = build_adapter(tmp_path / "b", str(base.path), whole=along, modules_to_save=["embed_tokens"])
    assert adopted(lora(base, trained), base)["lora.modules_to_save"] == ["embed_tokens"]


def test_another_chat_template_than_it_was_trained_with_is_told(base: ModelSpec, tmp_path: Path) -> None:
    start = build_adapter(tmp_path / "a", str(base.path))
    changes = {"start_from": str(start)}
    assert "template_of_start" not in codes(recommend(base, RTX_4090, EXAMPLE, overrides=changes).warnings)
    (start / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (told,) = (
        one.text
        for one in recommend(base, RTX_4090, EXAMPLE, overrides=changes).warnings
        if one.code == "template_of_start"
    )
    assert f"set data.template to {start / 'chat_template.jinja'}" in told
    changes["data.template"] = str(start / "chat_template.jinja")
    assert "template_of_start" not in codes(recommend(base, RTX_4090, EXAMPLE, overrides=changes).warnings)


def test_a_base_is_known_by_its_weights_before_its_name(base: ModelSpec, tmp_path: Path) -> None:
    assert base.path is not None
    start = build_adapter(tmp_path / "a", "named/otherwise")
    left = start / "base.json"
    left.write_text(json.dumps(Fingerprint.of(base.path).document()))
    assert adopted(lora(base, start), base)
    tuned = read_model(str(build_tiny_llama(tmp_path / "tuned" / "m", seed=7)))
    with pytest.raises(InputError, match=r"over another base than .*15 of 20 tensors"):
        adopted(lora(base, start), tuned)
    # A folder that has moved keeps its name.
    left.unlink()
    named = build_adapter(tmp_path / "b", "/home/somebody/models/m")
    assert adopted(lora(base, named), base)
