"""Shape: the format of a file's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from recommender.data.formats.conversation_forms import Form
from recommender.data.formats.role_names import RoleMapping, RoleNames

VARIABLES = "chat_template_kwargs"
"""Column with a row's own values of variables of the chat template."""
Confidence = Literal["high", "medium", "low"]
Columns = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shape:
    """The format of a file's rows."""

    name: str
    """'alpaca', 'sharegpt', 'messages', 'prompt-completion', 'text' or 'preference'."""
    columns: Columns
    """Role to column."""
    confidence: Confidence
    why: str
    """One sentence for the screen."""
    seen: tuple[str, ...] = ()
    """Every column of the first rows, for the person to choose from."""
    flag: str = ""
    """Column that says whether a row is a good example (KTO); rows where it is false cannot be used."""
    role_mapping: RoleMapping | None = None
    turns: tuple[RoleNames, ...] = ()
    """Turn keys and role names in the first rows, column by column."""
    form: Form = None
    """The format of conversations whose turns have no role."""
    guessed: bool = False
    """Whether columns were taken for question and answer by names that only sound like it."""

    @property
    def reason(self) -> str:
        """The reason, with the confidence."""
        return f"{self.why} (confidence {self.confidence})"

    @property
    def unread(self) -> tuple[str, ...]:
        """Columns that nothing reads."""
        turn_keys = (
            {self.role_mapping.role, self.role_mapping.content}
            if self.role_mapping and "group" in self.columns
            else set()
        )
        used = {*self.columns.values(), self.flag, *turn_keys, VARIABLES}
        return tuple(column for column in self.seen if column not in used)
