"""The figures of the present: the 'now' pane, the status line and the diagnosis, as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from recommender.units import count, duration, gib, gib_number, percent, rate
from trainer.diagnosis.diagnose import Finding
from trainer.history.ranks import lagging
from trainer.run.state import number, whole
from tui.dashboard.curves import History
from tui.dashboard.time_left import seconds_left, time_left
from tui.terminal.sanitize import clean
from tui.widgets.curves.ticks import loss_text, short
from tui.widgets.histogram import EIGHTHS
from tui.widgets.rows import Part, Row, Tone, row
from tui.widgets.text import cut_parts

if TYPE_CHECKING:
    from trainer.history.columns import StepPoint
    from trainer.history.reader import Snapshot

LABEL_WIDTH = 14
LAGS = 1.1
"""Times the others' forward passes from which a process is said to be the slowest."""
LEAST_BAR = 8
"""Cells below which a bar says nothing."""
MARKS: dict[str, tuple[str, Tone]] = {
    "starting": ("○", "accent"),
    "downloading": ("○", "accent"),
    "loading": ("○", "accent"),
    "preflight": ("○", "accent"),
    "training": ("●", "good"),
    "evaluating": ("●", "accent"),
    "saving": ("●", "accent"),
    "recovering": ("!", "caution"),
    "finished": ("✓", "good"),
    "stopped": ("■", "caution"),
    "failed": ("✗", "bad"),
}
"""Mark and tone of each status; the word always stands beside the mark."""
LEVELS: dict[str, tuple[str, Tone]] = {"ok": ("✓", "good"), "caution": ("!", "caution"), "bad": ("✗", "bad")}


TROUBLE_LINES = 3
"""The most that trouble takes of a narrow screen."""
UNTIL_STEPS: Mapping[str, str] = {
    "starting": "its worker is being started",
    "downloading": "the model comes from the hub",
    "loading": "libraries, rows and weights are read",
    "preflight": "one whole step of the longest rows, an evaluation batch and a checkpoint are tried",
    "evaluating": "the loss before training is measured",
    "recovering": "it starts again from its last checkpoint",
}
"""Activity of a run before its first step, by status."""


def field(label: str, *parts: Part | str) -> Row:
    """One labelled figure."""
    return row((f"{label:<{LABEL_WIDTH}}", "label"), *parts, indent=LABEL_WIDTH)


def status_part(status: str, *, died: bool = False) -> Part:
    """Mark and word of a status."""
    mark, tone = MARKS.get(status, ("○", "accent"))
    return f"{mark} {'died' if died else clean(status)}", tone


def status_row(snapshot: Snapshot, width: int, *, unicode: bool = True) -> Row:
    """The line above the curves: status, run, step, bar, share, time left, epoch.

    Args:
        snapshot: The run now.
        width: Columns that it may take; the run's name, the epoch and the bar give way, in this order.
        unicode: Whether the bar may be drawn with lines.
    """
    step, total = snapshot.state.step, snapshot.state.total_steps
    share = min(1.0, step / total) if total else None
    left = seconds_left(snapshot)
    steps = f"{count(step)} / {count(total)}" if total else count(step)
    status = status_part(snapshot.status, died=bool(snapshot.died))
    fixed: list[Part] = [(f"  step {steps}", "bright")] if total or step else []
    tail: list[Part] = [(f"  {percent(share)}", "bright")] if share is not None else []
    if left is not None:
        tail.append((f"  {duration(left)} left", "bright"))
    epoch: Part | None = (f"  epoch {snapshot.state.epoch:.2f}", "label") if snapshot.state.epoch is not None else None
    room = width - sum(len(text) for text, _ in (status, *fixed, *tail))
    if epoch and room >= len(epoch[0]) + LEAST_BAR + 2:
        tail.append(epoch)
        room -= len(epoch[0])
    name = clean(snapshot.run_id)
    named = room - (LEAST_BAR + 2 if share is not None else 0) >= len(name) + 2
    room -= len(name) + 2 if named else 0
    bar: tuple[Part, ...] = ()
    if share is not None and room >= LEAST_BAR + 2:
        bar = (("  ", "plain"), *_bar(share, min(40, room - 2), unicode=unicode))
    return row(status, (f"  {name}" if named else "", "label"), *fixed, *bar, *tail)


