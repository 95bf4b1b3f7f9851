"""Warnings as values: code, severity, text and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["stop", "warning", "note"]
"""'stop': nothing should be started so. 'warning': to be known before a start. 'note': how a figure came to be."""


@dataclass(frozen=True, slots=True)
class CodedWarning:
    """One thing to know about a plan, an estimate or a data set."""

    code: str
    """Stable name of its kind in snake case ('does_not_fit'): screens group by it, scripts and tests hold on to it."""
    severity: Severity
    said: str
    """Sentences that state the fact."""
    remedy: str = ""
    """Action to take; empty where there is none, or `said` names it already."""

    @property
    def text(self) -> str:
        """Text and remedy as shown."""
        return " ".join(filter(None, (self.said, self.remedy)))

    def document(self) -> dict[str, str]:
        """Return the JSON form: code, severity, whole text, and the remedy that the text ends with."""
        return {"code": self.code, "severity": self.severity, "text": self.text, "remedy": self.remedy}


def stop(code: str, said: str, remedy: str = "") -> CodedWarning:
    """Return a warning of severity 'stop'."""
    return CodedWarning(code, "stop", said, remedy)


def warning(code: str, said: str, remedy: str = "") -> CodedWarning:
    """Return a warning of severity 'warning'."""
    return CodedWarning(code, "warning", said, remedy)


def note(code: str, said: str) -> CodedWarning:
    """Return a warning of severity 'note'."""
    return CodedWarning(code, "note", said)


GRAVITY: Final[Mapping[Severity, int]] = {"stop": 0, "warning": 1, "note": 2}


def worst_first(found: Iterable[CodedWarning]) -> tuple[CodedWarning, ...]:
    """Return warnings with stops first and notes last; those of a severity stay in order."""
    return tuple(sorted(found, key=lambda one: GRAVITY[one.severity]))


def texts(found: Iterable[CodedWarning]) -> list[str]:
    """Return the texts of warnings, as JSON documents have them beside the findings."""
    return [one.text for one in found]


def codes(found: Iterable[CodedWarning]) -> list[str]:
    """Return the codes of warnings, in order."""
    return [one.code for one in found]


def findings(*groups: Iterable[CodedWarning]) -> list[dict[str, str]]:
    """Return warnings as the list `findings` of a JSON document."""
    return [one.document() for group in groups for one in group]
