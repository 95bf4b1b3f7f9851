"""Epochs, schedule, optimizer and its settings, seed."""

from __future__ import annotations

from math import ceil

from presets.family_rules import needed_for
from recommender.data.packing import packs
from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values
from recommender.rules.reason import Reason
from recommender.units import count, counted, gib, small

EPOCHS, MAX_STEPS = "training.num_train_epochs", "training.max_steps"
SCHEDULER, WARMUP = "training.lr_scheduler_type", "training.warmup_steps"
DECAY, CLIP = "training.weight_decay", "training.max_grad_norm"
SEED, NOISE = "training.seed", "training.neftune_noise_alpha"
OPTIM, RATIO = "training.optim", "training.loraplus_lr_ratio"
FUSED = "adamw_torch_fused"
ONE_PASS = 10_000
"""Rows from which one epoch is enough."""
TWO_PASSES = 2_000
WARMS_UP = 20
"""Steps below which 5 % of warmup would be one step, whose rate is 0."""
QLORA_CLIP = 0.3


def recommended_epochs(rows: int | None) -> int:
    """Return the epochs: one from 10 000 rows on, two from 2 000, three below."""
    if rows is None or rows >= ONE_PASS:
        return 1
    return 2 if rows >= TWO_PASSES else 3


def _beside(context: Context, rows: int) -> str:
    """Return a phrase on the rows that are held out; empty without any."""
    held = 0 if context.data is None else context.data.rows - rows
    return f" ({count(held)} more {'is' if held == 1 else 'are'} held out)" if held > 0 else ""


def epochs(context: Context) -> Values:
    """Epochs by number of rows."""
    return {EPOCHS: float(recommended_epochs(context.training_rows)), MAX_STEPS: None}


