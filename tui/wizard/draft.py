"""The draft: all that a person chooses and sets in the wizard. Whatever else it shows is derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from recommender.stages import find_stage

if TYPE_CHECKING:
    from recommender.config.schema import Goal
    from recommender.machine.facts import Device
    from recommender.model.spec import ModelSpec
    from recommender.stages import Stage

HOW_READ: Final = frozenset({"train_on", "template", "chat_template_kwargs", "reasoning", "answers", "format"})
"""Keys of the `data` section that change the tokens of a row: as values of the plan they change how data is read."""
MAX_LENGTH: Final = "data.max_length"
UNDO_DEPTH: Final = 100
_DATA: Final = "data."


@dataclass(frozen=True, slots=True)
class AppliedPreset:
    """A preset as it was applied: its name, and the values that it set by dotted key."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A person's choices and values. Two drafts are the same only where they are one object: each edit makes another.

    Each of the keys `HOW_READ` is held once: in `values` or in `data`, wherever it was set last.
    """

    goal: Goal = "balanced"
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values set by the person, dotted key to value."""
    device: Device | None = None
    """Device that is planned for, with the memory that was free when it was looked at last."""
    model_name: str = ""
    """Name of the model as the person gave it."""
    model: ModelSpec | None = None
    """The model as it was read; None: none could be yet."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The `data` section as the Data screen has it: train, format, columns, eval, skip_bad_rows …"""
    preset: AppliedPreset | None = None
    """The preset that was applied last."""

    @property
    def reading(self) -> dict[str, Any]:
        """The `data` section by which rows are read: `data`, and the values that change their tokens."""
        section = dict(self.data)
        for key, value in self.values.items():
            if (name := _how_read(key)) is not None:
                _, _, inner = key.removeprefix(_DATA).partition(".")
                section[name] = {**(section.get(name) or {}), inner: value} if inner else value
        return section

    def with_values(self, values: Mapping[str, Any], preset: AppliedPreset | None = None) -> Draft:
        """Return the draft with these values of the person instead, and with the preset that set them, if one did."""
        new = {_how_read(key) for key, value in values.items() if key not in self.values or self.values[key] != value}
        data = {name: value for name, value in self.data.items() if name not in new}
        return replace(
            self, values=values, data=data if len(data) < len(self.data) else self.data, preset=preset or self.preset
        )

    def with_data(self, changes: Mapping[str, Any]) -> Draft:
        """Return the draft with data read in another way.

        Args:
            changes: Keys of the `data` section; None drops one.
        """
        data = {name: value for name, value in {**self.data, **changes}.items() if value is not None}
        return replace(self, data=data, values=_without(self.values, set(changes) & HOW_READ))

    def with_model(self, name: str, model: ModelSpec, values: Mapping[str, Any]) -> Draft:
        """Return the draft for another model: what was said of the data stays, other values do not.

        Args:
            name: As the person gave it.
            model: As it was read.
            values: Values that hold for any model.
        """
        own = self.values if self.model is None else {k: v for k, v in self.values.items() if k.startswith(_DATA)}
        return replace(self, model_name=name, model=model, values={**values, **own}, preset=None)

    @property
    def stage(self) -> Stage:
        """The stage that is trained."""
        return find_stage(self.values.get("stage"))

    def set_by_preset(self, key: str) -> bool:
        """Whether a value is still the one that the preset set."""
        given = {} if self.preset is None else self.preset.values
        return key in given and key in self.values and self.values[key] == given[key]

    @property
    def preset_shown(self) -> str:
        """Name of the preset that the draft has, or has in part; empty once its values are undone."""
        preset = self.preset
        kept = [] if preset is None else [key for key in preset.values if self.set_by_preset(key)]
        if preset is None or not kept:
            return ""
        return preset.name if len(kept) == len(preset.values) else f"{preset.name} ✎"


@dataclass(frozen=True, slots=True)
class History:
    """Drafts before and after the present one, which undo and redo go to; of one device, one model and one data set."""

    past: tuple[Draft, ...] = ()
    """The oldest first."""
    future: tuple[Draft, ...] = ()
    """The next first."""

    def edited(self, draft: Draft) -> History:
        """Return the history after an edit of a draft: nothing is left to redo."""
        return History((*self.past, draft)[-UNDO_DEPTH:])

    def undone(self, draft: Draft) -> tuple[Draft, History]:
        """Return the draft before this one, on the device as it is now, and its history; this one if there is none."""
        if not self.past:
            return draft, self
        return _on(self.past[-1], draft.device), History(self.past[:-1], (draft, *self.future))

    def redone(self, draft: Draft) -> tuple[Draft, History]:
        """Return the draft after this one, on the device as it is now, and its history; this one if there is none."""
        if not self.future:
            return draft, self
        return _on(self.future[0], draft.device), History((*self.past, draft), self.future[1:])

    def since(self, draft: Draft | None) -> tuple[Draft, ...]:
        """Return the past drafts that came after this one; none where it is not in the past."""
        at = next((index for index, one in enumerate(self.past) if one is draft), len(self.past))
        return self.past[at + 1 :]

    def until(self, draft: Draft) -> History:
        """Return the past up to this draft and without it; the whole past where it is not in it."""
        at = next((index for index, one in enumerate(self.past) if one is draft), len(self.past))
        return History(self.past[:at])


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the edit that makes one set of values of another: new values by key, and the keys that are dropped."""
    changes = {key: value for key, value in after.items() if key not in before or before[key] != value}
    return changes, [key for key in before if key not in after]


def same_rows(one: Draft, other: Draft) -> bool:
    """Return whether two drafts read the same rows as the same tokens."""
    if one.model is not other.model or one.stage is not other.stage:
        return False
    same = one.data is other.data and one.values is other.values
    return same or _effective(one.reading) == _effective(other.reading)


def _effective(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section without values that are the schema's own."""
    from recommender.config.schema import Data

    fields = Data.model_fields
    return {
        name: value
        for name, value in section.items()
        if name not in HOW_READ or value != fields[name].get_default(call_default_factory=True)
    }


def _how_read(key: str) -> str | None:
    """The key of `HOW_READ` that a dotted key belongs to; None where it belongs to none."""
    name = key.removeprefix(_DATA).partition(".")[0]
    return name if key.startswith(_DATA) and name in HOW_READ else None


def _without(values: Mapping[str, Any], names: set[str]) -> Mapping[str, Any]:
    kept = {key: value for key, value in values.items() if _how_read(key) not in names}
    return kept if len(kept) < len(values) else values


def _on(draft: Draft, device: Device | None) -> Draft:
    return draft if draft.device == device else replace(draft, device=device)
