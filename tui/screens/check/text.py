"""Texts of the Check screen: each check with its result, its time and its remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recommender.units import count, counted, duration, gib
from tui.screens.machine.text import short_name
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Part, Row, Tone, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.plan.types import Plan
    from trainer.preflight.line import CheckLine, CheckStatus

MARKS: Mapping[CheckStatus, tuple[str, Tone]] = {
    "waiting": ("·", "quiet"),
    "running": ("▸", "accent"),
    "ok": ("✓", "good"),
    "warn": ("!", "caution"),
    "fail": ("✗", "bad"),
    "skipped": ("–", "quiet"),
}
TITLE = 24
TIME = 9
"""Columns of a check's title and of its time."""
MOST = 6
"""Lines of a detail or a remedy."""
DOING: Mapping[str, str] = {
    "worst_step": "the model is loaded, then one whole step of the longest rows and an evaluation batch are run",
    "quantisation": "a 4-bit product is compared with the exact one",
    "torch": "torch is imported in a process of its own and asked for the device",
}
"""Activity of long checks, by key, where they do not say it themselves."""
ENDED = frozenset({"ok", "warn", "fail", "skipped"})


def check_picks(lines: Sequence[CheckLine], width: int) -> list[Pick]:
    """A line for each check; a remedy and a long detail stand below it."""
    return [_check(line, width) for line in lines]


def _check(line: CheckLine, width: int) -> Pick:
    mark, tone = MARKS[line.status]
    seconds = duration(line.seconds) if line.seconds is not None and line.seconds >= 0.05 else ""
    title = min(TITLE, width // 3)
    room = max(10, width - title - 2 - TIME)
    detail = _wrapped(_detail(line), room)[:MOST] or [""]
    said: Tone = "bad" if line.status == "fail" else "quiet" if line.status == "skipped" else "plain"
    head: list[Part] = [
        (f"{mark} ", tone),
        (cell(clean(line.title), title), "bright" if line.status in ("running", "fail") else "label"),
        (cell(detail[0], room), said),
        (cell(seconds, TIME, "right"), "quiet"),
    ]
    before = (" " * (title + 2), "plain")
    rows = [Row(tuple(head)), *(Row((before, (text, said))) for text in detail[1:])]  # type: ignore[arg-type]
    remedy = _wrapped(clean(line.remedy), room - 2)[:MOST]
    for number, text in enumerate(remedy):
        rows.append(Row((before, ("  " if number else "→ ", "accent"), (text, "plain"))))  # type: ignore[arg-type]
    return Pick(line.key, tuple(rows))


def _detail(line: CheckLine) -> str:
    if line.status == "running" and line.progress is not None and line.progress[1]:
        done, total = line.progress
        shown = f"{gib(done)} of {gib(total)}" if total > 10**6 else f"{count(done)} of {count(total)}"
        return f"{clean(line.detail)} {shown}".strip()
    if line.status == "running":
        return clean(line.detail) or DOING.get(line.key, "running …")
    return clean(line.detail)


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, max(20, width)) if text else []


def verdict_row(lines: Sequence[CheckLine], *, running: bool, started: bool) -> Row:
    """Row of the list's overall result, and of what g does now."""
    failed = [line for line in lines if line.status == "fail"]
    warned = [line for line in lines if line.status == "warn"]
    done = sum(line.status in ENDED for line in lines)
    if started:
        return row(("starting …", "bright"), ("  the run is a process of its own", "label"))
    if failed:
        asks = any(line.question is not None for line in failed)
        return row(
            ("✗ ", "bad"),
            (f"{clean(failed[0].title)} must be mended before a start", "bright"),
            ("  g asks again" if asks else "  f5 checks again", "label"),
        )
    if running:
        return row((f"{done} checked", "bright"), ("  g starts as soon as nothing is ✗ · esc cancels", "label"))
    if not lines or any(line.status == "skipped" for line in lines):
        return row(("not all was checked", "caution"), ("  f5 checks again", "label"))
    worth = f", {len(warned)} worth knowing" if warned else ""
    return row(("✓ ", "good"), (f"ready{worth}", "bright"), ("  g starts the training", "label"))


def confirmation(plan: Plan, taken: float | None = None) -> str:
    """One-line question that says what a start will do; `taken` is the run's time at the measured pace, in seconds."""
    from trainer.preflight.pace import times

    time = plan.estimate.time
    takes = "" if time is None or time.total_seconds is None else f", about {duration(time.total_seconds)}"
    if measured := times(plan.estimate, taken):
        takes = f", {measured}"
    steps = "" if time is None or time.steps is None else f", {counted(time.steps, 'step')}"
    name = plan.config.model.rstrip("/").rpartition("/")[2]
    unused = ", the CPU, not on the GPU" if plan.device.passed_over else ""
    return clean(f"start {plan.config.method} of {name} on {short_name(plan.device.name)}{unused}{steps}{takes}?")