def explain_epochs(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for the passes over the rows, and for letting them decide when the run ends."""
    rows, value = context.training_rows, values[EPOCHS]
    if rows is None:
        why = "Without data, one pass."
    elif value == 1:
        why = (
            f"{count(rows)} rows are enough to learn from once; a second pass over instruction data often makes it "
            "worse."
        )
    else:
        why = (
            f"{counted(rows, 'row')} to train on{_beside(context, rows)}: {small(value)} passes give "
            f"{count(rows * value)} examples. Watch the evaluation loss for the turn."
        )
    epochs_decide = f"Epochs decide: {counted(context.steps, 'step')}." if context.steps else "Epochs decide."
    if ends := context.config.training.max_steps:
        examples = count(ends * context.all_cards.training.effective_batch_size)
        why = f"{why} max_steps decides here: the run ends after {examples} examples."
        epochs_decide = (
            f"passes over the rows say how often each is seen. So the run ends after {counted(ends, 'step')}, "
            f"{examples} examples, whatever the epochs."
        )
    return {
        EPOCHS: Reason(
            value,
            why,
            "Raschka 2023, point 5 (a second pass over 50k rows lowered the scores); Unsloth's guide: 1 to 3",
            "medium",
            others="LLaMA-Factory's newcomer recipe takes 3 whatever the size.",
            costs="Time in proportion.",
        ),
        MAX_STEPS: Reason(
            values[MAX_STEPS],
            epochs_decide,
            "Transformers, TrainingArguments",
            "high",
            others="Unsloth's notebooks stop after 60 steps, to show that it runs; the QLoRA paper took 1 875.",
            costs="none",
        ),
    }


def scheduler(context: Context) -> Values:
    """Cosine with a short warmup."""
    few = context.steps is not None and context.steps < WARMS_UP
    return {SCHEDULER: "cosine", WARMUP: 0.0 if few else 0.05}


def explain_scheduler(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for the schedule and its warmup, from the run's steps."""
    steps, warmup = context.steps, values[WARMUP]
    # Rounded up, as `TrainingArguments.get_warmup_steps` does (Transformers 5.23).
    first = f", {count(ceil(steps * warmup))} of {counted(steps, 'step')}" if steps else ""
    lost = counted(steps or 0, "step")
    return {
        SCHEDULER: Reason(
            values[SCHEDULER],
            "The rate falls to zero along a cosine: the end of the run settles, and the peak is forgiven if it is a "
            "little high.",
            "LLaMA-Factory's walk-through; Raschka 2023, point 3 (little effect on AdamW)",
            "medium",
            others="Constant in the QLoRA paper and LoRA Without Regret; linear in Unsloth's guide and TRL.",
            costs="none",
        ),
        WARMUP: Reason(
            warmup,
            f"The rate rises from 0, which the first step has, over 5 % of steps{first}, while AdamW's averages fill."
            if warmup
            else f"None: in a warmup the first step has rate 0, and 1 of {lost} would learn nothing.",
            "Unsloth's guide: 5 to 10 % of steps; Transformers, `get_cosine_schedule_with_warmup`, on the first step",
            "medium",
            others="The QLoRA paper 3 %; LLaMA-Factory none by default; Unsloth's notebooks 5 steps.",
            costs="none",
        ),
    }


def regularisation(context: Context) -> Values:
    """Weight decay, clipping, seed and noise."""
    return {
        DECAY: 0.0,
        CLIP: _clip(context),
        SEED: 42,
        NOISE: None,
    }


def _clip(context: Context) -> float:
    """Return the norm that gradients are clipped to: the model family's own, else the method's."""
    family = needed_for(context.model.model_type, mixture=context.model.num_experts > 0)
    if family is not None and family.max_grad_norm is not None and context.config.method != "full":
        return family.max_grad_norm
    return QLORA_CLIP if context.config.method == "qlora" else 1.0


def explain_regularisation(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for weight decay, clipping, seed and noise."""
    quantised = context.config.method == "qlora"
    return {
        DECAY: Reason(
            values[DECAY],
            "The adapter starts at zero and is small: decaying it pulls towards the base model, which low rank does "
            "already.",
            "Dettmers et al. 2023 (QLoRA), their scripts; Thinking Machines, LoRA Without Regret",
            "medium",
            others="Unsloth and Raschka take 0.01; the LoRA hyperparameter guide names 1.0 or 0.3 against overfitting.",
            costs="none",
        ),
        CLIP: _clipping(context, values[CLIP], quantised=quantised),
        SEED: Reason(
            values[SEED],
            "Any fixed number makes the run repeatable: the order of rows, the held-out split and the adapter's start.",
            "LoRA hyperparameter guide",
            "high",
            others="Unsloth takes 3407.",
            costs="none",
        ),
        NOISE: _noise(context, values[NOISE]),
    }


def _clipping(context: PricedContext, value: float, *, quantised: bool) -> Reason:
    """Return the reason for the clip: the family's, the QLoRA paper's or the usual one."""
    family = needed_for(context.model.model_type, mixture=context.model.num_experts > 0)
    if family is not None and value == family.max_grad_norm:
        why, source = f"Clipped early. {family.why}", family.source
    elif quantised:
        why, source = (
            "Clipped as the QLoRA paper does over its 4-bit base.",
            "Dettmers et al. 2023 (QLoRA), appendix B.2",
        )
    else:
        why, source = "The usual clip: it acts only on outliers.", "Transformers, TrainingArguments (its default)"
    others = "Transformers' and LLaMA-Factory's default is 1.0." if quantised else "The QLoRA paper takes 0.3."
    return Reason(value, why, source, "medium", others=others, costs="none")


def _noise(context: PricedContext, value: float | None) -> Reason:
    """Return the reason for no noise, with the meaning of its size where rows are packed."""
    alpha = context.config.training.neftune_noise_alpha
    why = (
        "No noise on the embeddings. What was published for it are higher scores of a judge on chat, with longer "
        "answers, least with QLoRA; the learning rate was measured without."
    )
    if alpha is not None and packs(context.config):
        length = count(context.config.data.max_length)
        why += f" It falls with the root of a sequence's length: packed into {length} tokens, a short row gets less."
    return Reason(
        value,
        why,
        "Jain et al. 2023 (NEFTune); Transformers, integrations/neftune.py",
        "medium",
        others="The paper tries 5, 10 and 15; TRL and LLaMA-Factory offer it and leave it off.",
        costs="One more copy of the embeddings' output while an adapter is trained with gradient checkpointing.",
    )


def optimizer(context: Context) -> Values:
    """AdamW, with 8-bit or paged states where memory needs it."""
    return {OPTIM: str(context.searched.get(OPTIM, FUSED)), RATIO: None}


def explain_optimizer(context: PricedContext, values: Values) -> Reasons:
    """Return the reasons for the optimizer and its states, from the price of full and of 8-bit ones."""
    ratio = context.config.training.loraplus_lr_ratio
    eight = values[OPTIM] in ("adamw_8bit", "paged_adamw_8bit")
    spared = not context.needed({OPTIM: FUSED})
    unfit = context.estimate.fits == "no"
    why = (
        "Two states a trained weight in 8 bits, paged to host memory when the card is full: "
        + (
            "the room it leaves makes a faster plan fit."
            if spared
            else "it comes nearest to fitting."
            if unfit
            else "needed to fit."
        )
        if eight
        else "AdamW in one fused kernel; two states for each trained weight, and LoRA trains few."
    )
    costs = ""
    if context.device.kind == "cuda":
        full = context.priced({OPTIM: FUSED})
        small_states = context.priced({OPTIM: "paged_adamw_8bit"})
        less = gib(max(0, full.peak.process_bytes - small_states.peak.process_bytes))
        costs = f"8-bit states {'take' if '8bit' in context.config.training.optim else 'would take'} {less} less."
    return {
        OPTIM: Reason(
            values[OPTIM],
            why,
            "Transformers' default; Dettmers et al. 2022 for 8-bit states",
            "high",
            others="Unsloth takes adamw_8bit; the QLoRA paper paged_adamw_32bit; Raschka finds SGD worth its saving "
            "only at "
            "high rank.",
            costs=costs,
        ),
        RATIO: Reason(
            values[RATIO],
            "One rate for both of the adapter's matrices: the rate was measured so."
            + (
                "" if ratio is None else f" With {small(ratio)}, B learns that many times as fast as A: lower the rate."
            ),
            "Hayou et al. 2024 (LoRA+); PEFT, create_loraplus_optimizer",
            "medium",
            others="The LoRA+ paper takes about 16, with 1 to 2 % better scores and up to twice the speed to a loss on "
            "hard tasks.",
            costs="none",
        ),
    }


RULES = (
    Rule("epochs", (EPOCHS, MAX_STEPS), epochs, explain_epochs),
    Rule("regularisation", (DECAY, CLIP, SEED, NOISE), regularisation, explain_regularisation),
    Rule("optimizer", (OPTIM, RATIO), optimizer, explain_optimizer),
)
AFTER_BATCH = (Rule("schedule", (SCHEDULER, WARMUP), scheduler, explain_scheduler),)
"""The steps that a warmup is a share of are known once the batch is."""
