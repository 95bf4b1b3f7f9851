"""A checkpoint's weights come back in the dtypes that they are trained in."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from trainer.worker.setup.restore import dtypes_kept


def test_an_adapter_in_bf16_stays_in_bf16_when_it_is_loaded(tmp_path: Path) -> None:
    model = get_peft_model(nn.Sequential(nn.Linear(4, 4)), LoraConfig(r=2, target_modules=["0"]))
    for weight in model.parameters():
        weight.data = weight.data.to(torch.bfloat16)
    model.save_pretrained(str(tmp_path))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}

    with dtypes_kept(model):
        model.load_adapter(str(tmp_path), "default", is_trainable=True)
        cast = {name: weight.dtype for name, weight in model.named_parameters() if name in trained}

    # As PEFT leaves them; where it no longer does so, nothing has to be given back.
    assert set(cast.values()) == {torch.float32}
    assert {weight.dtype for name, weight in model.named_parameters() if name in trained} == {torch.bfloat16}
