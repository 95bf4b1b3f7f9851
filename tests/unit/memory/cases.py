"""Models, devices and configurations that the estimator's tests ask about."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_from_catalogue, device_from_memory
from recommender.machine.facts import Device
from recommender.model.families import spec_from_config
from recommender.model.spec import ModelSpec

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
CPU = Device(kind="cpu", name="a CPU", free_bytes=16 * 2**30, total_bytes=16 * 2**30, cores=2)
CARDS = tuple(device_from_catalogue(name) for name in ("T4", "RTX 4090", "A100 PCIe 80GB", "H100 SXM 80GB"))
DEVICES = (*CARDS, device_from_memory(24 * 2**30), CPU)
STACKS = ("trl", "hf-trainer", "hf-trainer-noupcast", "hf-trainer-fp32", "hf-trainer+liger")


def llama(**changes: Any) -> ModelSpec:
    """A Llama 8B, or what the changes make of it."""
    return spec_from_config({**LLAMA_8B, **changes}, "llama")


def qlora(**changes: Any) -> FinetuneConfig:
    """A QLoRA configuration with dotted-key changes (double underscores for dots)."""
    base = FinetuneConfig.model_validate({"model": "llama", "method": "qlora", "quantization": {"bits": 4}})
    return with_values(base, {key.replace("__", "."): value for key, value in changes.items()})


def lora(**changes: Any) -> FinetuneConfig:
    """The same with 16-bit weights."""
    return qlora(method="lora", quantization__bits=None, **changes)


FAMILIES = (
    *("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "mistral", "olmo2", "granite"),
    *("mixtral", "qwen3_moe", "olmoe", "gpt_oss"),
)


@st.composite
def models(draw: st.DrawFn) -> ModelSpec:
    """Any architecture that is priced, small or large."""
    heads = draw(st.sampled_from((2, 8, 12, 32)))
    config = {
        "model_type": draw(st.sampled_from(FAMILIES)),
        "hidden_size": heads * draw(st.sampled_from((32, 64, 128))),
        "num_hidden_layers": draw(st.integers(1, 90)),
        "intermediate_size": draw(st.integers(64, 30000)),
        "num_attention_heads": heads,
        "num_key_value_heads": draw(st.sampled_from([k for k in (1, 2, 4, 8, 12, 32) if heads % k == 0])),
        "vocab_size": draw(st.integers(32, 260000)),
        "tie_word_embeddings": draw(st.booleans()),
        "moe_intermediate_size": draw(st.integers(64, 2048)),
    }
    return spec_from_config(config, "random")


@st.composite
def configs(draw: st.DrawFn) -> FinetuneConfig:
    """Any configuration that the schema accepts, as far as the estimator looks."""
    method = draw(st.sampled_from(("qlora", "lora", "full")))
    return FinetuneConfig.model_validate(
        {
            "model": "random",
            "method": method,
            "quantization": {
                "bits": draw(st.sampled_from((4, 8))) if method == "qlora" else None,
                "double_quant": draw(st.booleans()),
            },
            "lora": {
                "r": draw(st.integers(1, 512)),
                "lora_dropout": draw(st.sampled_from((0.0, 0.1))),
                "use_dora": draw(st.booleans()),
                "init_lora_weights": draw(st.sampled_from((True, "pissa", "pissa_niter_16", "olora", "loftq"))),
                "target_modules": draw(st.sampled_from(("all-linear", ["o_proj"], ["o_proj", "q_proj", "v_proj"]))),
                "bias": draw(st.sampled_from(("none", "all", "lora_only"))),
                "modules_to_save": draw(st.sampled_from(([], ["embed_tokens", "lm_head"]))),
                "rank_pattern": draw(st.sampled_from(({}, {"o_proj": 64}))),
            },
            "data": {
                "max_length": draw(st.integers(8, 200_000)),
                "packing": draw(st.sampled_from(("auto", True, False))),
            },
            "training": {
                "per_device_train_batch_size": draw(st.integers(1, 64)),
                "gradient_accumulation_steps": draw(st.integers(1, 64)),
                "precision": draw(st.sampled_from(("bf16", "fp16", "fp32"))),
                "optim": draw(
                    st.sampled_from(
                        (
                            "adamw_torch_fused",
                            "adamw_torch",
                            "adamw_8bit",
                            "paged_adamw_8bit",
                            "paged_adamw_32bit",
                            "sgd",
                        )
                    )
                ),
                "gradient_checkpointing": draw(st.booleans()),
                "activation_offloading": draw(st.booleans()),
                "attn_implementation": draw(st.sampled_from(("sdpa", "flash_attention_2", "eager"))),
            },
        }
    )
