"""One line for each event of a run, the same on the dashboard and in plain output.

Events are what others wrote: keys may be missing, of another type, or hold hostile text. Nothing here raises for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from recommender.units import count, counted, duration, gib, rate
from tui.terminal.sanitize import clean
from tui.widgets.curves.ticks import short

Tone = Literal["quiet", "plain", "accent", "good", "extra", "caution", "bad"]
Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventLine:
    """Text of one event."""

    t: float | None
    """Unix seconds."""
    text: str
    tone: Tone = "plain"

    @property
    def clock(self) -> str:
        """Local time of day, or blanks."""
        return time_of_day(self.t)


def event_line(event: Event) -> EventLine | None:
    """Say what happened in one line.

    Args:
        event: One object of events.jsonl.

    Returns:
        The line; None for kinds that are no news (device readings) or not known.
    """
    said = _SAYINGS.get(word(event, "kind") or "")
    found = said(event) if said else None
    return EventLine(number(event, "t"), *found) if found else None


def time_of_day(t: float | None) -> str:
    """Local time as '03:41:10', blanks when unknown."""
    try:
        return datetime.fromtimestamp(t).strftime("%H:%M:%S") if t is not None else " " * 8
    except (OverflowError, OSError, ValueError):
        return " " * 8


def number(event: Event, key: str) -> float | None:
    """A finite or non-finite number under a key, or None."""
    value = event.get(key)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def whole(event: Event, key: str) -> int | None:
    """A whole number under a key, or None."""
    value = number(event, key)
    return int(value) if value is not None and math.isfinite(value) else None


def word(event: Event, key: str) -> str | None:
    """A cleaned one-line text under a key, or None where there is none."""
    value = event.get(key)
    return clean(value) if isinstance(value, str) and value.strip() else None


Said = tuple[str, Tone] | None


def _status(event: Event) -> Said:
    status, reason = word(event, "status"), word(event, "reason")
    tone: Tone = "bad" if status == "failed" else "quiet"
    return (f"{status}: {reason}" if reason else status, tone) if status else None


def _own_code(event: Event) -> str:
    code = event.get("own_code")
    return clean(", ".join(map(str, code))) if isinstance(code, Mapping) else ""


def _start(event: Event) -> Said:
    parts = [
        _joined("", word(event, "model"), " "),
        word(event, "method") or "",
        f"on {device}" if (device := word(event, "device")) else "",
        f"· {counted(steps, 'step')}" if (steps := whole(event, "total_steps")) else "",
        f"· {counted(rows, 'row')}" if (rows := whole(event, "train_rows")) else "",
        f"· {count(trained)} trainable parameters" if (trained := whole(event, "trainable_parameters")) else "",
        f"· continued from step {count(resumed)}" if (resumed := whole(event, "resumed_from")) else "",
        f"· runs the model's own code: {code}" if (code := _own_code(event)) else "",
    ]
    return f"start {' '.join(part.strip() for part in parts if part.strip())}", "plain"


def _download(event: Event) -> Said:
    total, done = whole(event, "total_bytes"), whole(event, "done_bytes")
    amount = f"{gib(done)} of {gib(total)}" if total and done is not None else gib(done) if done else ""
    return f"download {word(event, 'file') or ''} {amount}".rstrip(), "quiet"


def _preflight(event: Event) -> Said:
    measured, predicted = whole(event, "process_bytes"), whole(event, "predicted_bytes")
    text = f"worst step measured {gib(measured)}" if measured else "worst step ran"
    if measured and predicted:
        text += f", predicted {gib(predicted)} ({(predicted - measured) / measured:+.0%})".replace("%", " %")
    seconds = number(event, "step_seconds")
    return f"{text}, {duration(seconds)}" if seconds else text, "accent"


def _step(event: Event) -> Said:
    loss, norm, speed = number(event, "loss"), number(event, "grad_norm"), number(event, "tokens_per_second")
    parts = [
        f"step {count(whole(event, 'step'))}",
        f"loss {short(loss)}" if loss is not None else "",
        f"grad_norm {short(norm)}" if norm is not None else "",
        short(lr) if (lr := number(event, "learning_rate")) is not None else "",
        rate(speed) if speed else "",
    ]
    bad = loss is not None and not math.isfinite(loss)
    return "   ".join(part for part in parts if part), "bad" if bad else "plain"


def _eval(event: Event) -> Said:
    loss = number(event, "eval_loss")
    if loss is None:
        return None
    rows, seconds = whole(event, "rows"), number(event, "seconds")
    text = f"eval_loss {short(loss, 4)}"
    text += f" on {counted(rows, 'row')}" if rows else ""
    text += f" in {duration(seconds)}" if seconds else ""
    text += f" at step {count(whole(event, 'step'))}" if whole(event, "step") is not None else ""
    return text + ("   best so far" if event.get("best") is True else ""), "good"


def _checkpoint(event: Event) -> Said:
    path, size, seconds = word(event, "path"), whole(event, "bytes"), number(event, "seconds")
    name = path.rsplit("/", 1)[-1] if path else f"checkpoint at step {count(whole(event, 'step'))}"
    text = f"{name} saved"
    text += f", {gib(size)}" if size else ""
    return text + (f" in {duration(seconds)}" if seconds else ""), "accent"


def _sample(event: Event) -> Said:
    prompt, answer = word(event, "prompt") or "", word(event, "answer") or ""
    when = {"before": "before training", "after": "after training"}.get(word(event, "when") or "", "")
    return f"sample{f' {when}' if when else ''} · “{prompt}” → “{answer}”", "extra"


def _command(event: Event) -> Said:
    name = COMMAND_WORDS.get(word(event, "command") or "", word(event, "command") or "a request")
    reason = word(event, "reason")
    if event.get("accepted") is False:
        return f"refused: {name}{f' ({reason})' if reason else ''}", "caution"
    return f"asked for: {name}{f' ({reason})' if reason else ''}", "accent"


def _warning(event: Event) -> Said:
    message, remedy = word(event, "message"), word(event, "remedy")
    return (f"! {message}{f' → {remedy}' if remedy else ''}", "caution") if message else None


def _recovery(event: Event) -> Said:
    before, after, label = event.get("before"), event.get("after"), word(event, "label")
    change = f": {clean(str(before))} → {clean(str(after))}" if before is not None and after is not None else ""
    change = f": {label}" if label else change
    return f"recovered{change}{_joined(', because ', word(event, 'why'), '')}", "caution"


def _on_end(event: Event) -> Said:
    code = whole(event, "exit_code")
    if reason := word(event, "reason"):
        return f"on_end: {word(event, 'command') or ''} · {reason}", "caution"
    outcome = "took too long" if code is None else "done" if code == 0 else f"exit code {code}"
    return f"on_end: {word(event, 'command') or ''} · {outcome}", "quiet" if code == 0 else "caution"


def _end(event: Event) -> Said:
    status, reason = word(event, "status") or "ended", word(event, "reason")
    tone: Tone = {"finished": "good", "failed": "bad"}.get(status, "caution")  # type: ignore[assignment]
    return f"{status}{f': {reason}' if reason else ''}", tone


def _joined(before: str, text: str | None, after: str) -> str:
    return f"{before}{text}{after}" if text else ""


COMMAND_WORDS: Final[Mapping[str, str]] = {
    "stop": "save and stop",
    "stop_now": "stop without saving",
    "checkpoint": "checkpoint now",
    "evaluate": "evaluate now",
    "pause": "pause",
    "continue": "continue",
    "stop_after_epoch": "stop after this epoch",
}
_SAYINGS: Final[Mapping[str, Callable[[Event], Said]]] = {
    "status": _status,
    "start": _start,
    "download": _download,
    "preflight": _preflight,
    "step": _step,
    "eval": _eval,
    "checkpoint": _checkpoint,
    "sample": _sample,
    "command": _command,
    "warning": _warning,
    "recovery": _recovery,
    "on_end": _on_end,
    "end": _end,
}
