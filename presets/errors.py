"""The base of every error that a person may see.

It stands on the lowest floor because every floor raises it; it is rendered in one place, `tui.terminal.errors`.
"""


class WizardError(Exception):
    """An error that the person can understand and act on.

    Attributes:
        message: What happened and why, one or two sentences.
        remedy: What to do or change next; empty when the message says it already.
        detail: Technical detail that folds out below the message (a library's own words); may be empty.
        exit_code: 2 for bad input, 1 for a sound 'no' (does not fit, the run failed).
    """

    exit_code: int = 2

    def __init__(self, message: str, *, remedy: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InputError(WizardError):
    """A file, a value or an option that the person gave cannot be used (exit code 2)."""


class NoError(WizardError):
    """A sound answer of 'no': it does not fit, or the run failed (exit code 1)."""

    exit_code = 1
