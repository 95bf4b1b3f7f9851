"""What holds of an architecture is known in `recommender.model`: no other module decides by a model's type or class."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from recommender.model.facts import FACTS
from recommender.model.family_table import FAMILIES

ROOT = Path(__file__).parents[2]
NAMES = FAMILIES.keys() | FACTS.keys() | {family.architecture for family in FAMILIES.values()}
ASKED = {"model_type", "architecture", "architectures"}
JUSTIFIED = {
    # The architecture of a GPU, not of a model.
    "recommender/machine/gpu/nvml.py": {"architecture"},
    # Chat templates name the model types that they were made for in presets/templates.yaml; it asks that file.
    "recommender/data/templates/choose.py": {"model_type"},
    # Classes whose adapters a server does not take are named in presets/servers.yaml; it asks that file.
    "recommender/plan/checks/of_class.py": {"architecture"},
    # A family of the sweep and of tinker-cookbook's formula, not a model type: `Facts.sweep` says which.
    "recommender/rules/rate.py": {"llama"},
}


def modules() -> list[Path]:
    """Every module of recommender and trainer that is not `recommender.model`."""
    files = [path for package in ("recommender", "trainer") for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in files if not path.is_relative_to(ROOT / "recommender" / "model")]


def decisions(tree: ast.AST) -> set[str]:
    """Names of architectures that stand in the code, and fields of a model's identity that it compares."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMES:
            found.add(node.value)
        elif isinstance(node, ast.Compare):
            found |= {name for side in (node.left, *node.comparators) for name in _identity(side)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in {"startswith", "endswith", "removesuffix", "removeprefix"}:
                found |= set(_identity(node.func.value))
        elif isinstance(node, ast.Match):
            found |= set(_identity(node.subject))
    return found


def _identity(side: ast.expr) -> Iterator[str]:
    """The field that an operand is, lowered or not; nothing where it is what a function made of one."""
    while isinstance(side, ast.Call) and isinstance(side.func, ast.Attribute) and not side.args:
        side = side.func.value
    name = side.attr if isinstance(side, ast.Attribute) else side.id if isinstance(side, ast.Name) else ""
    if name in ASKED:
        yield name


def test_no_module_outside_the_model_room_decides_by_an_architecture() -> None:
    found = {str(path.relative_to(ROOT)): decisions(ast.parse(path.read_text(encoding="utf-8"))) for path in modules()}
    assert {path: names for path, names in found.items() if names} == JUSTIFIED


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('model.model_type.startswith("olmo")', {"model_type"}),
        ('model.model_type.lower().startswith("olmo")', {"model_type"}),
        ("model.model_type in NO_SDPA", {"model_type"}),
        ('NO_SDPA = frozenset({"vaultgemma"})', {"vaultgemma"}),
        ('architecture == "T5ForConditionalGeneration"', {"architecture"}),
        ('match model.architecture:\n    case "A":\n        pass', {"architecture"}),
        ("family_of(model.model_type).fused", set()),
        ('facts_of(model.model_type).fp16 == "disputed"', set()),
    ],
)
def test_a_decision_is_seen(source: str, names: set[str]) -> None:
    assert decisions(ast.parse(source)) == names
