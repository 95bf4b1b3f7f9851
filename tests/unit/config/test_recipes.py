"""Every shipped recipe is a valid change to a real configuration; a damaged one is named."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from presets.errors import InputError
from presets.recipes import FOLDER, Recipe, find_recipe, load_recipes
from presets.sweep import load_sweep
from recommender.config.edit import apply, value_of
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.model.facts import facts_of
from recommender.model.reader import read_model


def test_all_files_are_recipes_and_the_starter_is_first() -> None:
    names = [recipe.name for recipe in load_recipes()]
    assert sorted(names) == sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert names[0] == "starter"
    assert len(names) >= 13


@pytest.mark.parametrize("recipe", load_recipes(), ids=lambda recipe: recipe.name)
def test_a_recipe_sets_what_it_says(recipe: Recipe) -> None:
    start = FinetuneConfig(model="org/model", quantization=Quantization(bits=4))
    config = apply(start, recipe.changes)
    for key, value in recipe.changes.items():
        assert value_of(config, key) == value
    assert recipe.title
    assert recipe.meant_for
    assert recipe.source


def test_the_starter_is_the_cards_example() -> None:
    changes = find_recipe("starter").changes
    assert changes["training.learning_rate"] == 2.9e-4
    assert (changes["lora.r"], changes["lora.lora_alpha"]) == (16, 32)


def test_an_unknown_name_is_offered_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        find_recipe("unsloth")
    assert "unsloth-defaults" in caught.value.remedy


def test_the_sweep_is_whole() -> None:
    sweep = load_sweep()
    assert (sweep.batch, sweep.steps, sweep.lora_alpha) == (128, 780, 32)
    row = sweep.nearest("llama", 8e9, 16)
    assert row is not None
    assert (row.model, row.r, row.best_rate) == ("Llama-3.1-8B", 16, 3e-4)
    assert sweep.nearest("no such family", 8e9, 16) is None
    assert {each.r for each in sweep.same_model(row)} == {4, 16, 64, 128}


@pytest.mark.parametrize(
    ("name", "r", "model", "rank"),
    [
        ("qwen3-8b", 1, "Qwen3-8B", 4),
        ("qwen3-0.6b", 16, "Qwen3-8B", 16),
        ("qwen3-4b", 100, "Qwen3-8B", 128),
        ("qwen3-32b", 256, "Qwen3-32B", 64),
        ("llama-3.2-3b-instruct", 9, "Llama-3.1-8B", 16),
        ("llama-3.2-1b-instruct", 7, "Llama-3.2-1B", 4),
    ],
)
def test_the_sweeps_evidence_is_of_the_model_nearest_in_parameters(name: str, r: int, model: str, rank: int) -> None:
    spec = read_model(name, offline=True)
    row = load_sweep().nearest(facts_of(spec.model_type).sweep, spec.total_parameters, r)
    assert row is not None
    assert (row.model, row.r) == (model, rank)


def test_the_sweeps_parameters_are_those_of_the_fit() -> None:
    table = Path(__file__).parents[3] / "benchmarks" / "reference" / "sweep_models.csv"
    with table.open(newline="") as file:
        fitted = {row["model"].rpartition("/")[2]: float(row["parameters"]) for row in csv.DictReader(file)}
    assert all(row.parameters == fitted[row.model] for row in load_sweep().rows)