def two_columns(rows: Sequence[Row], width: int) -> tuple[Row, ...]:
    """Put the second half of some rows beside the first half, each cut to its column with an ellipsis."""
    half, column = (len(rows) + 1) // 2, (width - 2) // 2
    joined = []
    for index in range(half):
        left = cut_parts(rows[index].parts, column)
        right = cut_parts(rows[half + index].parts, column) if half + index < len(rows) else ()
        gap = " " * (column + 2 - sum(cell_len(text) for text, _ in left))
        joined.append(Row((*left, (gap, "plain"), *right)))
    return tuple(joined)


def _bar(share: float, cells: int, *, unicode: bool) -> tuple[Part, ...]:
    done, open_ = ("━", "─") if unicode else ("#", "-")
    full = round(share * cells)
    return (done * full, "accent"), (open_ * (cells - full), "quiet")


def now_rows(snapshot: Snapshot, history: History) -> tuple[Row, ...]:
    """Every figure of the present, one a line; what is not known yet is left out."""
    rows: Sequence[Row | None] = (
        _before_steps(snapshot),
        _loss(snapshot, history),
        _eval(snapshot),
        _before(snapshot),
        _best(snapshot),
        _of_last_step(snapshot, "learning_rate"),
        _of_last_step(snapshot, "grad_norm"),
        _speed(snapshot),
        _memory(snapshot),
        *_meters(snapshot),
        _ranks(snapshot),
        _tokens(snapshot),
        _elapsed(snapshot),
        _left(snapshot),
    )
    return tuple(shown for shown in rows if shown)


def diagnosis_rows(findings: Sequence[Finding]) -> tuple[Row, ...]:
    """The diagnosis: mark and sentence, evidence and change below it."""
    rows: list[Row] = []
    for finding in findings:
        mark, tone = LEVELS[finding.level]
        rows.append(row((f"{mark} ", tone), (clean(finding.title), "plain"), indent=2))
        if finding.evidence:
            rows.append(row((f"  {clean(finding.evidence)}", "label"), indent=2))
        if finding.change:
            rows.append(row(("  → ", tone), (clean(finding.change), "plain"), indent=4))
    return tuple(rows)


def trouble_row(findings: Sequence[Finding], width: int) -> Row | None:
    """The worst finding in few lines, for a screen too narrow for its pane.

    Args:
        findings: The worst first.
        width: Columns of a line.
    """
    worst = findings[0] if findings else None
    if worst is None or worst.level == "ok":
        return None
    mark, tone = LEVELS[worst.level]
    said = f": {clean(worst.evidence)}" if worst.evidence else ""
    shown = row((f"{mark} {clean(worst.title)}", tone), (f"{said} → {clean(worst.change)}" if worst.change else said))
    # Words that do not fit into a line leave some of it empty.
    return Row(cut_parts(shown.parts, TROUBLE_LINES * (width - 12)))


def _before_steps(snapshot: Snapshot) -> Row | None:
    """Row of the activity before the first step, while there is no curve to look at."""
    said = UNTIL_STEPS.get(snapshot.status)
    return field("first", (said, "plain")) if said and not snapshot.steps else None


def _loss(snapshot: Snapshot, history: History) -> Row | None:
    if not snapshot.steps:
        return None
    last = snapshot.steps[-1]
    if not last.finite:
        return field("loss", ("not a number", "bad"))
    if last.loss is None:
        return None
    smooth = history.smooth.series
    parts: list[Part] = [(f"{loss_text(last.loss):<7}", "bright")]
    if (trend := history.trend) is not None:
        parts.append(_trend(trend, smooth.y[-1], smooth.x[-1] - smooth.x[0]))
    return field("loss", *parts)


