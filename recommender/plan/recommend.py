"""From facts to a plan: rules decide, the search finds what fits and is fastest, and every value gets its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from presets.errors import InputError
from recommender.config.edit import apply, flatten, known_key, owner, value_of, with_followers, with_values
from recommender.config.schema import Data, FinetuneConfig, Goal, Quantization
from recommender.data.profile.profile import DataProfile
from recommender.estimate.pricer import Pricer, centred, pricer
from recommender.estimate.types import Estimate
from recommender.machine.facts import Device
from recommender.model.spec import ModelSpec
from recommender.plan.conflicts import refuse_contradictions, refuse_start
from recommender.plan.document import plain, plan_document
from recommender.plan.remedies import remedies
from recommender.plan.search import RANK, SEARCHED, Candidate, Space, search
from recommender.plan.starting_adapter import adopted, refuse_against_start
from recommender.plan.tradeoffs import gains, gives_up
from recommender.plan.types import Alternative, Plan
from recommender.plan.warnings import warnings_of
from recommender.rules.base import Context
from recommender.rules.batch import per_card
from recommender.rules.registry import decide, explain

if TYPE_CHECKING:
    from recommender.machine.facts import Machine

GOALS: tuple[Goal, ...] = get_args(Goal)


def as_goal(name: str) -> Goal:
    """The goal of this name.

    Raises:
        InputError: there is none; the nearest is offered.
    """
    for goal in GOALS:
        if goal == name:
            return goal
    near = get_close_matches(name, GOALS, n=1, cutoff=0.4)
    raise InputError(
        f"There is no goal '{name}'.",
        remedy=f"Did you mean {near[0]}?" if near else f"Goals are {', '.join(GOALS)}.",
    )


@dataclass(frozen=True, slots=True)
class Question:
    """What a plan is asked for."""

    model: ModelSpec
    device: Device
    data: DataProfile | None
    goal: Goal
    start: FinetuneConfig
    """The person's values over the schema's defaults."""
    given: Mapping[str, Any]
    """Dotted key to value that the person set."""
    price: Pricer
    settled: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key to what the adapter settles that training goes on from."""

    @property
    def fixed(self) -> Mapping[str, Any]:
        """What is not decided here: the person's values, and those of the adapter."""
        return {**self.given, **self.settled}

    def context(self, searched: Mapping[str, Any]) -> Context:
        """What the rules see before anything is decided."""
        return Context(self.model, self.device, self.data, self.goal, self.start, self.price, searched, self.fixed)


def recommend(
    model: ModelSpec,
    device: Device,
    data: DataProfile | None,
    *,
    goal: Goal = "balanced",
    overrides: Mapping[str, Any] | None = None,
    data_config: Data | None = None,
    model_name: str | None = None,
) -> Plan:
    """The best plan for a goal, with its reasons, and the best for every other goal beside it.

    Args:
        model: What is tuned.
        device: Where.
        data: Its token lengths; None when no data is known yet.
        goal: What matters most.
        overrides: Dotted (or unique short) key to value that the person set; the rest is derived around them.
        data_config: The data section as the Data screen or the command line made it: files, format, columns.
        model_name: What the configuration calls the model; its folder or its name when None.

    Raises:
        InputError: a model that cannot be priced or trained; an override that its key cannot take, or that
            contradicts another or the device.
    """
    question, best, searched, otherwise = _advice(model, device, data, goal, overrides or {}, data_config, model_name)
    return _plan(question, best, searched, _others(question, best), otherwise)


def _advice(
    model: ModelSpec,
    device: Device,
    data: DataProfile | None,
    goal: Goal,
    overrides: Mapping[str, Any],
    data_config: Data | None,
    model_name: str | None,
) -> tuple[Question, Candidate, dict[str, Any], dict[str, Any]]:
    """The question as it was asked, the best candidate, what the search found, and what keys without a rule hold."""
    model.require_supported()
    price = pricer(model, device, data)
    given = {known_key(key): value for key, value in overrides.items()}
    bare = FinetuneConfig(
        model=model_name or _name(model),
        revision=model.revision,
        method="qlora",
        quantization=Quantization(bits=4),
        data=data_config or Data(),
    )
    question = _ask(model, device, data, goal, bare, given, price)
    best = answer(question)
    unbound = best
    if any(key in SEARCHED for key in question.given):
        free = {key: value for key, value in given.items() if key not in SEARCHED}
        unbound = answer(_ask(model, device, data, goal, bare, free, price))
    searched = {**best.searched, **{key: value for key, value in unbound.searched.items() if key in question.given}}
    return question, best.candidate, searched, flatten(bare)


