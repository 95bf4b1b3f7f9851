"""A plan and an estimate as lines of text, for a plain terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recommender.warning import worst_first
from tui.terminal.sanitize import as_markup
from tui.widgets.severity import plain_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from recommender.estimate.limits import Limits
    from recommender.estimate.types import Estimate
    from recommender.machine.facts import Device
    from recommender.memory.terms import Term
    from recommender.plan.types import Plan, Remedy
    from recommender.warning import CodedWarning

MERGE = "merge"
"""The phase that is no part of the run."""
WORDS = {"yes": "FITS", "tight": "TIGHT", "no": "NO"}


def show_estimate(estimate: Estimate, device: Device, console: Console, apart: str = "") -> None:
    """Print the judgement, the parts at the peak, and the time.

    Args:
        estimate: Of a plan.
        device: Where.
        console: Where to.
        apart: What belongs to the judgement: `recommender.memory.terms.experts_apart`.
    """
    from recommender.units import count, gib

    peak = estimate.peak
    spare = estimate.spare_bytes
    console.print(
        f"{WORDS[estimate.fits]}  {gib(peak.needed_bytes)} of {gib(estimate.free_bytes)} free on "
        f"{as_markup(device.name)}"
        f"  ({gib(peak.least_bytes)} to {gib(peak.most_bytes)}, {estimate.basis})  "
        + (f"{gib(spare)} to spare" if spare >= 0 else f"{gib(-spare)} too much")
        + (f"; {apart}" if apart else ""),
        soft_wrap=True,
    )
    if peak.cache_bytes:
        console.print(
            f"cache  {gib(peak.cache_bytes)} more where there is room, {gib(peak.process_bytes)} in all: the allocator "
            "gives it back where memory is short",
            soft_wrap=True,
        )
    parts = " · ".join(f"{name} {gib(size)}" for name, size in estimate.parts.items() if size)
    console.print(f"parts  {parts}", soft_wrap=True)
    during = {name: size for name, size in estimate.phases.items() if size and name != MERGE}
    phases = " · ".join(f"{name} {gib(size)}" for name, size in during.items())
    console.print(f"phases {phases}", soft_wrap=True)
    if merging := estimate.phases.get(MERGE):
        where = "on the GPU where it fits there, else in host memory" if device.kind == "cuda" else "in host memory"
        console.print(f"merge  {gib(merging)} in a process of its own after the run, {where}", soft_wrap=True)
    if device.kind == "cuda":
        console.print(f"nvidia-smi will show about {gib(estimate.in_use_bytes(device))}")
    console.print(f"adapter {gib(estimate.adapter_bytes)}   {count(estimate.trainable_parameters)} trained parameters")
    _show_time(estimate, console)
    for note in estimate.notes:
        console.print(f"note   {as_markup(note.text)}", soft_wrap=True)


def _show_time(estimate: Estimate, console: Console) -> None:
    """Print the time of the run, or the reason why there is none."""
    from recommender.units import counted, duration, rate

    if estimate.fits == "no":
        console.print("time   none: it does not fit, so it cannot run")
    elif time := estimate.time:
        total = f"{duration(time.total_seconds)}" if time.total_seconds is not None else "unknown without rows"
        spread = (
            f" ({duration(time.low_seconds)} – {duration(time.high_seconds)})"
            if time.low_seconds is not None and time.high_seconds is not None
            else ""
        )
        steps = f"   {counted(time.steps, 'step')}" if time.steps else ""
        console.print(f"time   {total}{spread}{steps}   about {rate(time.tokens_per_second)}", soft_wrap=True)
    else:
        console.print("time   unknown: the speed of this card is not known")


def show_warnings(warnings: Sequence[CodedWarning], console: Console) -> None:
    """Print what the person should know before they start, a line each, the gravest first."""
    for warning in worst_first(warnings):
        console.print(as_markup(plain_line(warning)), soft_wrap=True)


def show_advice(
    console: Console,
    terms: Sequence[Term] | None,
    limits: Limits,
    warnings: Sequence[CodedWarning],
    remedies: Sequence[Remedy],
) -> None:
    """Print what stands under an estimate: its terms where they are wanted, limits, warnings, and what would help."""
    if terms is not None:
        show_terms(terms, console)
    show_limits(limits, console)
    show_warnings(warnings, console)
    show_remedies(remedies, console)


def show_terms(terms: Sequence[Term], console: Console) -> None:
    """Print the formula's terms at the worst moment, in MiB, under their parts."""
    from recommender.units import MIB

    part = ""
    for term in terms:
        name = term.part if term.part != part else ""
        part = term.part
        console.print(f"{name:14s}{term.nbytes / MIB:12.1f} MiB  {as_markup(term.name)}", soft_wrap=True)


def show_limits(limits: Limits, console: Console) -> None:
    """Print the limits within which the plan fits, and the least card that holds it."""
    from recommender.estimate.limits import told

    console.print("fits   " + as_markup(" · ".join(f"{name} {value}" for name, value in told(limits))), soft_wrap=True)


def show_plan(plan: Plan, console: Console) -> None:
    """Print every decided value with its reason, then the estimate, warnings and remedies."""
    from rich.table import Table

    from recommender.config.edit import flatten
    from recommender.memory.terms import experts_apart

    table = Table(title=as_markup(f"{plan.model.name} on {plan.device.name}"), title_justify="left", pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", no_wrap=True)
    table.add_column("sure")
    table.add_column("why", overflow="fold")
    for key, value in flatten(plan.config).items():
        if reason := plan.reasons.get(key):
            table.add_row(
                as_markup(key),
                as_markup(_plain(value)),
                reason.confidence,
                as_markup(f"{reason.why} [{reason.source}]"),
            )
    console.print(table)
    show_estimate(plan.estimate, plan.device, console, experts_apart(plan.config, plan.model, plan.device, plan.data))
    show_warnings(plan.warnings, console)
    if plan.estimate.fits != "yes":
        show_remedies(plan.remedies, console)


def show_remedies(remedies: Sequence[Remedy], console: Console) -> None:
    """Print the changes that would save memory, and whether they would be enough."""
    from recommender.units import gib

    if not remedies:
        return
    helps = any(remedy.fits != "no" for remedy in remedies)
    console.print("what would help:" if helps else "what would save memory, none of it enough alone:")
    for remedy in remedies:
        line = f"  {as_markup(remedy.label)}  saves {gib(remedy.saves_bytes)}  {as_markup(remedy.costs)}"
        console.print(line, soft_wrap=True)


def _plain(value: object) -> str:
    from recommender.units import small

    if value is None:
        return "none"
    if value is True or value is False:
        return str(value).lower()
    return small(value) if isinstance(value, float) else str(value)
