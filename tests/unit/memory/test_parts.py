"""Each part against a figure that follows from the architecture."""

from __future__ import annotations

from dataclasses import replace

import pytest

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.estimate import estimate
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.memory.loss import loss_bytes
from recommender.memory.stacks import STACKS
from recommender.memory.weights import linear_bytes_per_parameter
from recommender.memory.workload import resolve_workload
from recommender.model.families import spec_from_config
from recommender.model.reader import read_model
from tests.unit.memory.cases import LLAMA_8B, llama, lora, qlora

GIB = 2**30
A100, T4 = device_from_catalogue("A100 PCIe 80GB"), device_from_catalogue("T4")
MODEL = llama()


def parts(config: FinetuneConfig, device: Device = A100, stack: str = "trl") -> dict[str, int]:
    return dict(estimate(config, MODEL, device, stack=stack).parts)


def test_nf4_with_double_quantisation_takes_the_paper_s_bytes() -> None:
    assert round(linear_bytes_per_parameter(4, double_quant=True, plain=2), 4) == 0.5159
    assert linear_bytes_per_parameter(4, double_quant=False, plain=2) == 0.5625
    assert linear_bytes_per_parameter(8, double_quant=True, plain=2) == 1
    assert linear_bytes_per_parameter(None, double_quant=True, plain=2) == 2


def test_sixteen_bit_weights_are_two_bytes_each() -> None:
    assert parts(lora())["weights"] == 2 * MODEL.total_parameters


def test_embedding_head_and_norms_stay_unquantised() -> None:
    plain = MODEL.total_parameters - MODEL.linear_parameters
    assert parts(qlora())["weights"] == round(MODEL.linear_parameters * 0.515869140625) + 2 * plain
    upcast = parts(qlora(), stack="hf-trainer")["weights"]
    assert upcast - parts(qlora(), stack="hf-trainer-noupcast")["weights"] == 2 * plain


def test_adapter_gradients_and_states_follow_the_precision() -> None:
    trained = 41_943_040  # r=16 on the seven linear layers of Llama 3 8B
    assert estimate(qlora(), MODEL, A100).trainable_parameters == trained
    bf16, fp16 = parts(qlora()), parts(qlora(training__precision="fp16"))
    assert (bf16["adapter"], bf16["optimizer"]) == (2 * trained, 4 * trained)
    assert (fp16["adapter"], fp16["optimizer"]) == (4 * trained, 8 * trained)
    assert parts(qlora(), stack="hf-trainer")["adapter"] == 4 * trained
    assert parts(qlora(training__optim="sgd"))["optimizer"] == 0
    assert parts(qlora(training__optim="adamw_8bit"))["optimizer"] == round(2 * (1 + 4 / 256) * trained)


def test_paged_states_move_to_the_host() -> None:
    eight, paged = (
        estimate(qlora(training__optim=optim, lora__r=64), MODEL, A100) for optim in ("adamw_8bit", "paged_adamw_8bit")
    )
    assert paged.parts["optimizer"] < eight.parts["optimizer"]
    assert paged.host_bytes > eight.host_bytes


def test_offloading_moves_checkpoints_to_the_host() -> None:
    kept, moved = (
        estimate(qlora(training__activation_offloading=on, data__max_length=8192), MODEL, A100) for on in (False, True)
    )
    checkpoint = 8192 * 4096 * 2
    assert kept.parts["activations"] - moved.parts["activations"] == 30 * checkpoint
    assert moved.host_bytes - kept.host_bytes == 30 * checkpoint


def test_checkpointing_keeps_one_input_a_layer() -> None:
    with_it = parts(lora(training__gradient_checkpointing=True))["activations"]
    without = parts(lora(training__gradient_checkpointing=False))["activations"]
    assert without > 5 * with_it


def test_all_logits_cost_twelve_bytes_each_and_tiles_a_tile() -> None:
    case = resolve_workload(lora(data__max_length=4096), MODEL, A100, None, STACKS["hf-trainer"])
    norm = 4096 * 4096 * 4
    assert loss_bytes(case) == 12 * 4096 * 128256 + norm
    tiled = resolve_workload(lora(data__max_length=4096), MODEL, A100, None, STACKS["trl"])
    assert loss_bytes(tiled) == 4096 * (32768 * 2 + 4096 * 10 + 28)
    assert loss_bytes(tiled) < loss_bytes(case) / 10


