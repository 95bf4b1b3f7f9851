"""No module of ours knows itself by way of others, imports for types included."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def module_names(package: str) -> dict[str, Path]:
    """Every module of a package, with its file."""
    files = (ROOT / package).rglob("*.py")
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """What a file imports of these modules, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively: this test does not follow that"
            # `from package import module` names a module, `from module import name` what is in it.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known.keys()


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that all reach each other, and single ones that import themselves (Kosaraju)."""
    order: list[str] = []
    seen: set[str] = set()
    for start in graph:
        _visit(start, graph, seen, order)
    backwards: dict[str, set[str]] = {name: set() for name in graph}
    for name, targets in graph.items():
        for target in targets:
            backwards[target].add(name)
    seen, found = set(), []
    for start in reversed(order):
        group: list[str] = []
        _visit(start, backwards, seen, group)
        if len(group) > 1 or start in graph[start]:
            found.append(set(group))
    return [group for group in found if group]


def _visit(start: str, graph: dict[str, set[str]], seen: set[str], order: list[str]) -> None:
    """Append what is reached from a module and was not seen, each after all that it leads to."""
    stack = [] if start in seen else [(start, iter(graph[start]))]
    seen.add(start)
    while stack:
        name, targets = stack[-1]
        for target in targets:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(graph[target])))
                break
        else:
            order.append(name)
            stack.pop()


def of_package(package: str) -> list[set[str]]:
    known = module_names(package)
    return circles({name: imports(path, known) for name, path in known.items()})


@pytest.mark.parametrize("package", ["tui", "trainer", "recommender", "presets"])
def test_no_module_knows_itself_by_way_of_others(package: str) -> None:
    assert of_package(package) == []


def test_a_circle_is_found_wherever_it_begins() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e", "a"}}
    assert sorted(circles(graph), key=len) == [{"e"}, {"b", "c"}]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
