"""Batch: rows of an optimizer step, and their split into micro-batches."""

from __future__ import annotations

from recommender.config.edit import with_values
from recommender.data.packing import packs
from recommender.estimate.types import Estimate
from recommender.rules.base import (
    COMFORT,
    Context,
    PricedContext,
    Reasons,
    Rule,
    Values,
    by_how_much,
    priced_line,
    room_share,
    slower,
)
from recommender.rules.reason import Evidence, Reason
from recommender.steps import plan_steps
from recommender.units import count, counted, gib, percent, small

MICRO = "training.per_device_train_batch_size"
ACCUMULATION = "training.gradient_accumulation_steps"
CHECKPOINTING = "training.gradient_checkpointing"
OFFLOADING = "training.activation_offloading"
EFFECTIVE = 16
"""Rows of an optimizer step where there are enough."""
ENOUGH_ROWS = 2000
ENOUGH_STEPS = 100
"""Steps below which a smaller batch is taken, so that the schedule has room."""
SMALLEST = 4
NEAR = 1.05
"""Ratio to the fastest micro-batch's time within which the smallest is taken: 5 % are as good."""


def effective_batch(rows: int | None, epochs: float) -> int:
    """Rows of an optimizer step: 16, or less where that would leave fewer than 100 steps."""
    if rows is None or rows >= ENOUGH_ROWS:
        return EFFECTIVE
    batch = EFFECTIVE
    while batch > SMALLEST and rows * epochs / batch < ENOUGH_STEPS:
        batch //= 2
    return min(batch, 1 << max(0, rows.bit_length() - 1))


def target_batch(context: Context) -> int:
    """Sequences of an optimizer step: the effective batch in rows, or as many packed sequences as hold these rows."""
    rows = effective_batch(context.training_rows, context.config.training.num_train_epochs)
    each = rows_in_a_sequence(context)
    sequences = rows
    while each > 1 and sequences > 1 and sequences * each >= rows * 2**0.5:
        sequences //= 2
    return sequences