def test_a_batch_is_no_longer_than_the_longest_row() -> None:
    config = qlora(data__max_length=8192)
    short = estimate(config, MODEL, A100, synthetic_profile(100, 100))
    assert short.peak.process_bytes < estimate(config, MODEL, A100).peak.process_bytes


def test_turing_repeats_keys_under_sdpa() -> None:
    assert parts(lora(), T4)["activations"] >= parts(lora(), A100)["activations"]


def test_fused_experts_are_in_four_bits_unless_the_configuration_says_otherwise() -> None:
    model = spec_from_config({**LLAMA_8B, "model_type": "mixtral"}, "mixtral")
    experts = 32 * 8 * 3 * 4096 * 14336
    packed, plain = (estimate(qlora(quantization__experts=each), model, A100) for each in ("auto", False))
    saved = plain.parts["weights"] - packed.parts["weights"]
    assert saved == pytest.approx((2 - 0.5 - 1 / 64 - 4 / 64 / 256) * experts, rel=1e-6)
    assert estimate(qlora(quantization__bits=8), model, A100).parts["weights"] > 2 * experts


def test_adapted_experts_are_two_factors_an_expert() -> None:
    model = read_model("Qwen/Qwen3-30B-A3B", offline=True)
    frozen, adapted = (estimate(qlora(lora__experts=each), model, A100) for each in (False, True))
    assert adapted.trainable_parameters - frozen.trainable_parameters == 629_145_600
    assert 17.5e9 < frozen.peak.process_bytes < 18.5e9 < adapted.peak.process_bytes < 26e9


def test_dora_modules_to_save_and_rank_pattern_are_priced() -> None:
    plain = estimate(qlora(), MODEL, A100).trainable_parameters
    embedding = 128256 * 4096
    rows = 32 * (4096 + 1024 + 1024 + 4096 + 14336 + 14336 + 4096)
    assert estimate(qlora(lora__use_dora=True), MODEL, A100).trainable_parameters == plain + rows
    saved = qlora(lora__modules_to_save=["embed_tokens", "lm_head"])
    assert estimate(saved, MODEL, A100).trainable_parameters == plain + 2 * embedding
    pattern = qlora(lora__rank_pattern={"o_proj": 32})
    assert estimate(pattern, MODEL, A100).trainable_parameters == plain + 32 * 16 * 8192


def test_an_eight_billion_model_lands_where_it_should() -> None:
    """The example of the design: QLoRA fits 24 GiB easily; 16-bit LoRA takes more than 70 % of it, not of 32."""
    data = synthetic_profile(50_000, 200)
    shape = {"data__max_length": 1024, "training__per_device_train_batch_size": 2}
    on_24, on_32 = device_from_catalogue("RTX 4090"), device_from_catalogue("RTX 5090")
    assert estimate(qlora(**shape), MODEL, on_24, data).fits == "yes"
    large = estimate(lora(**shape), MODEL, on_24, data)
    assert large.peak.high_bytes > 0.7 * on_24.free_bytes
    assert estimate(lora(**shape), MODEL, on_32, data).peak.high_bytes <= 0.7 * on_32.free_bytes


def test_an_unknown_stack_names_the_others() -> None:
    with pytest.raises(InputError) as error:
        estimate(qlora(), MODEL, A100, stack="axolotl")
    assert "hf-trainer+liger" in str(error.value)


def test_an_unsupported_model_is_refused_with_its_reason() -> None:
    model = replace(MODEL, name="quantised", unsupported="its weights are quantised.")
    with pytest.raises(InputError) as error:
        estimate(qlora(), model, A100)
    assert error.value.message == f"quantised cannot be used: {model.unsupported}"


def test_targets_that_the_model_lacks_are_refused() -> None:
    with pytest.raises(InputError) as error:
        estimate(qlora(lora__target_modules=["c_attn"]), MODEL, A100)
    assert "q_proj" in error.value.remedy
