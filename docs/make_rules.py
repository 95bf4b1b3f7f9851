"""Write docs/rules.md from the rules themselves: `python docs/make_rules.py [--check]`.

Values and reasons are those of one worked example; the coverage of the guides comes from docs/guides.yaml. With
--check nothing is written, and exit 1 says that the page is not current. Figures are left out of that comparison: they
move a little whenever the estimator gets better.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from recommender.config.edit import apply
from recommender.data.profile.synthetic import (synthetic_profile)
from recommender.machine.facts import Device
from recommender.model.reader import read_model
from recommender.rules.reason import Reason
from recommender.plan.types import Plan
from recommender.plan.recommend import recommend
from recommender.rules.fitting import against_no_learning, against_overfitting, against_underfitting
from recommender.rules.registry import shown
from recommender.rules.base import Rule
from recommender.rules.stages import STAGES

HERE = Path(__file__).parent
PAGE, GUIDES = HERE / "rules.md", HERE / "guides.yaml"
GIB = 2**30
CARD = Device(
    kind="cuda",
    name="The card",
    free_bytes=int(23.6 * GIB),
    total_bytes=24 * GIB,
    compute_capability=(8, 6),
    bandwidth=936e9,
    flops_bf16=71e12,
    flops_fp16=71e12,
    flops_fp32=35.6e12,
    bf16=True,
)
MODEL, ROWS, TOKENS = "llama-3.1-8b-instruct", 50_000, 200


def example(**values: object) -> Plan:
    """The plan whose values the page shows."""
    return recommend(read_model(MODEL, offline=True), CARD, synthetic_profile(ROWS, TOKENS), overrides=values)


def page(plan: Plan) -> str:
    """The whole page."""
    return "\n".join((*_head(), *_rules(plan), *_fitting(plan), *_guides(plan))) + "\n"


def _head() -> Iterator[str]:
    yield "# The rules"
    yield ""
    yield "Written by `python docs/make_rules.py` from the rules in `recommender/rules`; a test holds it current."
    yield f"The values and sentences are those of one example: {MODEL}, {ROWS:,} rows of {TOKENS} tokens, a 24 GiB"
    yield "card of compute capability 8.6. On the Plan screen they are those of your machine, model and data."
    yield ""
    yield "To change a rule, edit its functions: one decides values, one explains them where they are shown. To add one,"
    yield "write both in the module of its subject, list them as a `Rule` in that module's `RULES`, and run this program."
    yield "Confidence: *high* where the sources agree or it is arithmetic, *medium* where one measurement supports it under"
    yield "other conditions, *low* where it is a guess."
    yield ""


def _rules(plan: Plan) -> Iterator[str]:
    """The rules of the first stage, and of each other stage those that are its own."""
    first, *others = STAGES.values()
    yield from _of_stage(plan, first.rules)
    for stage in others:
        yield from (f"# Stage {stage.stage.name}", "")
        yield from _of_stage(example(stage=stage.stage.name), [each for each in stage.rules if each not in first.rules])


def _of_stage(plan: Plan, rules: Sequence[Rule]) -> Iterator[str]:
    for rule in rules:
        yield f"## {rule.name[0].upper()}{rule.name[1:]}"
        yield ""
        summary = (rule.decide.__doc__ or "").strip().splitlines()[0]
        yield f"{summary} In `{rule.decide.__module__.rpartition('.')[2]}.{rule.decide.__name__}`."
        yield ""
        for key in rule.keys:
            if key in plan.reasons:
                yield from _reason(key, plan.reasons[key])


def _reason(key: str, reason: Reason) -> Iterator[str]:
    yield f"- **`{key}`**: `{shown(reason.value)}`, confidence {reason.confidence}. {reason.why}"
    yield f"  - Source: {reason.source}."
    if reason.others:
        yield f"  - Others: {reason.others}"
    if reason.costs and reason.costs != "none":
        yield f"  - Cost: {reason.costs}"
    yield ""


def _fitting(plan: Plan) -> Iterator[str]:
    yield "## Overfitting and underfitting"
    yield ""
    yield "What to change first: the run's diagnosis says the first three, with the run's own values. In"
    yield "`recommender/rules/fitting.py`."
    long = apply(plan.config, {"training.num_train_epochs": 3, "lora.target_modules": ["q_proj", "v_proj"]})
    for title, advice in (
        ("Held-out loss rises while training loss falls", against_overfitting(plan.config)),
        ("The same after three epochs", against_overfitting(long)[:1]),
        ("Both losses stay high", against_underfitting(long)),
        ("Held-out loss still falls when the run ends", against_underfitting(plan.config, falling=True)),
        ("The training loss has not moved", against_no_learning(plan.config)),
    ):
        yield from ("", f"{title}:", "")
        for number, one in enumerate(advice, 1):
            yield f"{number}. {one.change}: {one.why[0].lower()}{one.why[1:]} ({one.source})"
    yield ""


def _guides(plan: Plan) -> Iterator[str]:
    yield "## What the guides say, line by line"
    yield ""
    yield "Four guides that people start from, every parameter and every piece of advice in them; 'ours' is the value"
    yield "for the example above."
    for guide, lines in yaml.safe_load(GUIDES.read_text(encoding="utf-8")).items():
        yield from ("", f"### {guide}", "", "| it says | where it lives | ours | where we differ, and why |")
        yield "|---|---|---|---|"
        for line in lines:
            key = line["key"]
            where = f"`{key}`" if "." in key or key in ("model", "method", "rope_scaling") else key
            yield f"| {line['say']} | {where} | {_ours(plan, key)} | {line['differ']} |"


def _ours(plan: Plan, key: str) -> str:
    return f"`{shown(plan.reasons[key].value)}`" if key in plan.reasons else ""


def without_figures(text: str) -> str:
    """Without priced lines and with every figure as '#': what must be current."""
    lines = (line for line in text.splitlines() if not line.startswith("  - Cost: "))
    return re.sub(r"\d[\d ,.]*", "#", "\n".join(lines))


def main() -> int:
    """Write the page, or check it."""
    text = page(example())
    if "--check" in sys.argv[1:]:
        return 0 if without_figures(PAGE.read_text(encoding="utf-8")) == without_figures(text) else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
