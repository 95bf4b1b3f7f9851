"""Restores a checkpoint's weights into a model that is trained whole, whatever their names in files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import safe_open


@contextmanager
def dtypes_kept(model: Any) -> Iterator[None]:
    """Give trained weights the dtypes back that they had: PEFT 0.21 casts an adapter of 16 bits to fp32 as it loads it.

    A run over a quantised base, whose adapter is in bf16, would else go on in another precision than it began in.
    """
    before = {name: weight.dtype for name, weight in model.named_parameters() if weight.requires_grad}
    yield
    for name, weight in model.named_parameters():
        if (dtype := before.get(name, weight.dtype)) != weight.dtype:
            weight.data = weight.data.to(dtype)


def load_whole(model: Any, checkpoint: Path) -> bool:
    """Load a saved model into one that is built, where Trainer's own loading would pass weights over.

    Transformers 5 holds some models otherwise than their files do (a mixture's experts are fused), and writes them by
    the files' names; Trainer takes a checkpoint's weights by name, and leaves out without a word those that the model
    does not have.

    Args:
        model: A Transformers model without an adapter.
        checkpoint: A folder that `save_pretrained` wrote.

    Returns:
        Whether it was loaded; False where every name is the model's own, so that Trainer's loading loads all.
    """
    if names_in(checkpoint) <= set(model.state_dict()):
        return False
    dtype = next(model.parameters()).dtype
    saved = type(model).from_pretrained(str(checkpoint), dtype=dtype, use_safetensors=True, device_map="cpu")
    model.load_state_dict(saved.state_dict())
    return True


def names_in(checkpoint: Path) -> set[str]:
    """The names of the weights in a folder's safetensors files."""
    names: set[str] = set()
    for path in checkpoint.glob("*.safetensors"):
        with safe_open(str(path), framework="pt") as opened:
            names |= set(opened.keys())
    return names