def _trend(per_100: float, level: float, steps: float) -> Part:
    """Falling is good, a rise of more than a tenth of the loss worth a colour, and less than a hundredth is noise.

    Of fewer than 100 steps no figure for 100 is known: the direction is told alone.
    """
    if abs(per_100) < 0.01 * abs(level):
        return "→ steady", "label"
    arrow = "↓" if per_100 < 0 else "↑"
    tone: Tone = "good" if per_100 < 0 else "caution" if per_100 > 0.1 * abs(level) else "label"
    # Fifteen characters: half a line of 80 columns has no more beside the loss.
    if steps < 100:
        return f"{arrow} {'falling' if per_100 < 0 else 'rising'}", tone
    return f"{arrow}{short(abs(per_100), 1)}/100 steps", tone


def _eval(snapshot: Snapshot) -> Row | None:
    known = [point for point in snapshot.evals if point.eval_loss is not None]
    if not known:
        return None
    last = known[-1]
    best = min(known, key=lambda point: point.eval_loss or 0.0)
    where = f"step {count(last.step)}"
    said = f"{where}, best" if best is last and len(known) > 1 else where
    return field("eval_loss", (f"{loss_text(last.eval_loss or 0.0):<7}", "bright"), (said, "label"))


def _before(snapshot: Snapshot) -> Row | None:
    first = next((point for point in snapshot.evals if point.step == 0 and point.eval_loss is not None), None)
    if first is None or first.eval_loss is None:
        return None
    return field("before", (f"{loss_text(first.eval_loss):<7}", "bright"), ("before training", "label"))


def _best(snapshot: Snapshot) -> Row | None:
    known = [point for point in snapshot.evals if point.eval_loss is not None and point.step > 0]
    if not known:
        return None
    best = min(known, key=lambda point: point.eval_loss or 0.0)
    saved = any(whole(saved.get("step")) == best.step for saved in snapshot.checkpoints)
    place = f"checkpoint-{best.step}" if saved else f"step {count(best.step)}, not saved"
    return field("best", (f"{loss_text(best.eval_loss or 0.0):<7}", "bright"), (place, "label"))


def _of_last_step(snapshot: Snapshot, name: str) -> Row | None:
    if not snapshot.steps:
        return None
    last = snapshot.steps[-1]
    value = last.learning_rate if name == "learning_rate" else last.grad_norm
    return field(name, (short(value), "bright")) if value is not None else None


def _speed(snapshot: Snapshot) -> Row | None:
    if not snapshot.steps or not snapshot.steps[-1].tokens_per_second:
        return None
    last = snapshot.steps[-1]
    step = f"  {duration(last.step_seconds)}/step" if last.step_seconds else ""
    return field("speed", (rate(last.tokens_per_second), "bright"), (step + _mfu(snapshot, last), "label"))


def _mfu(snapshot: Snapshot, last: StepPoint) -> str:
    """The share of the device's arithmetic that goes into the model: model FLOPs utilisation (arXiv:2204.02311, B)."""
    each, peak = (number(snapshot.start.get(name)) for name in ("flops_per_token", "peak_flops"))
    if not each or not peak or not last.tokens_per_second:
        return ""
    return f"  mfu {percent(min(1.0, last.tokens_per_second * each / peak))}"


def _memory(snapshot: Snapshot) -> Row | None:
    measured, predicted = measured_bytes(snapshot), whole(snapshot.preflight.get("predicted_bytes"))
    if not measured:
        return None
    said = f"  predicted {beside(gib(predicted), gib(measured))}" if predicted else ""
    return field("memory", (gib(measured), "bright"), (said, "label"))


def beside(shown: str, other: str) -> str:
    """A size without its unit where it stands beside another of the same unit."""
    number_, _, unit = shown.rpartition(" ")
    return number_ if unit == other.rpartition(" ")[2] else shown


def measured_bytes(snapshot: Snapshot) -> int | None:
    """The greatest memory measured so far: at the worst step before the run, in its steps, or at its end."""
    found = [
        whole(snapshot.end.get("peak_bytes")),
        whole(snapshot.preflight.get("process_bytes")),
    ]
    known = [value for value in found if value]
    if known:
        return max(known)
    return snapshot.steps[-1].memory_bytes if snapshot.steps else None


