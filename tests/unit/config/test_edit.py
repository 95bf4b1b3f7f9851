from __future__ import annotations

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest

from presets.errors import InputError
from recommender.config.edit import apply, diff, flatten, parse_assignment
from recommender.config.keys import fields
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
        ("modules_to_save=", "lora.modules_to_save", []),
        ("data.eval=", "data.eval", None),
        ("report_to=wandb", "run.report_to", ["wandb"]),
        ("data.train=*.jsonl", "data.train", ["*.jsonl"]),
        ("data.train=2026", "data.train", ["2026"]),
        ("data.train=[{path: a.jsonl, weight: 2}]", "data.train", [{"path": "a.jsonl", "weight": 2}]),
        ("model=123", "model", "123"),
        ("run.name=2026", "run.name", "2026"),
    ],
)
def test_assignments(text: str, key: str, value: Any) -> None:
    assert parse_assignment(text) == (key, value)


LISTS = (
    ("[]", 0),
    ("[{0}]", 1),
    ("{0}", 1),
    ("[{0},{1}]", 2),
    ("{0},{1}", 2),
    ('["{0}","{1}"]', 2),
    ('"{0}","{1}"', 2),
)
"""How a person writes a list, and how many of two words are in it."""
FORMS: dict[Any, tuple[tuple[str, Any], ...]] = {
    dict: (("{}", {}), ("{q_proj: 8}", {"q_proj": 8})),
    str: (("some text", "some text"), ("2026", "2026"), ("'quoted'", "quoted")),
    int: (("3", 3),),
    float: (("0.5", 0.5), ("2e-1", 0.2)),
    bool: (("true", True), ("false", False)),
}
"""What a person writes for a type, and what comes of it."""
OWN = {"data.columns", "trust_remote_code"}
"""Keys that take less than their type: names of columns, and the model once more."""
WRONG_TYPE = r"must be (a list|a mapping|text|a number|a whole number|true or false)"


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that a field takes, out of unions and of what they are annotated with."""
    if get_origin(annotation) in (Union, UnionType):
        for option in get_args(annotation):
            yield from _kinds(option)
    elif get_origin(annotation) is Annotated:
        yield from _kinds(get_args(annotation)[0])
    else:
        yield annotation


def _assignments() -> Iterator[tuple[str, str, Any]]:
    """Every key with each form in which each of its types is written."""
    for key, kind in ((key, kind) for key, field in fields().items() for kind in _kinds(field.annotation)):
        origin = get_origin(kind) or kind
        if kind is type(None):
            yield key, "null", None
        elif origin is Literal:
            yield from ((key, str(word), word) for word in get_args(kind))
        elif origin is list:
            inner = next(_kinds(get_args(kind)[0]))
            words = list(get_args(inner)[:2] if get_origin(inner) is Literal else ("first", "second"))
            yield from ((key, form.format(*words), words[:number]) for form, number in LISTS)
        else:
            yield from ((key, text, wanted) for text, wanted in FORMS.get(origin, ()))


@pytest.mark.parametrize(("key", "text", "value"), [one for one in _assignments() if one[0] not in OWN])
def test_every_key_takes_every_form_of_its_types(key: str, text: str, value: Any) -> None:
    stretched = {"rope_scaling": {"rope_type": "linear", "factor": 2}} if key.startswith("rope_scaling.") else {}
    name, parsed = parse_assignment(f"{key}={text}")
    try:
        changed = apply(apply(QLORA, stretched), {name: parsed})
    except InputError as error:
        # A value of the right type that is out of the key's range is refused for that.
        assert not re.search(WRONG_TYPE, str(error)), error
    else:
        assert flatten(changed)[key] == value


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
