"""Texts of the Data screen about a profile, as toned lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recommender.config.edit import with_values
from recommender.data.held_out_cut import held_out_warnings
from recommender.data.packing import splits
from recommender.steps import packing_document, step_warnings
from recommender.units import count, counted, percent
from tui.screens.data.sources import held_out_row, source_rows
from tui.terminal.sanitize import clean
from tui.widgets.histogram import histogram
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Part, Row, row
from tui.widgets.severity import mark
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.data.profile.profile import DataProfile
    from recommender.data.rows import BadRow

LENGTHS = (
    64,
    128,
    256,
    384,
    512,
    768,
    1024,
    1536,
    2048,
    3072,
    4096,
    6144,
    8192,
    12288,
    16384,
    24576,
    32768,
    65536,
    131072,
)
"""Limits that + and - go through."""
LEAVE_OUT = "leave-out"


def next_length(length: int, by: int, context: int | None) -> int:
    """The next limit up or down, within the model's context."""
    steps = [step for step in LENGTHS if context is None or step <= context]
    if by > 0:
        return next((step for step in steps if step > length), length)
    return next((step for step in reversed(steps) if step < length), length)


def summary(profile: DataProfile, max_length: int, width: int, plan: FinetuneConfig | None = None) -> list[Row]:
    """Did it understand my file, will the model learn the answers, what does the limit cut.

    Args:
        profile: The data.
        max_length: The limit.
        width: Cells.
        plan: The configuration that is planned, for its batch and packing.
    """
    split = plan is not None and splits(profile, plan)
    columns = ", ".join(
        clean(f"{column}" if role == column else f"{role}={column}") for role, column in profile.columns.items()
    )
    rows = [
        row(
            (clean(profile.shape), "bright"),
            (f" ({columns})   " if columns else "   ", "label"),
            (count(profile.rows), "bright"),
            (" row" if profile.rows == 1 else " rows", "label"),
            indent=2,
        ),
        row((clean(profile.shape_reason), "quiet"), indent=2),
        *_unread(profile),
        *source_rows(profile, width),
        *held_out_row(profile),
        *_lengths(profile, width),
        *histogram(profile, max_length, width),
        _split(profile, max_length) if split else _cut(profile, max_length),
        _trained(profile, max_length),
        *_template(profile),
    ]  # fmt: skip
    judged = _judgements(profile, max_length, split=split)
    if plan is not None and profile.tokenizer != "assumed":
        told = (*held_out_warnings(profile, plan), *step_warnings(profile, plan))
        judged += [row(mark(warning), warning.text, indent=2) for warning in told]
    stops = [line for line in judged if line.plain.startswith("✗")]
    others = [line for line in judged if not line.plain.startswith("✗")]
    return [*stops, *rows, *others, *_packing(profile, max_length, plan)]


def _unread(profile: DataProfile) -> list[Row]:
    """The columns that nothing reads."""
    if not profile.unread:
        return []
    return [row(("not read: ", "label"), (clean(", ".join(profile.unread)), "quiet"), indent=2)]


def _lengths(profile: DataProfile, width: int) -> list[Row]:
    """Quantiles, and the total on the same line where there is room."""
    shown = [(f"p{round(100 * q)}", profile.quantile(q)) for q in (0.5, 0.9, 0.95, 0.99)]
    told = " · ".join(f"{name} {count(value)}" for name, value in [*shown, ("max", profile.longest)])
    total = f"total {count(profile.total_tokens)}"
    if len(told) + len(total) + 11 <= width:
        lines = [row(("tokens  ", "label"), (told, "bright"), (f" · {total}", "label"), indent=8)]
    else:
        lines = [row(("tokens  ", "label"), (told, "bright"), indent=8), row((f"        {total}", "label"))]
    if profile.tokenizer == "bytes":
        lines.append(row(("estimated from the text: no tokenizer here", "caution"), indent=2))
    return lines


def _cut(profile: DataProfile, max_length: int) -> Row:
    rows = profile.rows_cut(max_length)
    head: tuple[Part, ...] = ((f"cut at {count(max_length)}: ", "label"),)
    if not rows and profile.tokenizer == "bytes":
        return row(*head, ("nothing by the estimate", "caution"), ("  lengths are counted before the start", "label"),
                   indent=2)  # fmt: skip
    if not rows:
        return row(*head, ("nothing", "good"), ("  every row is kept whole", "label"), indent=2)
    lost = 1 - profile.tokens_at(max_length) / profile.total_tokens if profile.total_tokens else 0.0
    share = rows / profile.rows if profile.rows else 0.0
    trained = profile.trained_tokens
    answers = f", {percent(1 - profile.trained_at(max_length) / trained)} of trained ones" if trained else ""
    return row(
        (f"cut at {count(max_length)}: ", "label"),
        (f"{counted(rows, 'row')} ({percent(share)})", "bright"),
        (f", {percent(lost)} of tokens{answers}", "label"),
        indent=2,
    )


def _split(profile: DataProfile, max_length: int) -> Row:
    rows = profile.rows_cut(max_length)
    return row(
        (f"split at {count(max_length)}: ", "label"),
        (counted(rows, "row"), "bright"),
        (", packed in parts: nothing is cut", "label"),
        indent=2,
    )