def per_card(context: Context) -> int:
    """Sequences of an optimizer step that one card goes through."""
    return max(1, target_batch(context) // context.processes)


def rows_in_a_sequence(context: Context) -> float:
    """Rows that a packed sequence holds on average; 1 when rows are not packed."""
    data, length = context.data, context.config.data.max_length
    if data is None or not data.rows or not packs(context.config):
        return 1.0
    return max(1.0, length * data.rows / max(1, data.tokens_at(length)))


def micro_batches(effective: int) -> list[int]:
    """Powers of two that divide the effective batch, ascending."""
    return [1 << power for power in range(effective.bit_length()) if effective % (1 << power) == 0]


def accumulation_for(effective: int, micro: int) -> int:
    """Accumulation steps that come nearest to the effective batch."""
    return max(1, round(effective / micro))


def micro_batch(context: Context) -> Values:
    """Micro-batch found by the search."""
    return {MICRO: int(context.searched.get(MICRO, 1))}


def explain_micro_batch(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the micro-batch, from the price of every split of the effective batch."""
    effective = per_card(context)
    return {
        MICRO: Reason(
            values[MICRO],
            _why_micro(context, effective),
            "this project's estimate of time and memory",
            "low" if context.device.mig or context.estimate.time is None else "medium",
            evidence=_splits(context, effective),
            others="The walk-through guide takes as large a power of two as fits; the LoRA hyperparameter guide 1 for "
            "long rows, 2 or 4 for short ones.",
            costs="Activations and the loss grow in proportion.",
        )
    }


def accumulation(context: Context) -> Values:
    """Gradient accumulation steps that turn the micro-batch into the effective batch."""
    return {ACCUMULATION: accumulation_for(per_card(context), context.config.training.per_device_train_batch_size)}


def explain_accumulation(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for the effective batch, from the rows and the steps that they give."""
    effective, cards = per_card(context), context.processes
    micro, steps = context.config.training.per_device_train_batch_size, values[ACCUMULATION]
    whole = counted(micro * steps * cards, _unit(context))
    return {
        ACCUMULATION: Reason(
            steps,
            f"{micro} × {steps}{f' × {cards} {_each(context)}' if cards > 1 else ''} = {whole} a step. "
            f"{_why_effective(context, effective * cards)}",
            "Thinking Machines, LoRA Without Regret (2025): LoRA tolerates large batches less than full fine-tuning",
            "medium",
            others="The walk-through guide: 2 × 8 = 16; Unsloth: 2 × 4 = 8; the QLoRA paper: 16; the sweep behind the "
            "learning rate: 128. The LoRA hyperparameter guide raises it against overfitting.",
            costs="none: accumulated gradients have the adapter's size whatever their number.",
        )
    }


def _each(context: Context) -> str:
    """Return the noun for what shares a step's rows: 'cards', or 'processes' of a CPU."""
    return "cards" if context.device.kind == "cuda" else "processes"


def _unit(context: Context) -> str:
    """Return the noun for the unit of a batch: 'sequence' where rows are packed, else 'row'."""
    return "sequence" if rows_in_a_sequence(context) > 1 else "row"


def _why_effective(context: Context, effective: int) -> str:
    rows, each, cards = context.training_rows, rows_in_a_sequence(context), context.processes
    steps = counted(_steps_at(context, effective), "step")
    passes, ends = context.config.training.num_train_epochs, context.config.training.max_steps
    stops = "" if ends is None else f", and max_steps ends the run at {count(ends)}"
    if each > 1:
        return (
            f"A packed sequence holds about {small(round(each, 1))} rows, so {effective} of them are about "
            f"{count(effective * each)} rows, {count(_trained_in(context, effective * each))} trained tokens a step; "
            f"{steps}{stops}."
        )
    wanted = effective_batch(rows, passes)
    nearest = "" if effective == wanted else f"; on {cards} {_each(context)} {effective} comes nearest"
    if rows is None:
        return f"{wanted} is where most published LoRA runs are{nearest}."
    times = "" if passes == 1 else f" in {small(passes)} passes"
    given = f"{counted(rows, 'row')}{times}"
    if wanted == EFFECTIVE:
        return f"{wanted} is where most published LoRA runs are{nearest}; {given} give {steps}{stops}."
    least = ", the least that is taken," if wanted == SMALLEST and not nearest else ""
    gives = f"{wanted} is better{nearest}: {steps}" if nearest else f"{wanted}{least} gives {steps}"
    return f"{EFFECTIVE} would leave fewer than {ENOUGH_STEPS} steps of {given}; {gives}{stops}."


def _steps_at(context: Context, effective: int) -> int:
    """Steps of all passes over the data at a batch, wherever max_steps ends."""
    whole = {
        MICRO: 1,
        ACCUMULATION: effective,
        "training.max_steps": None,
    }
    planned = plan_steps(with_values(context.config, whole), context.data)
    return 0 if planned is None else planned.total


def _trained_in(context: Context, rows: float) -> int:
    """Trained tokens of so many rows on average."""
    if context.data is None or not context.data.rows:
        return 0
    return round(rows * context.data.trained_at(context.config.data.max_length) / context.data.rows)


def _why_micro(context: PricedContext, effective: int) -> str:
    if context.goal == "smallest-memory":
        return "One at a time: this goal is the least memory, whatever the time."
    on_each = " on each card" if context.device.kind == "cuda" else " in each process"
    each = f"{counted(effective, _unit(context))} a step{on_each if context.processes > 1 else ''}"
    other = _other_split(context, effective, each)
    if other:
        return other + _of_a_slice(context)
    if context.estimate.time is None:
        where = "the CPU" if context.device.kind == "cpu" else "this card"
        return (
            f"The speed of {where} is unknown, so the split is by memory and by how many tokens fill its kernels: the "
            "smallest micro-batch estimated within 5 % of the fastest."
        )
    near = f"{NEAR - 1:.0%}".replace("%", " %")
    return (
        f"The smallest micro-batch within {near} of the fastest that fits for {each}: larger ones only add memory and "
        f"padding.{_of_a_slice(context)}"
    )


def _other_split(context: PricedContext, effective: int, each: str) -> str:
    """Return the reason for a split other than the smallest near the fastest that fits; empty for that one.

    Either none fits, or a faster one is beyond the share of memory that leaves room, or the person changed
    other values since the search, which is not repeated for an edit.
    """
    ours = int(context.searched.get(MICRO, 1))
    splits = _priced_splits(context, effective)
    fitting = {micro: price for micro, price in splits.items() if price.fits == "yes"}
    before = f"Found for {each} before other values were edited, and kept"
    if ours not in splits:
        return f"{before}."
    if not fitting:
        if ours == 1:
            return "One at a time: no split fits here with everything else as it is, and this one comes nearest."
        return f"{before}. With them no split fits, and one at a time comes nearest."
    fastest = min(fitting, key=lambda micro: _seconds(fitting[micro]))
    need = f"{gib(_high(fitting[fastest]))} at most"
    split = f"{fastest} × {effective // fastest}"
    if ours not in fitting:
        return f"{before}. With them it does not fit any more, and {split} would: {need}."
    gain = slower(splits[ours], fitting[fastest])
    if gain is None or _seconds(splits[ours]) <= NEAR * _seconds(fitting[fastest]):
        return ""
    told = f"{split} would be {by_how_much(gain)} and take {need}"
    if _high(fitting[fastest]) > _most(context):
        room = f"the {percent(COMFORT)} of free memory that leave room"
        return f"The fastest for {each} within {room}. {told}, which is more."
    return f"{before}. With them {told}, which fits: set it if you want it."


def _most(context: PricedContext) -> float:
    """Bytes that the upper estimate may take: less than are free where the plan leaves room."""
    free = context.estimate.free_bytes
    most = room_share(context.goal, context.device) * free
    return most if _high(context.estimate) <= most else free


def _seconds(price: Estimate) -> float:
    return price.time.step_seconds if price.time else 0.0


def _high(price: Estimate) -> int:
    return price.peak.most_bytes


def _of_a_slice(context: PricedContext) -> str:
    """Return a note on the assumed speed of a MIG slice; empty for a whole device."""
    if not context.device.mig:
        return ""
    return f" {context.device.name}'s speed is the whole GPU's in proportion to the slice (MIG), which nobody measured."


def _splits(context: PricedContext, effective: int) -> tuple[Evidence, ...]:
    """Memory and step time of each split of the effective batch."""
    splits = _priced_splits(context, effective).items()
    return tuple(priced_line(f"{micro} × {effective // micro}", price) for micro, price in splits)


def _priced_splits(context: PricedContext, effective: int) -> dict[int, Estimate]:
    """Micro-batch to the price of its split, with everything else as it is."""
    return {
        micro: context.priced(
            {
                MICRO: micro,
                ACCUMULATION: effective // micro,
            }
        )
        for micro in micro_batches(effective)
    }


def checkpointing(context: Context) -> Values:
    """Gradient checkpointing as chosen by the search; on without one."""
    return {CHECKPOINTING: bool(context.searched.get(CHECKPOINTING, True))}


def explain_checkpointing(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for checkpointing, from the price of the plan with and without it."""
    value, free = bool(values[CHECKPOINTING]), context.estimate.free_bytes
    on = context.priced({CHECKPOINTING: True})
    off = context.priced({CHECKPOINTING: False, OFFLOADING: False})
    time = by_how_much(slower(off, on))
    need = f"{gib(off.peak.most_bytes)} at most without it, of {gib(free)} free"
    if value:
        text = f"Layers are computed again in the backward pass instead of kept: {need}{_beyond(context, off)}."
    elif off.fits == "yes":
        room = ", because there is room" if off.peak.most_bytes <= COMFORT * free else ""
        text = f"Every activation is kept{room}: {need}."
    else:
        text = f"Off since before other values were edited. Now there is no room for every activation: {need}."
    saved = gib(max(0, off.peak.process_bytes - on.peak.process_bytes))
    return {
        CHECKPOINTING: Reason(
            value,
            text,
            "Chen et al. 2016, training with sublinear memory cost; this project's estimate",
            "high",
            others="Unsloth keeps it on always, in a form of its own.",
            costs=f"On saves {saved}" + (f" and is {time}." if time else "."),
        )
    }


def _beyond(context: PricedContext, off: Estimate) -> str:
    """Return the reason against a plan without checkpointing that fits, at this micro-batch or one row at a time."""
    training, free = context.config.training, context.estimate.free_bytes
    if context.goal == "smallest-memory":
        return ", and this goal is the least memory"
    most = _most(context)
    room = f"beyond the {percent(COMFORT)} that leave room"
    if off.peak.most_bytes <= most:
        return "; it was chosen before other values were edited"
    if off.peak.most_bytes <= free:
        return f", {room}"
    single = context.priced(
        {
            MICRO: 1,
            ACCUMULATION: training.effective_batch_size,
            CHECKPOINTING: False,
            OFFLOADING: False,
        }
    )
    high = single.peak.most_bytes
    if training.per_device_train_batch_size == 1 or high > free:
        return ""
    return f"; one row at a time {gib(high)}, {f'still {room}' if high > most else 'which would be slower'}"


def offloading(context: Context) -> Values:
    """Activation offloading only where nothing cheaper makes the plan fit, or where it makes room for a faster one."""
    return {OFFLOADING: bool(context.searched.get(OFFLOADING, False))}


def explain_offloading(context: PricedContext, values: Values) -> Reasons:
    """Return the reason for sending checkpoints to host memory or not."""
    value = bool(values[OFFLOADING])
    why = _why_offloading(context) if value else _why_not_offloading(context)
    return {
        OFFLOADING: Reason(
            value, why, "TRL, reducing memory usage", "high", costs="Time on the bus to host memory, and host memory."
        )
    }


def _why_offloading(context: PricedContext) -> str:
    if context.estimate.fits == "no":
        return "Checkpoints go to host memory and come back: nothing fits here, and this comes nearest."
    return (
        "Checkpoints go to host memory and come back: without it the plan would not fit at this length and micro-batch."
    )


def _why_not_offloading(context: PricedContext) -> str:
    if context.device.kind != "cuda":
        return "Off: on a CPU there is no other memory to send them to."
    if context.device.unified_memory:
        return f"Off: {context.device.name}'s memory is the host's, so nothing would be saved."
    return "Off: the plan fits without sending checkpoints to host memory."


RULES = (
    Rule("micro-batch", (MICRO,), micro_batch, explain_micro_batch),
    Rule("effective batch", (ACCUMULATION,), accumulation, explain_accumulation),
    Rule("gradient checkpointing", (CHECKPOINTING,), checkpointing, explain_checkpointing),
    Rule("activation offloading", (OFFLOADING,), offloading, explain_offloading),
)
