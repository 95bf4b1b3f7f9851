"""Texts of the Plan screen about a plan: settings, why, memory and time. Text only, no widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from recommender.plan.checks.warnings import NOTHING_FITS
from recommender.units import GIB, count, counted, duration, gib, gib_number, rate
from tui.screens.machine.text import short_name
from tui.screens.plan.form import ADVANCED_KEY, Setting, advanced_settings, shown_settings, steps_of, value_text
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Part, Row, Tone, row
from tui.widgets.severity import mark
from tui.widgets.text import cell, cut

if TYPE_CHECKING:
    from recommender.data.profile.profile import DataProfile
    from recommender.estimate.types import Estimate
    from recommender.plan.types import Plan
    from recommender.rules.reason import Confidence, Reason
    from recommender.time.types import TimeEstimate
    from tui.wizard.state import WizardState

VERDICTS: dict[str, tuple[str, Tone]] = {
    "yes": (" FITS ", "good"),
    "tight": (" TIGHT ", "caution"),
    "no": (" NO ", "bad"),
}
SURE: dict[Confidence, Tone] = {"high": "good", "medium": "caution", "low": "bad"}
WIDEST_LABEL, WIDEST_FIGURE = 24, 12
YOU = "You"
"""Word for the person as setter of a value, at the start of its reason, unless it was a preset."""
RECOMMENDED = "●"
YOURS = "✎"
MOVED = "○"
"""Mark of a value neither set by the person nor recommended now: an edit elsewhere was kept beside it."""


def settings_picks(
    plan: Plan, width: int, *, advanced: bool, current: str, at: int, notes: Mapping[str, str] | None = None
) -> list[Pick]:
    """The rows of the form.

    Args:
        plan: What is shown.
        width: Cells.
        advanced: Whether the advanced rows are unfolded.
        current: Label of the row under the cursor.
        at: Which of its values the cursor is on.
        notes: Notes by label, instead of a row's own.
    """
    labels = 23
    values = min(24, max(14, (width - labels) * 55 // 100))
    told = notes or {}

    def made(setting: Setting) -> Pick:
        note = told.get(setting.label) or setting.note(plan)
        return _setting(plan, setting, (labels, values), at if setting.label == current else None, note)

    picks = [made(setting) for setting in shown_settings(plan, advanced=False)]
    mark = "▾" if advanced else "▸"
    folded_rows = advanced_settings()
    names = ", ".join(setting.label for setting in folded_rows)
    folded = row(
        (cell(f"advanced ({len(folded_rows)})", labels), "label"),
        (cell(mark, values), "bright"),
        (f"  {names}", "quiet"),
    )
    picks.append(Pick(ADVANCED_KEY, (folded,)))
    if advanced:
        picks += [made(setting) for setting in shown_settings(plan, advanced=True)[len(picks) - 1 :]]
    return picks


def _setting(plan: Plan, setting: Setting, sizes: tuple[int, int], at: int | None, note: str) -> Pick:
    labels, values = sizes
    parts: list[Part] = [(cell(setting.label, labels), "label")]
    parts += _values(plan, setting, values, at)
    mark, tone = mark_of(plan, setting.keys)
    parts += [(f"{mark} ", tone), (note, "quiet")]
    return Pick(setting.label, (Row(tuple(parts)),))


def _values(plan: Plan, setting: Setting, width: int, at: int | None) -> list[Part]:
    """The values, that under the cursor accented where there are several; cut and padded as one."""
    texts = [value_text(key, value_at(plan.config, key)) for key in setting.keys]
    several = len(texts) > 1
    room = width - 1
    parts: list[Part] = []
    for index, text in enumerate(texts):
        if index:
            joint = cut(setting.joint, room)
            parts.append((joint, "quiet"))
            room -= cell_len(joint)
        shown = cut(text, room)
        parts.append((shown, "accent" if several and index == at else "bright"))
        room -= cell_len(shown)
    return [*parts, (" " * (room + 1), "plain")]


def value_at(config: Any, key: str) -> Any:
    """The value of a dotted key; None inside a section that is null."""
    from recommender.config.edit import value_of

    return value_of(config, key)


def mark_of(plan: Plan, keys: Sequence[str]) -> tuple[str, Tone]:
    """Mark that says who set the value, and its tone."""
    if any(key in plan.overrides for key in keys):
        return YOURS, "caution"
    moved = any(key in plan.recommended and plan.recommended[key] != value_at(plan.config, key) for key in keys)
    return (MOVED, "quiet") if moved else (RECOMMENDED, "quiet")


def why_rows(plan: Plan, key: str, description: str, preset: str = "") -> list[Row]:
    """Rows that explain a value: the reason, what was measured, who says otherwise, what it costs.

    Args:
        plan: Whose value.
        key: Its dotted key.
        description: What the schema says of it.
        preset: Name of the preset that set it; empty where none did.
    """
    reason = plan.reasons.get(key)
    name = key.rpartition(".")[2]
    value = value_text(key, value_at(plan.config, key))
    if reason is None:
        return [row((f"{name} ", "label"), (value, "bright")), row(), row((description or "As you chose it.", "plain"))]
    head = row(
        (f"{name} ", "label"),
        (value, "bright"),
        ("  confidence ", "quiet"),
        (reason.confidence, SURE[reason.confidence]),
    )
    why = reason.why.replace(YOU, f"The preset {preset}", 1) if preset else reason.why
    rows = [head, row(), row(clean(why))]
    if key in plan.overrides and key in plan.recommended and plan.recommended[key] != value_at(plan.config, key):
        unset = plan.recommended[key] is None
        back = "leaves it unset" if unset else value_text(key, plan.recommended[key])
        whose = f"{YOURS} preset {preset}" if preset else f"{YOURS} yours"
        does = "  backspace " if unset else "  backspace brings back "
        rows += [row(), row((whose, "caution"), (does, "label"), (back, "bright"))]
    rows += _evidence(reason)
    for title, text in (("others say", reason.others), ("costs", reason.costs), ("source", reason.source)):
        if text:
            rows += [row(), row((cell(title, 12), "accent"), (clean(text), "label"), indent=12)]
    if description:
        rows += [row(), row((clean(description), "quiet"))]
    return rows


def model_rows(plan: Plan) -> list[Row]:
    """The model in short, the data in short, and every warning in full."""
    model, data = plan.model, plan.data
    rows = [
        row(("model ", "label"), (clean(plan.config.model), "bright"), indent=6),
        row(
            (
                f"{model.architecture} · {count(model.total_parameters)} parameters · {model.num_layers} layers · ",
                "label",
            ),
            (f"width {model.hidden_size} · context {count(model.max_position_embeddings)}", "label"),
        ),
        row(),
        row(("data ", "label"), *_data(data)),
    ]
    rows += [row(), *limit_rows(plan)]
    if plan.warnings:
        rows.append(row())
    rows += [row(mark(warning), clean(warning.text), indent=2) for warning in plan.warnings]
    return [*rows, row(), row(("another model is chosen in step 2, other data in step 3", "quiet"))]


def limit_rows(plan: Plan) -> list[Row]:
    """Rows of how far one value at a time can be moved and still fits, and of the least card that holds the plan."""
    from recommender.estimate.limits import find_limits, told

    limits = find_limits(plan.config, plan.model, plan.device, plan.data)
    return [row((cell(name, 16), "label"), (clean(value), "bright"), indent=16) for name, value in told(limits)]


def _data(data: DataProfile | None) -> list[Part]:
    if data is None:
        return [("none yet: time and length are not known", "quiet")]
    name = clean(data.files[0].name) if data.files else data.shape
    return [
        (name, "bright"),
        (f"  {counted(data.rows, 'row')}, {count(data.total_tokens)} tokens, {data.shape}", "label"),
    ]


def _evidence(reason: Reason) -> list[Row]:
    if not reason.evidence:
        return []
    lines = reason.evidence
    notes = {line.note for line in lines}
    shared = notes.pop() if len(notes) == 1 else ""
    wide = max(cell_len(clean(line.label)) for line in lines)
    apart = wide > WIDEST_LABEL and any(cell_len(clean(line.value)) > WIDEST_FIGURE for line in lines)
    title = "measured" if all(line.measured for line in lines) else "priced"
    rows = [row(), row((cell(title, 12), "accent"), (clean(shared), "quiet"), indent=12)]
    for line in lines:
        label = clean(line.label)
        found: tuple[Part, Part] = (clean(line.value), "bright"), ("" if shared else f"  {clean(line.note)}", "quiet")
        if apart:
            # Sentences beside long labels: each label on a line of its own.
            rows += [row((f"  {label}", "label"), indent=4), row(("    ", "plain"), *found, indent=4)]
        else:
            rows.append(row((f"  {cell(label, wide)}  ", "label"), *found, indent=4))
    return rows


def verdict_parts(estimate: Estimate) -> list[Part]:
    """'9.4 GiB of 22.9 free  FITS  13.5 to spare  ±0.5 (formula)', the word apart so that it can be painted."""
    peak = estimate.peak
    word, tone = VERDICTS[estimate.fits]
    spare = estimate.spare_bytes
    left = f"{_apart(spare)} to spare" if spare >= 0 else f"{_apart(-spare)} too much"
    unsure = max(peak.most_bytes - peak.needed_bytes, peak.needed_bytes - peak.least_bytes)
    return [
        (gib(peak.needed_bytes), "bright"),
        (f" of {gib_number(estimate.free_bytes)} free  ", "label"),
        (word, tone),
        (f"  {left}", "label" if spare >= 0 else "bad"),
        (f"   ±{gib_number(unsure)} ({estimate.basis})", "quiet"),
    ]


def _apart(nbytes: int) -> str:
    """Size in GiB like the two beside it; with its unit where that would be 0.0."""
    return gib_number(nbytes) if nbytes >= 0.1 * GIB else gib(nbytes)


def time_row(plan: Plan, price: float | None, width: int) -> Row:
    """Row of time, amount and speed; what says least, and blanks, are left out until it fits a width in cells."""
    parts = _time_parts(plan, price)
    for least in (" token", " step", " with evaluation"):
        if _cells(parts) <= width:
            break
        parts = [part for part in parts if not part[0].removesuffix("s").endswith(least)]
        close = [(text.replace("   ", "  "), tone) for text, tone in parts]
        parts = close if _cells(close) <= width < _cells(parts) else parts
    return Row(tuple(parts))


def _cells(parts: Sequence[Part]) -> int:
    return sum(cell_len(text) for text, _ in parts)


def _time_parts(plan: Plan, price: float | None) -> list[Part]:
    estimate = plan.estimate
    time = estimate.time
    steps = steps_of(plan)
    parts: list[Part] = [*_total(time)]
    if steps is not None:
        parts.append((f"   {counted(steps, 'step')}", "label"))
    if time is not None:
        if time.tokens is not None:
            parts.append((f"   {counted(time.tokens, 'token')}", "label"))
        parts.append((f"   about {rate(time.tokens_per_second)}", "label"))
        if price is not None and time.total_seconds is not None:
            parts.append((f"   about ${price * time.total_seconds / 3600:.2f}", "label"))
    parts.append((f"   adapter {gib(estimate.adapter_bytes)}", "label"))
    return parts


def _total(time: TimeEstimate | None) -> list[Part]:
    if time is None:
        return [("time unknown", "bright"), (" this device's speed is not known", "quiet")]
    if time.total_seconds is None:
        return [("time unknown", "bright"), (" without rows", "quiet")]
    span = ""
    if time.low_seconds is not None and time.high_seconds is not None:
        span = f" ({duration(time.low_seconds)} – {duration(time.high_seconds)})"
    said = " at the measured pace, with evaluation" if time.basis == "measured" else " with evaluation"
    return [(duration(time.total_seconds), "bright"), (span, "label"), (said, "quiet")]


def room_row(plan: Plan, runs: str, width: int) -> Row:
    """Row of the figures that other meters will show: nvidia-smi, host RAM, disk."""
    estimate, device = plan.estimate, plan.device
    told = []
    if device.kind == "cuda":
        told.append(f"nvidia-smi will show about {gib(estimate.in_use_bytes(device))}")
    told += [f"host RAM {gib(estimate.host_bytes)}", f"disk {gib(estimate.disk_bytes)}"]
    left = " · ".join(told)
    where = clean(runs)
    gap = width - cell_len(left) - cell_len(where)
    return row((left, "quiet"), (" " * gap + where, "quiet")) if gap >= 3 else row((left, "quiet"))


def nothing_helps(plan: Plan) -> list[Row]:
    """Rows of ways to hold a plan that no remedy makes fit; none where one does."""
    told = next((warning.text for warning in plan.warnings if warning.code == NOTHING_FITS), "")
    return [row(("! ", "caution"), (clean(part), "label"), indent=2) for part in told.split("; ") if part]


def remedy_picks(plan: Plan, width: int) -> list[Pick]:
    """Remedies to pick from: the change, the memory saved, the cost, and whether it is enough."""
    wide = max((cell_len(clean(remedy.label)) for remedy in plan.remedies), default=0)
    label = min(max(20, width * 4 // 10), wide)
    picks = []
    # What is enough stands first; among equals the recommender's order holds.
    for index, remedy in sorted(enumerate(plan.remedies), key=lambda numbered: numbered[1].fits == "no"):
        word, tone = VERDICTS[remedy.fits]
        parts: list[Part] = [
            (cell(clean(remedy.label), label), "bright"),
            (cell(f"  saves {gib(remedy.saves_bytes)}", 17), "label"),
            (cell(f" {word.strip()}", 7), tone),
            (f" {clean(remedy.costs)}", "label"),
        ]
        picks.append(Pick(str(index), (Row(tuple(parts)),)))
    return picks


def short_verdict(estimate: Estimate) -> list[Part]:
    """'FITS 9.4 GiB', for lists."""
    word, tone = VERDICTS[estimate.fits]
    return [(cell(word.strip(), 6), tone), (cell(gib(estimate.peak.needed_bytes), 9, "right"), "label")]


def stale_note(plan: Plan, state: WizardState) -> str:
    """Text that names the choice that a stale plan was made for."""
    if plan.device != state.device:
        same = state.device is not None and plan.device.name == state.device.name
        return "out of date: with other free memory" if same else f"out of date: for {short_name(plan.device.name)}"
    return "out of date: for another model" if plan.model is not state.model else "out of date: for other data"