def _template(profile: DataProfile) -> list[Row]:
    """Row of the template, and of the number of turns of a conversation."""
    if profile.template in {"", "none"}:
        return []
    named = "the model's own" if profile.template == "model" else clean(profile.template)
    most = profile.turns_most
    turns = f" · turns p50 {profile.turns_median} · max {most}" if most else ""
    return [row(("template: ", "label"), (named, "bright"), (turns, "label"), indent=2)]


def _packing(profile: DataProfile, max_length: int, plan: FinetuneConfig | None) -> list[Row]:
    """Effect of packing at the planned batch: padding, steps, rows of a step."""
    if plan is None or not profile.rows or profile.tokenizer == "assumed":
        return []
    found = packing_document(profile, with_values(plan, {"data.max_length": max_length}))
    on = "packed" if found["packed"] else "if packed"
    how = "longer rows are split, nothing is lost" if found["strategy"] == "bfd_split" else "rows stay whole"
    return [
        row(
            (f"{on}: ", "label"),
            (f"padding {percent(found['padding_share'])} → 0 %", "bright"),
            (f", sequences {percent(1 - found['empty_share'])} full", "label"),
            (f", {count(found['steps'])} → {counted(found['steps_packed'], 'step')} an epoch", "label"),
            (f" of about {counted(round(found['rows_in_step_packed']), 'row')}", "label"),
            (f"  {found['strategy']}: {how}", "quiet"),
            indent=2,
        )
    ]


def _trained(profile: DataProfile, max_length: int) -> Row:
    tokens = profile.tokens_at(max_length)
    share = profile.trained_at(max_length) / tokens if tokens else 0.0
    what = "the answers" if share < 0.995 else "everything"
    method = f"  found by {clean(profile.mask_method)}" if profile.mask_method not in {"", "all"} else ""
    return row(
        ("trained on: ", "label"),
        (f"{percent(share)} of tokens", "bright"),
        (f" ({what})", "label"),
        (method, "quiet"),
        indent=2,
    )


def _judgements(profile: DataProfile, max_length: int, *, split: bool) -> list[Row]:
    rows = [row(mark(stop), (clean(stop.text), "plain"), indent=2) for stop in profile.stops_at(max_length)]
    if profile.ending_template:
        offer = f"F uses the template {profile.ending_template}, which ends each answer"
        rows.append(row(("✗ ", "bad"), ("→ ", "accent"), (offer, "bright"), indent=4))
    if profile.unconfirmed:
        rows.append(row(("? ", "caution"), ("C confirms the columns, f corrects them", "bright"), indent=2))
    end = f" ({clean(profile.end_of_turn)})" if profile.end_of_turn else ""
    if profile.trains_end_of_turn is True:
        seen: Part = ("! ", "caution") if profile.unended_answers else ("✓ ", "good")
        rows.append(row(seen, f"the end-of-turn token is {profile.end_of_turn_share}{end}", indent=2))
    elif profile.trains_end_of_turn is False:
        rows.append(row(("! ", "caution"), f"the end-of-turn token{end} is not trained: answers may not end", indent=2))
    if profile.bad_row_count:
        left_out = "left out" if profile.skipped_rows else "not left out yet"
        rows.append(
            row(("! ", "caution"), f"{counted(profile.bad_row_count, 'bad row')}, {left_out}: b lists them", indent=2)
        )
    if profile.duplicates:
        rows.append(row(("! ", "caution"), f"{counted(profile.duplicates, 'exact duplicate')}", indent=2))
    if profile.empty_answers:
        rows.append(
            row(("! ", "caution"), f"{counted(profile.empty_answers, 'row')} of which nothing is trained", indent=2)
        )
    rows += [
        row(mark(warning), clean(warning.text), indent=2) for warning in profile.warnings_at(max_length, split=split)
    ]
    return rows


def bad_row_picks(profile: DataProfile, width: int) -> list[Pick]:
    """The bad rows, and what to do with all of them."""
    left_out = bool(profile.skipped_rows)
    offer = (
        "take them back: nothing starts while they are there"
        if left_out
        else f"leave {counted(profile.bad_row_count, 'bad row')} out"
    )
    picks = [Pick(LEAVE_OUT, (row(("→ ", "accent"), (offer, "bright")),))]
    picks += [_bad(number, bad, width) for number, bad in enumerate(profile.bad_rows)]
    more = profile.bad_row_count - len(profile.bad_rows)
    if more > 0:
        picks.append(Pick("more", (row((f"and {count(more)} more", "quiet")),), fixed=True))
    return picks


def _bad(number: int, bad: BadRow, width: int) -> Pick:
    from pathlib import Path

    place = f"{Path(bad.file).name}:{bad.line}"
    return Pick(
        f"bad:{number}",
        (
            row(("✗ ", "bad"), (cell(clean(place), min(28, width // 3)), "label"), " ", (clean(bad.reason), "plain")),
            row(("    " + clean(bad.start), "quiet")),
        ),
    )
