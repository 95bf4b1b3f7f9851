"""Every shipped YAML file holds what its reader takes: keys, types and ranges. Readers trust them at each start."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

import presets
from presets import (
    datasets,
    family_rules,
    glossary,
    gpus,
    models,
    rate_law,
    recipes,
    servers,
    sweep,
    templates,
    variants,
)

Text = Annotated[str, Field(pattern=r"\S")]
Name = Annotated[str, Field(pattern=r"^\S+$")]
HubId = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
Positive = Annotated[float, Field(gt=0, lt=1e6)]


class Entry(BaseModel):
    """Nothing is converted and nothing unknown is taken."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Card(Entry):
    name: Text
    kind: gpus.GpuKind
    architecture: Text
    compute_capability: Annotated[str, Field(pattern=r"^\d{1,2}\.\d$")]
    memory_gib: Positive
    bandwidth_gbs: Positive
    fp32_tflops: Positive
    source: Annotated[list[Text], Field(min_length=1)]
    bf16_tflops: Positive | None = None
    fp16_tflops: Positive | None = None
    power_w: Positive | None = None
    aliases: list[Text] = []
    ecc_in_memory: bool = False
    note: Text | None = None


class Cards(Entry):
    sources: dict[Name, Text]
    cards: Annotated[list[Card], Field(min_length=1)]


class Architecture(BaseModel):
    """The part of config.json that everybody reads; the rest is checked by what is computed of it."""

    model_config = ConfigDict(extra="allow", strict=True)

    model_type: Name
    max_position_embeddings: Annotated[int, Field(gt=0)] | None = None
    n_positions: Annotated[int, Field(gt=0)] | None = None
    text_config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def says_how_far_it_reaches(self) -> Architecture:
        inner = self.text_config or {}
        assert self.max_position_embeddings or self.n_positions or inner.get("max_position_embeddings") or inner
        return self


class Model(Entry):
    name: Name
    hub_id: HubId
    parameters: Annotated[int, Field(gt=0)]
    source: Name = "litgpt-table"
    gated: bool = False
    aliases: list[HubId] = []
    config: Architecture


class Models(Entry):
    note: Text = "none"
    models: Annotated[list[Model], Field(min_length=1)]


class FamilyLine(Entry):
    types: Annotated[list[Name], Field(min_length=1)]
    of: Literal["dense", "mixtures", "all"]
    source: Text
    why: Text | None = None
    rate_at_most: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_grad_norm: Annotated[float, Field(gt=0, le=1)] | None = None
    others: Text | None = None

    @model_validator(mode="after")
    def says_why_or_what_others_do(self) -> FamilyLine:
        assert (self.why is None) == (self.rate_at_most is None and self.max_grad_norm is None)
        assert self.why or self.others
        return self


class KnownDataset(Entry):
    title: Text
    path: HubId
    rows: Annotated[int, Field(gt=0)]
    language: Text
    licence: Text
    about: Text
    name: Name | None = None
    split: Name = "train"
    columns: dict[Name, Name] = {}


class Template(Entry):
    name: Name
    title: Text
    needs: list[Name]
    end_of_turn: Name
    model_types: list[Name]
    template: Text


class Recipe(Entry):
    title: Text
    meant_for: Text
    source: Text
    changes: Annotated[dict[Name, Any], Field(min_length=1)]


class Law(Entry):
    base: Positive
    size: float
    rank: float
    highest: Positive
    uncalibrated: Positive
    parameters: Annotated[list[float], Field(min_length=2, max_length=2)]
    ranks: Annotated[list[int], Field(min_length=2, max_length=2)]
    families: dict[Name, Positive]


class RateLaw(Entry):
    law: Law


class SweepRow(Entry):
    model: Name
    family: Name
    parameters: Annotated[float, Field(gt=0)]
    r: Annotated[int, Field(gt=0)]
    test_nll: Annotated[dict[float, Positive], Field(min_length=1)]


class Conditions(Entry):
    data: Text
    steps: Annotated[int, Field(gt=0)]
    batch: Annotated[int, Field(gt=0)]
    lora_alpha: Annotated[int, Field(gt=0)]
    target_modules: Text
    weights: Text


class Sweep(Entry):
    source: Text
    conditions: Conditions
    rows: Annotated[list[SweepRow], Field(min_length=1)]


class Measurement(Entry):
    what: Text
    found: Text
    by: Text


class Word(Entry):
    word: Text
    says: Text
    screens: list[Literal["machine", "model", "data", "plan", "check", "train"]]


class ServerRow(Entry):
    name: Text
    source: Text
    without_lora: Annotated[list[Name], Field(min_length=1)]


SCHEMAS: dict[Path, Any] = {
    gpus.FILE: Cards,
    models.FILE: Models,
    datasets.FILE: list[KnownDataset],
    templates.FILE: list[Template],
    templates.TOKENS_FILE: dict[Name, Annotated[int, Field(gt=0)]],
    rate_law.FILE: RateLaw,
    sweep.FILE: Sweep,
    variants.FILE: dict[Name, list[Measurement]],
    family_rules.FILE: list[FamilyLine],
    glossary.FILE: list[Word],
    servers.FILE: dict[Name, ServerRow],
    **dict.fromkeys(recipes.FOLDER.glob("*.yaml"), Recipe),
    **dict.fromkeys(models.FACTS.glob("*.json"), Models),
    models.FACTS / models.SOURCES: dict[Name, Text],
}
ROOT = Path(presets.__file__).parent


def content(path: Path) -> Any:
    if path.suffix == ".json":
        return json.loads(path.read_bytes())
    return yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_file_holds_what_its_reader_takes(path: Path) -> None:
    TypeAdapter(SCHEMAS[path]).validate_python(content(path))


def test_every_shipped_file_has_a_schema() -> None:
    assert {*ROOT.rglob("*.yaml"), *models.FACTS.rglob("*.json")} == set(SCHEMAS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("memory_gib", "many"),
        ("memory_gib", -8),
        ("memory_gib", True),
        ("compute_capability", 8.9),
        ("kind", "toy"),
        ("source", []),
        ("aliases", "Y"),
        ("ecc_in_memory", 1),
        ("name", 1),
        ("colour", "red"),
    ],
)
def test_a_malformed_card_is_refused(key: str, value: object) -> None:
    card = dict(content(gpus.FILE)["cards"][0])
    Card.model_validate(card)
    with pytest.raises(ValidationError, match=key):
        Card.model_validate({**card, key: value})


def test_sources_of_cards_are_listed_and_used() -> None:
    catalogue = content(gpus.FILE)
    assert {key for card in catalogue["cards"] for key in card["source"]} == set(catalogue["sources"])


def test_no_name_stands_for_two() -> None:
    cards = Counter(key for facts in gpus.load_gpus() for key in gpus.names_of(facts))
    known = Counter(
        name.lower() for model in models.load_models() for name in {model.name, model.hub_id, *model.aliases}
    )
    families = Counter(entry["name"] for entry in content(templates.FILE))
    assert [name for names in (cards, known, families) for name, times in names.items() if times > 1] == []


def test_what_was_measured_is_of_the_variants_that_reasons_name() -> None:
    assert set(content(variants.FILE)) == set(variants.KEYS)
