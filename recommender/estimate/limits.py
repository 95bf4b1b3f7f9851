"""Inverses of the estimator: the largest values that still fit, and the smallest card that holds a plan.

What is monotonic is bisected (batch, length, rank: the property tests hold the estimator to it); models and cards are
few and differ in more than size, so each is priced. 'Fits' is a plain yes: the upper end is within free memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from presets.errors import InputError
from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.estimate.estimate import estimate
from recommender.machine.capability import AMPERE
from recommender.machine.devices import device_from_catalogue
from recommender.machine.facts import Device
from recommender.memory.learned.missing import learning
from recommender.memory.not_learned import NotLearned
from recommender.model.spec import ModelSpec
from recommender.units import count, gib

BATCH, LENGTH, RANK = "training.per_device_train_batch_size", "data.max_length", "lora.r"
NONE = "none surely fits"
MOST_ROWS, MOST_RANK = 4096, 4096
SHORTEST = 8
LEAST_WEIGHT = 0.4
"""Bytes a parameter takes at least, in 4 bits with everything else left out: larger models are not priced."""
NEAR_NEED = 0.8
"""Share of a plan's need on another card below which a card is not priced: needs differ less between cards."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a plan, one value changed at a time; None where not even the least fits."""

    largest_batch: int | None
    """Rows of a micro-batch; 4096 means that or more."""
    longest_length: int | None
    """Tokens of a row, when rows are as long as the limit, up to what the model's positions reach."""
    largest_rank: int | None
    """None in a full fine-tune as well."""
    biggest_model: str | None
    """Short name of the catalogue's model with the most parameters that fits with these settings."""
    biggest_model_parameters: int | None
    smallest_card: str | None
    """Name of the catalogue's card with the least memory that holds the plan."""
    smallest_card_bytes: int | None

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def find_limits(
    config: FinetuneConfig,
    model: ModelSpec,
    device: Device,
    data: DataProfile | None = None,
    *,
    stack: str | None = None,
) -> Limits:
    """Return all limits of a plan.

    Args:
        config: The plan.
        model: Its model.
        device: Where.
        data: Its rows: a batch is no longer than the longest of them. The longest length is asked without them.
        stack: What runs it.

    Raises:
        InputError: As `estimate`.
    """

    def fits(changes: dict[str, Any], rows: DataProfile | None = data) -> bool:
        return estimate(with_values(config, changes), model, device, rows, stack=stack).fits == "yes"

    biggest = biggest_model(config, device, data, stack)
    card = smallest_card(config, model, data, stack)
    return Limits(
        largest_batch=largest(lambda rows: fits({BATCH: rows}), 1, MOST_ROWS),
        longest_length=largest(lambda tokens: fits({LENGTH: tokens}, None), SHORTEST, reach(config, model)),
        largest_rank=None if config.method == "full" else largest(lambda r: fits({RANK: r}), 1, MOST_RANK),
        biggest_model=biggest[0] if biggest else None,
        biggest_model_parameters=biggest[1] if biggest else None,
        smallest_card=card[0] if card else None,
        smallest_card_bytes=card[1] if card else None,
    )


def told(limits: Limits) -> tuple[tuple[str, str], ...]:
    """Return each limit's label on a screen, and its value in words."""
    batch = limits.largest_batch
    card, size = limits.smallest_card, limits.smallest_card_bytes
    model, parameters = limits.biggest_model, limits.biggest_model_parameters
    # One row fits and no rank does: there is no adapter.
    no_rank = NONE if batch is None else "no adapter"
    rank = no_rank if limits.largest_rank is None else str(limits.largest_rank)
    return (
        ("largest batch", NONE if batch is None else f"{batch} or more" if batch == MOST_ROWS else str(batch)),
        ("longest length", NONE if limits.longest_length is None else count(limits.longest_length)),
        ("largest r", rank),
        ("biggest model", NONE if model is None or parameters is None else f"{model} ({count(parameters)})"),
        ("smallest card", NONE if card is None or size is None else f"{card} ({gib(size)})"),
    )


def largest(fits: Callable[[int], bool], least: int, most: int) -> int | None:
    """The largest whole number of `least` to `most` that fits, by bisection; None where `least` does not.

    Args:
        fits: True up to some number and false beyond it.
        least: The smallest that is asked about.
        most: The largest.
    """
    if not fits(least):
        return None
    low, high = least, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def reach(config: FinetuneConfig, model: ModelSpec) -> int:
    """Tokens that the model's positions reach, stretched where the plan stretches them."""
    factor = config.rope_scaling.factor if config.rope_scaling else 1.0
    return max(SHORTEST, int(model.max_position_embeddings * factor))


def biggest_model(
    config: FinetuneConfig, device: Device, data: DataProfile | None = None, stack: str | None = None
) -> tuple[str, int] | None:
    """The catalogue's model with the most parameters that fits with these settings, and its parameters.

    A model that has no such target modules, cannot be priced, or has not been learned is passed over.
    """
    from presets.models import load_models
    from recommender.model.families import spec_from_config
    from recommender.model.from_anatomy import known

    for entry in sorted(load_models(), key=lambda one: one.parameters, reverse=True):
        if entry.parameters * LEAST_WEIGHT > device.free_bytes:
            continue
        try:
            spec = known(spec_from_config(entry.config, entry.name, source="catalogue"))
            # No class is learned for a question in passing.
            with learning(None):
                fits = estimate(config, spec, device, data, stack=stack).fits
            if fits == "yes":
                return entry.name, entry.parameters
        except InputError:
            continue
    return None


def smallest_card(
    config: FinetuneConfig,
    model: ModelSpec,
    data: DataProfile | None = None,
    stack: str | None = None,
    *,
    more: int = 0,
) -> tuple[str, int] | None:
    """The catalogue's card with the least memory that holds the plan, and its marketed bytes.

    Of cards of one size the fastest in memory. Cards without bfloat16 or flash attention are passed over where the
    plan uses them.

    Args:
        config: The plan.
        model: Its model.
        data: Its rows.
        stack: What runs it.
        more: Bytes that a better estimate, such as a trace, found above this one's.
    """
    from presets.gpus import load_gpus

    needs_ampere = config.training.precision == "bf16" or config.training.attn_implementation.startswith("flash")
    least = 0.0
    for facts in sorted(load_gpus(), key=lambda card: (card.memory_bytes, -card.bandwidth)):
        if facts.memory_bytes < least or (needs_ampere and facts.compute_capability < AMPERE):
            continue
        try:
            with learning(None):
                found = estimate(config, model, device_from_catalogue(facts.name), data, stack=stack)
        except NotLearned:
            # Another kernel on that card: a question in passing is not worth learning it.
            continue
        if found.peak.most_bytes + more <= found.free_bytes:
            return facts.name, facts.memory_bytes
        least = NEAR_NEED * (found.peak.needed_bytes + more)
    return None
