"""Rules about learning of each training stage: what a rule takes for plain depends on what the loss is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trainer.diagnosis import learning
from trainer.diagnosis.finding import Rule

LEARNING: Final[Mapping[str, Sequence[Rule]]] = {"sft": learning.RULES}
"""Name of a stage to its rules, the gravest first; another stage is one more value here."""