def alternatives(plan: Plan) -> tuple[Alternative, ...]:
    """The best for every other goal, around the values that the person has set by now, beside the plan as it is now.

    The others are priced by the formula, so the plan is compared by it too, even where it was traced.
    """
    price = pricer(plan.model, plan.device, plan.data)
    question = _ask(plan.model, plan.device, plan.data, plan.goal, plan.config, plan.overrides, price)
    return _others(question, Candidate(plan.config, price(plan.config)))


def _others(question: Question, best: Candidate) -> tuple[Alternative, ...]:
    found = []
    for goal in GOALS:
        if goal != question.goal:
            other = answer(replace(question, goal=goal)).candidate
            lost, gained = gives_up(best, other, question.data), gains(best, other, question.data)
            found.append(Alternative(goal, other.config, other.estimate, lost, gained))
    return tuple(found)


def replan(plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Plan:
    """The plan after an edit: priced again, and what depends on it derived again. The search is not repeated.

    The alternatives are left out, since each takes a search: `alternatives` works them out when they are asked for.

    Args:
        plan: The plan on the screen.
        changes: Dotted (or short) key to the person's new value.
        without: Keys whose own value is dropped: they go back to what is recommended.

    Raises:
        InputError: as `recommend`.
    """
    given, back, _ = _edited(plan, changes, without)
    price = pricer(plan.model, plan.device, plan.data)
    question = _ask(plan.model, plan.device, plan.data, plan.goal, apply(plan.config, back), given, price)
    kept = {key: value_of(question.start, key) if key in SEARCHED else value for key, value in plan.searched.items()}
    config = decide(question.context(kept), question.fixed)
    return _plan(question, Candidate(config, price(config)), plan.searched, (), plan.recommended)


def with_estimate(plan: Plan, estimate: Estimate) -> Plan:
    """The plan with another estimate of its configuration, and with what follows from one: remedies, warnings, reasons.

    What a change would need is then as far from the formula as the plan itself. The alternatives stay the formula's.

    Args:
        plan: As it was priced.
        estimate: Of the same configuration, such as a trace gives.
    """
    price = centred(pricer(plan.model, plan.device, plan.data), plan.config, estimate)
    question = _ask(plan.model, plan.device, plan.data, plan.goal, plan.config, plan.overrides, price)
    return _plan(question, Candidate(plan.config, estimate), plan.searched, plan.alternatives, plan.recommended)


def amended(plan: Plan, changes: Mapping[str, Any], without: Iterable[str] = ()) -> Plan:
    """A plan that is out of date, with an edit for the one that takes its place: nothing is priced or derived.

    Args:
        plan: Made for a device, a model or data that are no longer chosen.
        changes: As for `replan`.
        without: As for `replan`.

    Raises:
        InputError: a value that its key cannot take.
    """
    given, back, new = _edited(plan, changes, without)
    return replace(plan, config=apply(plan.config, back | new), overrides=given)


def _edited(
    plan: Plan, changes: Mapping[str, Any], without: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The person's values after an edit, the recommended ones that come back, and the new ones."""
    dropped = {owner(known_key(key)) for key in without}
    dropped |= {"method", "quantization.bits"} if dropped & {"method", "quantization.bits"} else set()
    new = with_followers(plan.config, {known_key(key): value for key, value in changes.items()})
    given = {key: value for key, value in plan.overrides.items() if key not in dropped} | new
    back = {key: plan.recommended[key] for key in dropped if key in plan.recommended}
    return given, back, new


def plan_of(config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None) -> Plan:
    """The plan that a person's own configuration is: priced, with what differs from the recommendation told as theirs.

    Raises:
        InputError: it asks for what the device or the model cannot do.
    """
    advised, best, searched, otherwise = _advice(model, device, data, "balanced", {}, config.data, config.model)
    recommended = _plan(advised, best, searched, (), otherwise).recommended
    ours = flatten(best.config)
    theirs = {key: value for key, value in flatten(config).items() if key not in ours or ours[key] != value}
    question = _ask(model, device, data, advised.goal, config, theirs, advised.price)
    return _plan(question, Candidate(config, advised.price(config)), searched, (), recommended)


@dataclass(frozen=True, slots=True)
class Answer:
    """The best candidate for a question, and what the search found for it."""

    candidate: Candidate
    searched: Mapping[str, Any]
    """Dotted key to value: every key of `SEARCHED`, and the rank where it was lowered."""


def answer(question: Question) -> Answer:
    """Decide, search, and decide again what depends on the search."""
    first = decide(question.context({}), question.fixed)
    effective = per_card(replace(question.context({}), config=first))
    if {"training.per_device_train_batch_size", "training.gradient_accumulation_steps"} <= set(question.given):
        effective = first.training.effective_batch_size
    space = Space(
        question.model, question.device, question.data, question.goal, first, question.fixed, question.price, effective
    )
    found = search(space)
    searched = {key: value_of(found.config, key) for key in SEARCHED}
    if found.config.lora.r != first.lora.r:
        searched[RANK] = found.config.lora.r
    config = decide(question.context(searched), question.fixed)
    return Answer(Candidate(config, question.price(config)), searched)


def _ask(
    model: ModelSpec,
    device: Device,
    data: DataProfile | None,
    goal: Goal,
    bare: FinetuneConfig,
    given: Mapping[str, Any],
    price: Pricer,
) -> Question:
    start = apply(bare, given)
    complete = {name: plain(value_of(start, name)) for name in map(owner, with_followers(bare, given))}
    settled = adopted(start, model)
    refuse_against_start(start, tuple(complete), settled)
    start = with_values(start, settled)
    complete = {key: value for key, value in complete.items() if key not in settled}
    refuse_contradictions(start, complete, model, device)
    return Question(model, device, data, goal, start, complete, price, settled)


def _plan(
    question: Question,
    best: Candidate,
    searched: Mapping[str, Any],
    alternatives: tuple[Alternative, ...],
    otherwise: Mapping[str, Any],
) -> Plan:
    """Explain a priced configuration; `otherwise` holds what a key without a rule goes back to."""
    config, estimate = best.config, best.estimate
    refuse_start(config, question.model, question.device)
    context = replace(question.context(searched), config=config, estimate=estimate)
    reasons, recommended = explain(context, question.given, question.settled)
    offered = (
        ()
        if estimate.fits == "yes"
        else remedies(config, question.model, question.device, question.data, estimate, price=question.price)
    )
    return Plan(
        goal=question.goal,
        config=config,
        estimate=estimate,
        reasons=reasons,
        alternatives=alternatives,
        remedies=offered,
        warnings=warnings_of(config, question.model, question.device, question.data, estimate, offered),
        device=question.device,
        model=question.model,
        data=question.data,
        overrides=dict(question.given),
        recommended={**otherwise, **recommended},
        searched=dict(searched),
    )


def _name(model: ModelSpec) -> str:
    """What a configuration calls the model: its folder's full path, its name on the hub, or the name it was given."""
    if model.source == "folder" and model.path is not None:
        return str(model.path.absolute())
    return model.hub_id or model.name


def document(plan: Plan, machine: Machine | None) -> dict[str, Any]:
    """The JSON document of `recommend --json` (DESIGN section 6); an edited plan's alternatives are worked out."""
    whole = plan if plan.alternatives else replace(plan, alternatives=alternatives(plan))
    return plan_document(whole, machine)


def launch_document(
    config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None, machine: Machine | None = None
) -> dict[str, Any]:
    """What a run keeps as plan.json when it was started from a configuration file."""
    return document(plan_of(config, model, device, data), machine)
