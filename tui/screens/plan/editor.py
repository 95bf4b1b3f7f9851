"""Editing one value of a plan: a list for what has few values, a field for the rest, each with its price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from textual.geometry import Offset

from presets.errors import WizardError
from tui.screens.plan.form import value_text
from tui.screens.plan.text import short_verdict, value_at
from tui.screens.popup import PickPopup, ValuePopup
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Row, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.plan.types import Plan
    from tui.wizard.plan_service import PlanService

TYPED = "typed"
"""Key of the choice that opens a field instead."""

Take = Callable[[str, Any], None]
"""Takes the key and its new value; raises `WizardError` when it cannot be taken."""


def choices(key: str, plan: Plan) -> list[Any]:
    """The values that a key can take, when they are few; empty when anything may be typed."""
    if key == "lora.target_modules":
        return _targets(plan)
    if key == "data.template":
        return _templates(plan)
    if key == "rope_scaling":
        return _stretches(plan)
    from recommender.config.keys import fields

    values: list[Any] = []
    for option in _options(fields()[key].annotation):
        if option is bool:
            values += [True, False]
        elif option is type(None):
            values.append(None)
        elif get_origin(option) is Literal:
            values += list(get_args(option))
        else:
            return []
    return values


def _options(annotation: Any) -> tuple[Any, ...]:
    plain = annotation is bool or get_origin(annotation) is Literal
    return (annotation,) if plain or not get_args(annotation) else get_args(annotation)


def _targets(plan: Plan) -> list[Any]:
    names = list(dict.fromkeys(linear.name for linear in plan.model.linears))
    attention = [name for name in names if name in plan.model.mixer_linears]
    sets: list[Any] = ["all-linear", attention, [name for name in attention if name in ("q_proj", "v_proj")]]
    sets.append([name for name in names if name not in attention])
    current = plan.config.lora.target_modules
    kept = [one for one in sets if one]
    return kept if current in kept else [*kept, current]


def _templates(plan: Plan) -> list[Any]:
    from presets.templates import load_templates
    from recommender.data.templates.trl import PREFIX, training_templates

    names: list[Any] = ["auto", *load_templates()]
    # Of TRL's only those of this family: the rest is typed.
    names += [
        PREFIX + name
        for name in training_templates()
        if plan.model.model_type.replace("_", "") in name.replace("_", "")
    ]
    current = plan.config.data.template
    return names if current in names else [*names, current]


def _stretches(plan: Plan) -> list[Any]:
    from recommender.config.schema import RopeScaling
    from recommender.rules.length import stretch_to

    factor = max(2.0, stretch_to(plan.config.data.max_length, plan.model.max_position_embeddings))
    values: list[Any] = [None, *(RopeScaling(rope_type=kind, factor=factor) for kind in ("yarn", "dynamic", "linear"))]
    current = plan.config.rope_scaling
    return values if current in values else [*values, current]


def description(key: str) -> str:
    """Description of a key in the schema."""
    from recommender.config.keys import fields

    field = fields().get(key)
    return field.description or "" if field else ""


class ValueEditor:
    """Opens the right window for a key.

    Attributes:
        plan: What is edited.
        plans: For prices.
    """

    def __init__(self, plan: Plan, plans: PlanService, take: Take) -> None:
        self.plan = plan
        self.plans = plans
        self._take = take

    def popup(self, key: str, at: Offset) -> PickPopup | ValuePopup:
        """The window for a key, at a place on the screen."""
        values = choices(key, self.plan)
        return self._pick(key, values, at) if values else self.field(key, at)

    def field(self, key: str, at: Offset) -> ValuePopup:
        """A field to type a value into."""
        value = value_at(self.plan.config, key)
        return ValuePopup(
            key,
            "" if value is None else value_text(key, value).replace(" ", ""),
            lambda text: self._take(key, parse(key, text)),
            hint=description(key),
            at=at,
            width=64,
            live=lambda text: self._priced(key, text),
        )

    def _pick(self, key: str, values: Sequence[Any], at: Offset) -> PickPopup:
        free = key in ("lora.target_modules", "data.template")
        current = value_at(self.plan.config, key)
        index = next(
            (str(i) for i, value in enumerate(values) if value == current and type(value) is type(current)), None
        )

        def build(width: int, _wanted: str) -> list[Pick]:
            label = max(len(value_text(key, value)) for value in values)
            label = min(label + 2, max(12, width - 34))
            picks = [Pick(str(i), (self._choice(key, value, label),)) for i, value in enumerate(values)]
            return [*picks, Pick(TYPED, (row(("type it …", "accent")),))] if free else picks

        def accept(answer: str) -> None:
            if answer != TYPED:
                self._take(key, values[int(answer)])

        count = len(values) + (1 if free else 0)
        return PickPopup(key, build, current=index, at=at, width=64, height=min(count + 2, 16), accept=accept)

    def _choice(self, key: str, value: Any, width: int) -> Row:
        shown = (cell(value_text(key, value), width - 2) + "  ", "bright")
        is_recommended = key in self.plan.recommended and self.plan.recommended[key] == value
        try:
            verdict = short_verdict(self.plans.price(self.plan, {key: value}))
        except WizardError as error:
            return row(shown, (clean(error.message), "quiet"))  # type: ignore[arg-type]
        return Row((shown, *verdict, ("  ● recommended" if is_recommended else "", "quiet")))  # type: ignore[arg-type]

    def _priced(self, key: str, text: str) -> list[Row]:
        try:
            return [Row(tuple(short_verdict(self.plans.price(self.plan, {key: parse(key, text)}))))]
        except WizardError as error:
            return [row(("· ", "quiet"), (clean(error.message), "quiet"))]


def parse(key: str, text: str) -> Any:
    """The value that was typed; nothing means null.

    Raises:
        InputError: it is not a value.
    """
    from recommender.config.edit import parse_assignment

    return parse_assignment(f"{key}={text.strip()}")[1]
