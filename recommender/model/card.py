"""A model card's word on which unquantised model a quantised copy was made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from recommender.model.quantised import refusal
from recommender.model.spec import ModelSpec


def card_base(folder: Path) -> str:
    """The `base_model` of a folder's model card, a hub id; empty where it names none, or is no card.

    The card's head is YAML between two lines of three dashes (https://huggingface.co/docs/hub/model-cards).
    """
    import yaml

    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
        head = text.split("---", 2)[1] if text.startswith("---") else ""
        document = yaml.safe_load(head)
        return base_of(document.get("base_model")) if isinstance(document, Mapping) else ""
    except (OSError, UnicodeDecodeError, IndexError, yaml.YAMLError):
        return ""


def base_of(named: object) -> str:
    """The first hub id of a card's `base_model`, a text or a list of them; empty where there is none."""
    first = named[0] if isinstance(named, list) and named else named
    return first if isinstance(first, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", first) else ""


def with_base(spec: ModelSpec, base: str) -> ModelSpec:
    """The spec, with the unquantised repository in its refusal where it is refused for its quantisation alone."""
    if base and spec.unsupported and spec.unsupported == refusal(spec.quantization, spec.name):
        return replace(spec, unsupported=refusal(spec.quantization, spec.name, base))
    return spec
