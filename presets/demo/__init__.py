"""The data set that ships with the program: questions and answers about LoRA fine-tuning in one house style."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["demo_data_path"]


def demo_data_path() -> Path:
    """Return the path of the shipped rows (OpenAI `messages`, one JSON object a line)."""
    return Path(str(files("presets.demo").joinpath("lora-house-style.jsonl")))
