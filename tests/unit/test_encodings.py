"""Files are UTF-8 whatever the locale: every one that is opened as text says so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT_CALLS = {"read_text", "write_text", "open", "fdopen", "TextIOWrapper", "run", "Popen", "check_output"}


def unsaid(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that read or write text in the locale's encoding."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {keyword.arg for keyword in node.keywords}
        if name not in TEXT_CALLS or "encoding" in given:
            continue
        mode = next((each.value for each in node.args if isinstance(each, ast.Constant)), "r")
        opens = name in {"open", "fdopen"} and _takes_mode(node.func) and isinstance(mode, str) and "b" not in mode
        if opens or name in {"read_text", "write_text"} or "text" in given:
            yield node


def _takes_mode(function: ast.expr) -> bool:
    """Whether it may open a file as text: not os.open, not what opens an archive's member or a library."""
    owner = getattr(function, "value", None)
    return not (isinstance(owner, ast.Name) and owner.id in {"os", "self", "archive", "reader"})


def test_none_is_left_to_the_locale() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for floor in ("presets", "recommender", "trainer", "tui", "scripts")
        for file in sorted((ROOT / floor).rglob("*.py"))
        for call in unsaid(ast.parse(file.read_text(encoding="utf-8")))
        if "fdopen(handle" not in ast.unparse(call)
    ]
    assert not found


def test_the_search_finds_some() -> None:
    lines = [
        "p.read_text()",
        "p.open()",
        "p.open('rb')",
        "p.open('w', encoding='utf-8')",
        "subprocess.run([], text=True)",
    ]
    assert [call.lineno for call in unsaid(ast.parse("\n".join(lines)))] == [1, 2, 5]
