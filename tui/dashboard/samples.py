"""The fixed questions of a run with their answers, as they change while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recommender.units import count
from tui.dashboard.event_lines import whole, word
from tui.widgets.rows import Row, Tone, row

WHEN = {"before": "before training", "after": "after training"}


def sample_rows(samples: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Each question once, below it what was expected and every answer, the latest last.

    Args:
        samples: 'sample' events, oldest first.
    """
    asked: dict[str, list[Mapping[str, Any]]] = {}
    for sample in samples:
        asked.setdefault(word(sample, "prompt") or "", []).append(sample)
    rows: list[Row] = []
    for prompt, answers in asked.items():
        if rows:
            rows.append(row())
        rows.append(row(("? ", "accent"), (prompt, "bright"), indent=2))
        if expected := word(answers[-1], "expected"):
            rows.append(row(("  expected  ", "quiet"), (expected, "label"), indent=12))
        rows += [row((f"  {_when(each)}  ", "quiet"), _answer(each), indent=4) for each in answers]
    return rows or [row(("no samples yet", "quiet"))]


def _answer(sample: Mapping[str, Any]) -> tuple[str, Tone]:
    said = word(sample, "answer") or "(nothing)"
    return said, "good" if sample.get("when") == "after" else "plain" if sample.get("when") == "before" else "extra"


def _when(sample: Mapping[str, Any]) -> str:
    step = whole(sample, "step")
    return WHEN.get(word(sample, "when") or "") or (f"step {count(step)}" if step is not None else "")
