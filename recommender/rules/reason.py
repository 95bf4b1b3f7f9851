"""Reasons for the values of a plan, with the evidence beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of a table beside a reason."""

    label: str
    value: str
    note: str = ""
    measured: bool = True
    """Whether somebody measured it; else it is this project's estimate."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Reason for a value: explanation, source, confidence and evidence."""

    value: Any
    why: str
    """Sentences; every number in them is computed from the same values as the plan."""
    source: str
    confidence: Confidence
    evidence: tuple[Evidence, ...] = ()
    others: str = ""
    """Sources with another value, and that value."""
    costs: str = ""
    """Cost in memory and time, or 'none'."""

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "value": self.value,
            "why": self.why,
            "source": self.source,
            "confidence": self.confidence,
            "evidence": [[line.label, line.value, line.note] for line in self.evidence],
            "others": self.others,
            "costs": self.costs,
        }
