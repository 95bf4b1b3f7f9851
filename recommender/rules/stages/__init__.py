"""Rules and conflicts of each training stage, a module a stage.

May know the rules' modules; the registry and the plan's checks ask it. A stage's facts are in `recommender.stages`.
"""

from __future__ import annotations

from recommender.config.schema import FinetuneConfig
from recommender.rules.base import Rule
from recommender.rules.stages.base import StageRules
from recommender.rules.stages.sft import SFT_RULES
from recommender.stages import stage_of

__all__ = ["STAGES", "StageRules", "all_rules", "stage_rules"]

STAGES: dict[str, StageRules] = {each.stage.name: each for each in (SFT_RULES,)}
"""Name of a stage to its rules; another one is one more value here."""


def stage_rules(config: FinetuneConfig) -> StageRules:
    """Return the rules of the stage that a configuration trains."""
    return STAGES[stage_of(config).name]


def all_rules() -> tuple[Rule, ...]:
    """Return the rules of every stage, each once."""
    return tuple(dict.fromkeys(rule for each in STAGES.values() for rule in each.rules))
