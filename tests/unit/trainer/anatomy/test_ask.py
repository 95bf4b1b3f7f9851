"""A class asked in a child process: what comes of it, and how it ends."""

from __future__ import annotations

import pytest

from presets.errors import InputError
from recommender.model.anatomies import learned_here
from recommender.model.families import spec_from_config
from trainer.anatomy import ask
from trainer.anatomy.ask import LearningCancelled, completed

CONFIG = {
    "model_type": "gpt_neox",
    "architectures": ["GPTNeoXForCausalLM"],
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.mark.torch
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_a_class_is_asked_once() -> None:
    said: list[str] = []
    spec = completed(spec_from_config(CONFIG, "tiny"), said.append)
    assert said == ["learning this model"]
    assert {linear.name for linear in spec.linears} == {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}
    assert learned_here(CONFIG) == spec.anatomy
    again = completed(spec_from_config({**CONFIG, "dtype": "bfloat16"}, "tiny"), said.append)
    assert again.anatomy == spec.anatomy and len(said) == 1


@pytest.mark.torch
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_a_type_that_nobody_knows_is_one_clear_message() -> None:
    with pytest.raises(InputError, match=r"has no class for NopeForCausalLM \(model_type 'nope'\)"):
        completed(spec_from_config({**CONFIG, "model_type": "nope", "architectures": ["NopeForCausalLM"]}, "tiny"))


@pytest.mark.process
@pytest.mark.usefixtures("home")
def test_it_can_be_cancelled_and_is_bounded() -> None:
    spec = spec_from_config(CONFIG, "tiny")
    with pytest.raises(LearningCancelled):
        completed(spec, cancelled=lambda: True)
    with pytest.raises(InputError, match="did not build this model within 0 s"):
        completed(spec, seconds=0.0)
    assert learned_here(CONFIG) is None


@pytest.mark.usefixtures("home")
def test_families_that_are_described_by_hand_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr(ask, "follow", never)
    llama = spec_from_config({**CONFIG, "model_type": "llama", "architectures": ["LlamaForCausalLM"]}, "tiny")
    assert completed(llama) is llama