def _meters(snapshot: Snapshot) -> tuple[Row, ...]:
    if not snapshot.devices:
        return ()
    latest = snapshot.devices[-1]
    used, total = whole(latest.get("memory_used")), whole(latest.get("memory_total"))
    watts, limit = number(latest.get("power_watts")), number(latest.get("power_limit_watts"))
    busy, heat = number(latest.get("utilisation")), number(latest.get("temperature"))
    gpu = [
        f"{busy:.0f} %" if busy is not None else "",
        f"{heat:.0f} °C" if heat is not None else "",
        f"{watts:.0f}{f'/{limit:.0f}' if limit else ''} W" if watts is not None else "",
    ]
    taken = [f"{gib_number(used)}/{gib_number(total)} GiB" if used is not None and total else ""]
    cpu, rss = number(latest.get("cpu_percent")), whole(latest.get("rss_bytes"))
    host = [f"{cpu:.0f} %" if cpu is not None else "", f"{gib(rss)} in use" if rss else ""]
    rows = []
    on_cpu = clean(str(snapshot.start.get("device") or "cpu")).lower().startswith("cpu")
    for label, figures in (("gpu", gpu), ("ram" if on_cpu else "gpu memory", taken), ("cpu", host)):
        if text := "  ".join(figure for figure in figures if figure):
            rows.append(field(label, (text, "bright")))
    return tuple(rows)


def _ranks(snapshot: Snapshot) -> Row | None:
    """The processes of a run of several: a bar for each one's forward passes, and which of them the others wait for."""
    if len(snapshot.ranks) < 2:
        return None
    most = max((each.forward_seconds or 0.0 for each in snapshot.ranks), default=0.0)
    steps = len(EIGHTHS) - 1
    bars = "".join(
        EIGHTHS[max(1, round((each.forward_seconds or 0.0) / (most or 1.0) * steps))] for each in snapshot.ranks
    )
    strategy = clean(snapshot.state.strategy or "")
    found = lagging(snapshot.ranks)
    who, times = found if found else (None, 1.0)
    late = f"  {who.rank} is slowest: {times:.1f} × the others" if who is not None and times >= LAGS else ""
    return field("ranks", (f"{len(snapshot.ranks)} {strategy}  ", "bright"), (bars, "accent"), (late, "caution"))


def _tokens(snapshot: Snapshot) -> Row | None:
    last = snapshot.steps[-1] if snapshot.steps else None
    if last is None or not last.tokens:
        return None
    total = snapshot.state.total_steps
    each = snapshot.start.get("tokens_per_step")
    if not isinstance(each, int | float) or not math.isfinite(each):
        # A run of an older program does not say it.
        each = last.tokens / max(1, last.step)
    expected = f"  of {count(each * total)}" if total else ""
    return field("tokens", (count(last.tokens), "bright"), (expected if not snapshot.state.ended else "", "label"))


def _elapsed(snapshot: Snapshot) -> Row | None:
    seconds = elapsed(snapshot)
    return field("elapsed", (duration(seconds), "bright")) if seconds is not None else None


def _left(snapshot: Snapshot) -> Row | None:
    """The time left with its range; the middle stands in the line above the curves too."""
    if (found := time_left(snapshot)) is None:
        return None
    return field(
        "left", (duration(found.seconds), "bright"), (f"  {duration(found.low)} – {duration(found.high)}", "label")
    )


def elapsed(snapshot: Snapshot) -> float | None:
    """Seconds since the run began, until now or until it ended."""
    if (seconds := number(snapshot.end.get("seconds"))) is not None:
        return seconds
    if snapshot.state.started is None:
        return None
    ended = snapshot.state.ended or snapshot.died
    until = snapshot.state.heartbeat if ended and snapshot.state.heartbeat else snapshot.now
    return max(0.0, until - snapshot.state.started)
