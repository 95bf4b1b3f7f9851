"""Windows of the Plan screen: alternatives, presets with their changes and the cost of these, saving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from presets.errors import InputError, WizardError
from recommender.paths import expanded
from recommender.units import duration
from tui.screens.plan.form import value_text
from tui.screens.plan.text import short_verdict, value_at
from tui.screens.popup import ConfirmPopup, PickPopup, ValuePopup
from tui.terminal.sanitize import clean
from tui.widgets.goal_row import GOALS
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Part, Row, row
from tui.widgets.text import cell
from tui.wizard.price import parse_price

if TYPE_CHECKING:
    from presets.recipes import Recipe
    from recommender.config.schema import FinetuneConfig
    from recommender.estimate.types import Estimate
    from recommender.plan.types import Alternative, Plan
    from tui.wizard.plan_service import PlanService


ALTERNATIVES_WIDTH = 100
INDENT = 6
"""Cells of a line of the alternatives before what it says, with the cursor's."""


def alternatives_popup(plan: Plan, others: Sequence[Alternative]) -> PickPopup:
    """The best plan for each goal, with memory, time and what is given up; answers with the goal."""

    def build(width: int, _wanted: str) -> list[Pick]:
        # The others are the formula's, and so is what they gain and give up.
        what = "this plan, traced; all else by the formula" if plan.estimate.basis == "trace" else "this plan"
        yours = _alternative(plan.goal, plan.config, plan.estimate, [[(what, "quiet")]], current=True)
        return [yours, *(_alternative(one.goal, one.config, one.estimate, _trade(one, width)) for one in others)]

    height = sum(1 + len(_trade(one, ALTERNATIVES_WIDTH - 4)) for one in others) + 4
    return PickPopup(
        "alternatives: the best plan for each goal", build, current=plan.goal, width=ALTERNATIVES_WIDTH, height=height
    )


def _alternative(
    goal: str, config: FinetuneConfig, estimate: Estimate, trade: list[list[Part]], *, current: bool = False
) -> Pick:
    training = config.training
    seconds = estimate.time.total_seconds if estimate.time else None
    batch = f"{training.per_device_train_batch_size} × {training.gradient_accumulation_steps}"
    rank = "" if config.method == "full" else f" r {config.lora.r}"
    values = f"{config.method}{rank} · {batch} · {config.data.max_length} tokens"
    first: list[Part] = [
        ("◉ " if current else "○ ", "accent" if current else "quiet"),
        (cell(GOALS.get(goal, goal), 17), "bright"),  # type: ignore[call-overload]
        *short_verdict(estimate),
        (cell(duration(seconds) if seconds is not None else "time unknown", 14, "right"), "label"),
        (f"   {values}", "label"),
    ]
    return Pick(goal, (Row(tuple(first)), *(row(("    ", "quiet"), *line) for line in trade)))


def _trade(one: Alternative, width: int) -> list[list[Part]]:
    """Gains and losses of an alternative, on a line of their own each where one is too short for both."""
    lost: list[Part] = [("gives up ", "quiet"), (clean(one.gives_up), "label")]
    if not one.gains:
        return [lost]
    gained: list[Part] = [("gains ", "quiet"), (clean(one.gains), "bright")]
    both: list[Part] = [*gained, ("; ", "quiet"), *lost]
    return [both] if sum(len(text) for text, _ in both) <= width - INDENT else [gained, lost]


def presets_popup(plan: Plan, plans: PlanService, accept: Callable[[str], None] | None = None) -> PickPopup:
    """Published recipes, each with its price here; answers with the name of one that `accept` takes."""
    recipes = plans.recipes()

    def build(width: int, wanted: str) -> list[Pick]:
        words = wanted.lower().split()
        kept = [
            one for one in recipes if all(word in f"{one.name} {one.title} {one.meant_for}".lower() for word in words)
        ]
        return [_recipe(one, plan, plans, width) for one in kept]

    return PickPopup(
        "presets: what others published",
        build,
        filtered=True,
        note="enter shows what it changes · esc closes",
        accept=accept,
    )


def _recipe(recipe: Recipe, plan: Plan, plans: PlanService, width: int) -> Pick:
    try:
        price: list[Part] = short_verdict(plans.price(plan, recipe.changes))
    except WizardError:
        price = [(cell("not for this plan", 15), "quiet")]
    name = (cell(clean(recipe.name), min(30, width // 2)), "bright")
    first = Row((name, *price, (f"   {clean(recipe.title)}", "label")))  # type: ignore[arg-type]
    return Pick(recipe.name, (first, row((f"    {clean(recipe.meant_for)}", "quiet"))))


def changes_popup(title: str, before: Plan, after: Plan, note: str = "") -> ConfirmPopup:
    """Popup of the changes, with the price before and after; answers 'yes' when they are applied."""
    rows: list[Row] = [row((clean(note), "quiet")), row()] if note else []
    rows += [_change(key, before, after) for key in changed_keys(before, after)]
    if not rows or rows[-1] == row():
        rows.append(row(("nothing: the plan has these values already", "good")))
    rows += [
        row(),
        Row((("before  ", "label"), *short_verdict(before.estimate), (f"   {_time(before)}", "label"))),
        Row((("after   ", "label"), *short_verdict(after.estimate), (f"   {_time(after)}", "label"))),
    ]
    return ConfirmPopup(title, rows, yes="apply")


def changed_keys(before: Plan, after: Plan) -> list[str]:
    """Keys whose values differ."""
    from recommender.config.edit import diff

    return list(diff(before.config, after.config))


def _change(key: str, before: Plan, after: Plan) -> Row:
    old, new = (value_text(key, value_at(plan.config, key)) for plan in (before, after))
    return row((cell(key, 42), "label"), (old, "quiet"), (" → ", "accent"), (new, "bright"), indent=44)


def _time(plan: Plan) -> str:
    time = plan.estimate.time
    return "" if time is None or time.total_seconds is None else duration(time.total_seconds)


def save_popup(plan: Plan, write: Callable[[Path], None]) -> ValuePopup:
    """Asks for a file name; a file that is there is replaced only when enter is pressed a second time."""
    warned: list[str] = []

    def accept(text: str) -> None:
        if not text.strip():
            raise InputError("A file needs a name.")
        path = expanded(text.strip())
        if path.is_dir():
            raise InputError(f"{path} is a folder.", remedy="Name a file in it, such as config.yaml.")
        if path.exists() and text not in warned:
            warned.append(text)
            raise InputError(f"{path} is there already.", remedy="Enter again replaces it.")
        write(path)

    return ValuePopup("save the configuration as", default_name(plan), accept, hint="lora-wizard train FILE starts it")


def default_name(plan: Plan) -> str:
    """A file name from the model's and the data's."""
    model = plan.config.model.rstrip("/").rpartition("/")[2].lower()
    data = plan.config.data.train_paths
    parts = [model, Path(data[0]).stem] if data else [model]
    return (
        "-".join("".join(char if char.isalnum() or char in "._-" else "-" for char in part) for part in parts) + ".yaml"
    )


def recipe_named(plans: PlanService, name: str) -> Recipe:
    """Preset of that name."""
    return next(one for one in plans.recipes() if one.name == name)


def price_popup(price: float | None, take: Callable[[float | None], None]) -> ValuePopup:
    """Field for the price of an hour, in dollars; `take` is given None where it was emptied."""
    return ValuePopup(
        "dollars an hour",
        "" if price is None else f"{price:g}",
        lambda text: take(parse_price(text)),
        hint="kept; plans then say what they cost. Empty forgets it.",
    )
