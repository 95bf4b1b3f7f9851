"""No class has more than thirty methods, those included that it inherits from classes of this project."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("presets", "recommender", "trainer", "tui")
MOST = 30


@cache
def classes() -> dict[str, tuple[ast.ClassDef, dict[str, str]]]:
    """Each class of the project by its full name, with what its module's names stand for."""
    found: dict[str, tuple[ast.ClassDef, dict[str, str]]] = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {
                alias.asname or alias.name: f"{node.module}.{alias.name}"
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            own = [node for node in tree.body if isinstance(node, ast.ClassDef)]
            names |= {node.name: f"{module}.{node.name}" for node in own}
            found |= {f"{module}.{node.name}": (node, names) for node in own}
    return found


def methods(name: str) -> set[str]:
    """Names of a class's methods and properties, inherited ones of ours included."""
    node, names = classes()[name]
    own = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return own.union(*(methods(base) for base in _bases(node, names)))


def _bases(node: ast.ClassDef, names: dict[str, str]) -> Iterator[str]:
    for base in node.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(plain, ast.Name) and names.get(plain.id) in classes():
            yield names[plain.id]


def test_inherited_methods_of_ours_count() -> None:
    assert {"compose", "follow", "body"} <= methods("tui.screens.machine.screen.MachineScreen")
    assert len(classes()) > 300


def test_a_class_has_no_more_than_thirty_methods() -> None:
    """A part of one that has more is a class of its own: for a screen a `Part` (`tui/screens/base.py`)."""
    large = {name: count for name in classes() if (count := len(methods(name))) > MOST}
    assert large == {}
