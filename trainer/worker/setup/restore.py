"""Restores a checkpoint's weights into a model that is trained whole, whatever their names in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open


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
