"""What documents name is there: files by their paths, make targets, pages that link to each other."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"))
    if path.name != "CHANGELOG.md"
)
SOURCES = sorted(
    path
    for room in ("presets", "recommender", "trainer", "tui", "tests", "benchmarks", "scripts", "docs")
    for path in (ROOT / room).rglob("*")
    if path.suffix in {".py", ".yaml", ".md"} and path != Path(__file__)
)
IN_ROOMS = re.compile(r"`((?:presets|recommender|trainer|tui|tests|benchmarks|docs|scripts)/[\w./-]+)`")
PLACEHOLDER = re.compile(r"\b[A-Z]{4}\b")
"""Such as NAME in `recommender/stages/NAME.py`."""
ON_PAPER = re.compile(r"^## .*on paper\n(?:(?!^## ).*\n)*", re.MULTILINE)
"""A section about what is not there yet."""
LINKS = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
ELSEWHERE = re.compile(r"\b(DESIGN|HOUSE|UX|EXAMPLES|ANATOMY)(\.md| section|, section)|\bissue #?\d{1,2}\b(?! of)")
"""Documents that are not in the repository: a reader cannot follow them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = ON_PAPER.sub("", page.read_text(encoding="utf-8"))
    named = [ROOT / name for name in IN_ROOMS.findall(text) if not PLACEHOLDER.search(name)]
    linked = [page.parent / name for name in LINKS.findall(text) if not name.startswith(("http", "<"))]
    assert [str(path) for path in (*named, *linked) if not path.exists()] == []


def test_nothing_refers_to_documents_that_are_not_in_the_repository() -> None:
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in (*SOURCES, *PAGES)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if ELSEWHERE.search(line)
    ]
    assert lines == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")))
    assert named <= targets


QUOTED = re.compile(r'\*\*(?:[^*]*?)"([^"]+)"')
"""What the page on troubles says that the program says: in quotes, in bold; '…' stands for what differs."""


@cache
def said() -> str:
    """All texts in the source, those with values in them with a gap for each."""
    texts = []
    for path in SOURCES:
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in {"presets", "recommender", "trainer", "tui"}:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = (str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
                    texts.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return "\n".join(texts)


def test_what_troubleshooting_quotes_is_what_the_program_says() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    parts = [part.strip(" .:") for quote in QUOTED.findall(page) for part in quote.split("…")]
    quoted = [part for part in parts if len(part) > 3]
    assert len(quoted) > 20
    assert [part for part in quoted if part not in said() and part not in "question: "] == []
