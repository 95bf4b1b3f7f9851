"""Chat templates by family, from templates.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from presets.yaml_file import read_yaml

FILE = Path(__file__).with_name("templates.yaml")
TOKENS_FILE = Path(__file__).with_name("template_tokens.yaml")


@dataclass(frozen=True, slots=True)
class FamilyTemplate:
    """A chat template for a family of models."""

    name: str
    title: str
    needs: tuple[str, ...]
    """Special tokens that must be in the vocabulary."""
    end_of_turn: str
    """The token that ends an answer; '{eos}' is the model's own."""
    model_types: tuple[str, ...]
    template: str
    """Jinja source."""


@cache
def tokens_around(model_type: str) -> int:
    """About how many tokens a family's chat template writes once a conversation, beside those of each turn.

    Args:
        model_type: Architecture; one that is not listed has the default.
    """
    tokens: dict[str, int] = read_yaml(TOKENS_FILE)
    return tokens.get(model_type, tokens["default"])


@cache
def load_templates() -> dict[str, FamilyTemplate]:
    """Family templates by name, in the order in which they are tried."""
    families = (
        FamilyTemplate(
            name=entry["name"],
            title=entry["title"],
            needs=tuple(entry["needs"]),
            end_of_turn=entry["end_of_turn"],
            model_types=tuple(entry["model_types"]),
            template=entry["template"],
        )
        for entry in read_yaml(FILE)
    )
    return {family.name: family for family in families}
