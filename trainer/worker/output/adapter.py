"""Saves an adapter for the class that people serve, and beside it for the class that was trained, where it is another.

`adapter/` is written for the class that config.json's `architectures` names. Where a text-only class was trained,
`adapter/text-only/` holds the same weights under that class's names: PEFT loads neither into the other's class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from presets.errors import InputError
from recommender.plan.starting_adapter import TEXT_ONLY, WEIGHTS
from trainer.classes.build import text_prefix
from trainer.classes.choose import Classes, classes_of
from trainer.classes.linears import LOW_RANK
from trainer.classes.names import published_names, renamed, served_skeleton, trained_to_served
from trainer.classes.targets import chosen_by, targets_of
from trainer.worker.setup.experts.modules import fused_modules

PREFIX: Final = "base_model.model."
SETTINGS: Final = "adapter_config.json"


def save_adapter(
    model: Any, into: Path, base: Path, *, own_code: bool = False, gathered: Mapping[str, Any] | None = None
) -> None:
    """Write a trained adapter, as the module's first words say.

    Args:
        model: PEFT's, over the trained class.
        into: A folder; it is made.
        base: The folder of the base's repository.
        own_code: Whether the class is the repository's own: then there is no other class.
        gathered: Its trained weights by name, where the model has shards of them.

    Raises:
        InputError: A weight has no name in the served class; then `into` holds the adapter under the trained class's.
    """
    # The vocabulary is never resized; finding that out by itself, PEFT would ask the hub.
    model.save_pretrained(str(into), state_dict=gathered, save_embedding_layers=False)
    if own_code:
        return
    classes = classes_of(AutoConfig.from_pretrained(str(base)))
    weights, settings = load_file(str(into / WEIGHTS)), into / SETTINGS
    if classes.text_only:
        weights = for_served(weights, served_names(classes, base))
        (into / TEXT_ONLY).mkdir(exist_ok=True)
        for name in (WEIGHTS, SETTINGS):
            (into / name).replace(into / TEXT_ONLY / name)
        save_file(weights, str(into / WEIGHTS), metadata={"format": "pt"})
        settings = into / TEXT_ONLY / SETTINGS
    document = json.loads(settings.read_text(encoding="utf-8"))
    document["target_modules"] = _targets(served_skeleton(classes), weights, document)
    (into / SETTINGS).write_text(json.dumps(document, indent=2, sort_keys=True), encoding="utf-8")


def refusal_of_served(model: Any, base: Path, *, own_code: bool = False) -> InputError | None:
    """Return why an adapter cannot be written for the class that is served; None where it can: asked before training.

    Args:
        model: PEFT's, over the trained class.
        base: The folder of the base's repository.
        own_code: Whether the class is the repository's own.
    """
    if own_code:
        return None
    classes = classes_of(AutoConfig.from_pretrained(str(base)))
    if not classes.text_only:
        return None
    try:
        for_served(get_peft_model_state_dict(model, save_embedding_layers=False), served_names(classes, base))
    except InputError as problem:
        return problem
    return None


def served_names(classes: Classes, base: Path) -> Mapping[str, str]:
    """Map the trained class's parameters to the served class's names, by the repository's files.

    Args:
        classes: Of the base.
        base: Its folder.
    """
    return trained_to_served(classes, published_names(base))


def for_served(weights: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return an adapter's weights under the served class's names.

    Args:
        weights: By PEFT's names for the trained class.
        parameters: Of `served_names`.

    Raises:
        InputError: One has no name there, or two would have the same.
    """
    found = {name: renamed(name.removeprefix(PREFIX), parameters) for name in weights}
    if lost := sorted(name for name, other in found.items() if other is None):
        raise InputError(
            f"{lost[0]} has no counterpart in the class that is served ({len(lost)} weights in all).",
            remedy="`lora-wizard export RUN --to merged` makes a model that needs no names.",
        )
    if len(set(found.values())) < len(found):
        raise InputError("Two weights of the adapter would have one name in the class that is served.")
    return {f"{PREFIX}{found[name]}": tensor for name, tensor in weights.items()}


def adapter_for_trained(adapter: Path) -> Path:
    """Return the folder of an adapter's weights under the names of the class that is trained."""
    inner = adapter / TEXT_ONLY
    return inner if (inner / SETTINGS).is_file() else adapter


def _targets(served: Any, weights: Mapping[str, Any], document: Mapping[str, Any]) -> list[str] | str | None:
    """Return `target_modules` that choose the adapted modules of the served class and no other."""
    short = {name.removeprefix(PREFIX) for name in weights}
    modules = {name.removesuffix(end) for name in short for end in LOW_RANK if name.endswith(end)}
    inside = {name for name, _ in served.named_modules()}
    # Adapted parameters (a mixture's experts) are named by `target_parameters`, not their modules.
    experts = {name for name, _ in fused_modules(served)} if document.get("target_parameters") else set()
    wanted = {name for name in modules if name in inside and name not in experts}
    now = document.get("target_modules")
    if not wanted or (isinstance(now, str | list) and now and chosen_by(served, now) == wanted):
        return now
    return targets_of(served, wanted, text_prefix(served))
