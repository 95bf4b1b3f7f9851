"""PEFT's `target_modules` for a set of modules: short names where they are exact, else a pattern, else all names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists

from trainer.classes.linears import kept_by_peft

_DEEPEST: Final = 5


def targets_of(model: Any, modules: Collection[str], prefix: str = "") -> list[str] | str:
    """Return `target_modules` that choose these modules and no other of a model.

    Args:
        model: What the adapter is loaded into, a Transformers model; on meta is enough.
        modules: Names of modules of it, as `named_modules` calls them.
        prefix: The text part's, where the model has other parts too: then the answer is a pattern that begins with it,
            also where short names would do.
    """
    wanted = set(modules)
    for targets in _candidates(sorted(wanted), prefix):
        if chosen_by(model, targets) == wanted:
            return targets
    return sorted(wanted)


def _candidates(modules: Sequence[str], prefix: str) -> Iterator[list[str] | str]:
    """Yield `target_modules`, the shortest first."""
    if not prefix:
        yield sorted({name.rpartition(".")[2] for name in modules})
    for depth in range(1, _DEEPEST):
        ends = {".".join(name.removeprefix(f"{prefix}.").split(".")[-depth:]) for name in modules}
        patterns = sorted({re.sub(r"(?<=\\\.)\d+(?=\\\.)", r"\\d+", re.escape(f".{end}"))[2:] for end in ends})
        start = re.escape(f"{prefix}.") if prefix else ""
        yield rf"{start}(?:.*\.)?(?:{'|'.join(patterns)})"


def chosen_by(model: Any, targets: list[str] | str) -> set[str]:
    """Return the modules of a model that PEFT would put an adapter on."""
    kept = kept_by_peft(model, targets)
    if isinstance(targets, list) and kept != set(targets):
        return set()
    config = LoraConfig(target_modules=kept if isinstance(kept, str) else set(kept))
    return {name for name, _ in model.named_modules() if name and check_target_module_exists(config, name)}
