"""One line of the checks before a run starts, with its result, time and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from presets.questions import Question

CheckStatus = Literal["waiting", "running", "ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One line of the Check screen."""

    key: str
    """Stable name, such as 'disk' or 'worst_step'."""
    title: str
    status: CheckStatus
    detail: str = ""
    remedy: str = ""
    seconds: float | None = None
    progress: tuple[int, int] | None = None
    """Done and total (bytes when downloading), while it runs."""
    run_seconds: float | None = None
    """Of the worst step: what the run takes at its pace."""
    question: Question | None = None
    """The question that the person must answer before it can be ok; the status is 'fail' until then."""
