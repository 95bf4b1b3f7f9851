"""Prices by a tape made by hand, its store, and what is asked for where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.estimate.estimate import GUESS, estimate
from recommender.machine.devices import device_from_catalogue
from recommender.memory.learned.missing import learning
from recommender.memory.learned.recipe import recipe_of
from recommender.memory.learned.store import REFUSED, keep_tape, refusal_of, tape_of
from recommender.memory.learned.tape import FORMAT, read_tape
from recommender.memory.not_learned import CannotLearn, NotLearned
from recommender.memory.price import price
from recommender.memory.stacks import STACKS
from recommender.memory.terms import terms_of
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.anatomy import Anatomy, LayerKind, Sizes
from recommender.model.families import spec_from_config
from recommender.model.from_anatomy import with_anatomy
from recommender.model.linear import Linear
from recommender.model.spec import ModelSpec

MIB = 2**20
CONFIG = {"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2}


@pytest.fixture
def model() -> ModelSpec:
    """A model of two layers of one linear layer each."""
    linears = (Linear("dense", 64, 64, 2),)
    anatomy = Anatomy(
        text_type="gpt_neox",
        architecture="GPTNeoXForCausalLM",
        trained_class="GPTNeoXForCausalLM",
        linears=linears,
        kept_linears=(),
        experts=(),
        kinds=(LayerKind("full_attention+dense", "full_attention", "dense", 2),),
        sequence=(0, 0),
        embedding_parameters=64_000,
        head_parameters=64_000,
        norm_parameters=128,
        other_parameters=0,
        tower_parameters=0,
        total_parameters=136_320,
        served_parameters=136_320,
        tied=False,
        sizes=Sizes(64, 4, 4, 16, 256, 1000, 2048, None, 0, 0, 0),
        supports_sdpa=True,
        supports_flash=True,
        activation="gelu",
        attention_bias=True,
        softcaps=(None, None),
        kernels={},
        versions={},
    )
    return with_anatomy(spec_from_config(CONFIG, "small"), anatomy)


def case(model: ModelSpec, rows: int = 2, length: int = 100, bits: int | None = None, **training: Any) -> Workload:
    """LoRA over weights of 16 bits, or of so many."""
    config = FinetuneConfig.model_validate(
        {
            "model": "small",
            "method": "qlora" if bits else "lora",
            "quantization": {"bits": bits},
            "data": {"max_length": length, "packing": False},
            "training": {"per_device_train_batch_size": rows, "gradient_accumulation_steps": 1, **training},
        }
    )
    return resolve_workload(config, model, device_from_catalogue("A100 PCIe 80GB"), None, STACKS["trl"])


def made(*, one_row: bool = False, up_to: int | None = None, per_token: float = 1000.0) -> dict[str, Any]:
    """A regime whose backward pass takes so many bytes a token, and its loss three times that and a MiB."""
    passes = {
        "moments": [
            ["forward", 0, [[1, per_token / 2]], [], []],
            ["loss", -1, [[1, per_token]], [[0, MIB], [1, 2 * per_token]], []],
            ["backward", 1, [[1, per_token]], [], [[2, 512.0]]],
        ],
        "loss": [[[0, MIB], [1, 2 * per_token]]],
        "layer": [[[1, per_token / 2]]],
        "forward": [[[1, per_token / 4]]],
        "kept": [[1, 256.0]],
        "carried": [[1, 128.0]],
    }
    names = [f"{way}{off}" for way in ("single", "accumulated") for off in ("", " offloaded")]
    return {
        "one_row": one_row,
        "up_to": up_to,
        "basis": ["1", "T", "r"],
        "passes": dict.fromkeys(names, passes),
    }


def tape(*regimes: dict[str, Any]) -> dict[str, Any]:
    """A tape of some regimes."""
    return {"format": FORMAT, "error": 0.0, "sums": [], "regimes": list(regimes)}


def test_the_worst_moment_is_the_largest_form_and_parts_add_up(model: ModelSpec) -> None:
    workload = case(model)
    keep_tape(workload, tape(made()))
    found = price(workload)
    assert found.parts["loss"] == MIB + 2 * 1000 * 200
    assert found.parts["activations"] == 1000 * 200
    assert sum(found.parts.values()) == found.process
    assert sum(term.nbytes for term in terms_of(workload)) == found.process
    assert found.phases["forward"] - found.phases["save"] == MIB + 3 * 1000 * 200


def test_gradients_of_earlier_micro_batches_are_there_throughout(model: ModelSpec) -> None:
    single, accumulated = case(model), case(model, gradient_accumulation_steps=8)
    assert recipe_of(single) == recipe_of(accumulated)
    keep_tape(single, tape(made()))
    every = 4 * 2 * 16 * (64 + 64)
    assert price(accumulated).parts["gradients"] == price(single).parts["gradients"] + every


def test_rows_and_lengths_choose_their_regime(model: ModelSpec) -> None:
    keep_tape(case(model), tape(made(up_to=128, per_token=1.0), made(per_token=1000.0)))
    assert price(case(model, length=100)).parts["activations"] == 200
    assert price(case(model, length=200)).parts["activations"] == 400_000
    with pytest.raises(NotLearned):
        price(case(model, rows=1))


def test_nothing_is_priced_without_a_tape_and_what_is_offered_learns_it_once(model: ModelSpec) -> None:
    asked: list[Workload] = []

    def learn(workload: Workload) -> None:
        asked.append(workload)
        keep_tape(workload, tape(made(), made(one_row=True)))

    workload = case(model)
    with pytest.raises(NotLearned) as missing:
        estimate(workload.config, model, workload.device)
    assert missing.value.workload.model is model
    with learning(learn):
        first = estimate(workload.config, model, workload.device)
        assert estimate(workload.config, model, workload.device) == first
    assert len(asked) == 1
    with pytest.raises(NotLearned):
        price(case(model, gradient_checkpointing=False))


def test_other_recipes_have_other_tapes_and_sizes_have_none(model: ModelSpec) -> None:
    plain = recipe_of(case(model))
    assert recipe_of(case(model, rows=7, length=999)) == plain
    assert recipe_of(case(model, optim="adamw_8bit", learning_rate=1e-3)) == plain
    for changed in (
        {"gradient_checkpointing": False},
        {"attn_implementation": "eager"},
        {"neftune_noise_alpha": 5.0},
        {"precision": "fp32"},
    ):
        assert recipe_of(case(model, **changed)) != plain


def test_a_tape_is_read_again_and_a_torn_one_is_not(model: ModelSpec) -> None:
    document = tape(made())
    assert read_tape(read_tape(document).document()) == read_tape(document)
    with pytest.raises(ValueError, match="torn"):
        read_tape({**document, "regimes": [{"one_row": True}]})
    with pytest.raises(ValueError, match="format"):
        read_tape({**document, "format": FORMAT + 1})


def test_a_refusal_is_remembered_and_is_no_tape(model: ModelSpec) -> None:
    workload = case(model)
    keep_tape(workload, {REFUSED: "it does not trace"})
    assert refusal_of(workload) == "it does not trace"
    assert tape_of(workload) is None
    keep_tape(workload, tape(made()))
    assert refusal_of(workload) == ""
    assert tape_of(workload) is not None


def test_inputs_of_layers_in_host_memory_are_counted_there(model: ModelSpec) -> None:
    workload = case(model, activation_offloading=True)
    keep_tape(workload, tape(made()))
    assert price(workload).host == 128 * 200
    assert price(replace(workload, config=case(model).config)).host == 0


def test_the_formula_of_16_bits_stands_in_where_that_of_4_cannot_be_learned(model: ModelSpec) -> None:
    plain, packed = case(model), case(model, bits=4)
    keep_tape(plain, tape(made()))

    def learn(workload: Workload) -> None:
        keep_tape(workload, {REFUSED: "its loop does not fit."})
        raise CannotLearn("its loop does not fit.")

    with learning(learn):
        guessed = estimate(packed.config, model, packed.device)
    assert price(packed).parts["activations"] == price(plain).parts["activations"] + 2 * 64 * 64
    assert price(packed).parts["weights"] < price(plain).parts["weights"]
    assert GUESS in {one.code for one in guessed.notes}
    assert guessed.peak.high_bytes > 1.2 * guessed.peak.process_bytes
    keep_tape(packed, tape(made()))
    assert price(packed).parts["activations"] == price(plain).parts["activations"]


def test_what_cannot_be_learned_in_16_bits_is_refused_with_the_reason(model: ModelSpec) -> None:
    def learn(_: Workload) -> None:
        raise CannotLearn("its loop does not fit.")

    with learning(learn), pytest.raises(CannotLearn, match="loop"):
        price(case(model))
