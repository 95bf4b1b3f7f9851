"""Small faults in a module's source: each changes one operator, number, truth value, condition, call or branch.

The kinds are those that mutmut and cosmic-ray have in common, and calls left out. Left alone are strings (most are
prose for people), annotations, decorators, what a `raise` says and what only a type checker reads.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from itertools import pairwise
from pathlib import Path

_COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}  # fmt: skip
_CALCULATED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "/"), ast.Pow: ("**", "*"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
}  # fmt: skip
_EXCHANGED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_ORDERING = {"key", "reverse", "default"}


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        path: The module, relative to the checkout.
        line: Its first line there, from 1.
        span: Lines of the statement that it lies in, both ends included.
        names: What the statement assigns where it runs at import; empty within functions.
        kind: What was done.
        start: First byte that is replaced.
        end: The byte behind the last.
        text: What stands there instead.
    """

    path: str
    line: int
    span: tuple[int, int]
    names: tuple[str, ...]
    kind: str
    start: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """Return the module's source with the fault."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def diff(self, root: Path) -> str:
        """Return the changed lines of the module in a checkout."""
        source = (root / self.path).read_bytes()
        before, after = (text.decode().splitlines() for text in (source, self.applied(source)))
        changed = unified_diff(before, after, n=0, lineterm="")
        return "\n".join(line for line in changed if line[:3] not in ("---", "+++"))


def mutants_of(path: Path, root: Path) -> list[Mutant]:
    """Return every fault of a module that still parses, in the order of the text."""
    source = path.read_bytes()
    found = _Finder(source, str(path.relative_to(root))).found
    return sorted(
        (one for one in found if _parses(one.applied(source))), key=lambda one: (one.start, one.end, one.text)
    )


def _parses(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


class _Finder(ast.NodeVisitor):
    """Walks a module and collects its mutants."""

    def __init__(self, source: bytes, path: str) -> None:
        self.found: list[Mutant] = []
        self._source, self._path = source, path
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._span, self._names, self._depth = (1, 1), tuple[str, ...](), 0
        self.visit(ast.parse(source))

    # Where it is.

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        before = self._span, self._names
        body = getattr(node, "body", None)
        last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
        self._span = (node.lineno, last)
        self._names = () if self._depth else _assigned(node)
        super().visit(node)
        self._span, self._names = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        # What follows from a default value is seen where the body runs.
        self._span, self._names = (node.lineno, node.end_lineno or node.lineno), ()
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)
        self._depth += 1
        for statement in node.body:
            self.visit(statement)
        self._depth -= 1

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        # Positions within an f-string are not the file's on Python 3.11.
        pass

    # What is changed there.

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            self._exchange("comparison", left, right, *_COMPARED[type(operator)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        exchanged = _CALCULATED.get(type(node.op))
        if exchanged and not any(map(_is_text_or_type, (node.left, node.right))):
            self._exchange("arithmetic", node.left, node.right, *exchanged)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._exchange("logic", left, right, old, new)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self._replace("sign", self._at(node), self._at(node.operand), "")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if exchanged := _CALCULATED.get(type(node.op)):
            self._exchange("arithmetic", node.target, node.value, exchanged[0] + "=", exchanged[1] + "=")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace("truth", *self._of(node), str(not node.value))
        elif isinstance(node.value, int | float):
            self._replace("number", *self._of(node), repr(node.value + 1))

    def visit_Break(self, node: ast.Break) -> None:
        self._replace("loop", *self._of(node), "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace("loop", *self._of(node), "break")

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self._condition(node.test)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call | ast.Await):
            self._replace("call left out", *self._of(node), "pass")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and (other := _EXCHANGED.get(node.func.id)):
            self._replace("other function", *self._of(node.func), other)
        for before, argument in pairwise([*node.args, *node.keywords]):
            if isinstance(argument, ast.keyword) and argument.arg in _ORDERING:
                self._replace("argument left out", self._at(before, end=True), self._at(argument, end=True), "")
        self.generic_visit(node)

    def _condition(self, test: ast.expr) -> None:
        """Turn a condition round that has no operator of its own."""
        if isinstance(test, ast.Name | ast.Attribute | ast.Call):
            start, end = self._of(test)
            self._replace("condition", start, end, f"not {self._source[start:end].decode()}")

    def _exchange(self, kind: str, left: ast.AST, right: ast.AST, old: str, new: str) -> None:
        """Change the operator between two operands."""
        start, end = self._at(left, end=True), self._at(right)
        word = re.escape(old).replace(r"\ ", r"\s+")
        if found := re.search(word.encode(), self._source[start:end]):
            self._replace(kind, start + found.start(), start + found.end(), new)

    def _replace(self, kind: str, start: int, end: int, text: str) -> None:
        line = self._source.count(b"\n", 0, start) + 1
        self.found.append(Mutant(self._path, line, self._span, self._names, kind, start, end, text))

    def _of(self, node: ast.AST) -> tuple[int, int]:
        return self._at(node), self._at(node, end=True)

    def _at(self, node: ast.AST, *, end: bool = False) -> int:
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
        if end:
            return self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        return self._starts[node.lineno - 1] + node.col_offset


def _assigned(node: ast.stmt) -> tuple[str, ...]:
    """Return the names that a statement at import gives values to."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return tuple(one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))


def _is_text_or_type(node: ast.expr) -> bool:
    """Return whether an operand of + or | is text, or of a union of types."""
    if isinstance(node, ast.Constant):
        return node.value is None or isinstance(node.value, str)
    named = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return isinstance(node, ast.JoinedStr) or (named[:1].isupper() and not named.isupper())


def all_mutants(folders: tuple[str, ...], root: Path) -> Iterator[Mutant]:
    """Yield every mutant of every module in the folders."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield from mutants_of(path, root)
