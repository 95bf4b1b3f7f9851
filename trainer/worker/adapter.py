"""PEFT's configuration from ours: for the worker and for the trace."""

from __future__ import annotations

from peft import LoraConfig

from recommender.config.schema import Lora


def adapter_config(lora: Lora) -> LoraConfig:
    """PEFT's configuration: every key of ours that is PEFT's, under its own name."""
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=int(lora.lora_alpha) if lora.lora_alpha == int(lora.lora_alpha) else lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=lora.target_modules,
        bias=lora.bias,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        init_lora_weights=lora.init_lora_weights,
        modules_to_save=lora.modules_to_save or None,
        rank_pattern=dict(lora.rank_pattern),
        alpha_pattern=dict(lora.alpha_pattern),
    )
