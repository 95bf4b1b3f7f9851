from __future__ import annotations

from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.edit import apply, diff, flatten, parse_assignment
from recommender.config.schema import FinetuneConfig, Quantization

QLORA = FinetuneConfig(model="org/model", quantization=Quantization(bits=4))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.learning_rate=1e-4", "training.learning_rate", "1e-4"),
        ("learning_rate=1.0e-4", "training.learning_rate", 1e-4),
        ("r=32", "lora.r", 32),
        ("packing=true", "data.packing", True),
        ("max_steps=null", "training.max_steps", None),
        ("warmup_ratio=0.1", "training.warmup_steps", 0.1),
        ("target_modules=q_proj, v_proj", "lora.target_modules", ["q_proj", "v_proj"]),
        ("target_modules=all-linear", "lora.target_modules", "all-linear"),
        ("data.train=a.jsonl", "data.train", ["a.jsonl"]),
        ("data.columns.output=answer", "data.columns.output", "answer"),
        ("rank_pattern={q_proj: 8}", "lora.rank_pattern", {"q_proj": 8}),
        ("model=123", "model", "123"),
        ("run.name=2026", "run.name", "2026"),
    ],
)
def test_assignments(text: str, key: str, value: Any) -> None:
    assert parse_assignment(text) == (key, value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("learning_rat=1", "Did you mean training.learning_rate"),
        ("training.lr=1", "Did you mean training.learning_rate"),
        ("batch_size=1", "Did you mean training.per_device_train_batch_size"),
        ("xyzzy=1", "lora-wizard schema"),
        ("lora=3", "lora is a section; set a key of it, such as lora.r."),
        ("data={}", "data is a section; set a key of it, such as data.train."),
        ("learning_rate", "is not key=value"),
        (f"r={'9' * 5000}", "lora.r cannot be read"),
        ("model=2026-13-45", "model cannot be read"),
        ("=3", "is not key=value"),
        ("r=[1", "cannot be read"),
    ],
)
def test_bad_assignments(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_assignment(text)
    assert says in str(caught.value)


def test_a_rate_in_words_becomes_a_number() -> None:
    assert apply(QLORA, {"training.learning_rate": "1e-4"}).training.learning_rate == 1e-4


def test_the_original_stays() -> None:
    apply(QLORA, {"lora.r": 64})
    assert QLORA.lora.r == 16


@pytest.mark.parametrize(
    ("changes", "method", "bits"),
    [
        ({"method": "lora"}, "lora", None),
        ({"method": "full"}, "full", None),
        ({"quantization.bits": None}, "lora", None),
        ({"quantization.bits": 8}, "qlora", 8),
        ({"method": "qlora", "quantization.bits": 8}, "qlora", 8),
    ],
)
def test_method_and_bits_follow_each_other(changes: dict[str, Any], method: str, bits: int | None) -> None:
    changed = apply(QLORA, changes)
    assert (changed.method, changed.quantization.bits) == (method, bits)
    back = apply(changed, {"method": "qlora"})
    assert back.quantization.bits == (bits or 4)


def test_bits_on_a_16_bit_plan_make_it_qlora() -> None:
    assert apply(apply(QLORA, {"method": "lora"}), {"quantization.bits": 4}).method == "qlora"


def test_a_contradiction_is_refused() -> None:
    with pytest.raises(InputError, match="bits must be null"):
        apply(QLORA, {"method": "lora", "quantization.bits": 4})


def test_a_section_that_is_null_begins_with_its_keys() -> None:
    changed = apply(QLORA, {"rope_scaling.rope_type": "yarn", "rope_scaling.factor": 2})
    assert changed.rope_scaling is not None
    assert changed.rope_scaling.factor == 2
    with pytest.raises(InputError, match=r"rope_scaling\.factor is missing"):
        apply(QLORA, {"rope_scaling.rope_type": "yarn"})


def test_a_value_that_its_key_cannot_take() -> None:
    with pytest.raises(InputError, match=r"lora\.r must be at least 1, not 0"):
        apply(QLORA, {"r": 0})


def test_flatten_and_diff() -> None:
    flat = flatten(QLORA)
    assert flat["lora.r"] == 16
    assert list(flat)[:3] == ["model", "revision", "trust_remote_code"]
    changed = apply(QLORA, {"lora.r": 8, "method": "lora"})
    assert diff(QLORA, changed) == {"lora.r": (16, 8), "method": ("qlora", "lora"), "quantization.bits": (4, None)}
    assert diff(QLORA, QLORA) == {}
