"""The adapter that training starts from: its settings and base, and the configuration values fixed by it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, get_args

from presets.errors import InputError
from recommender.config.edit import value_of, with_values
from recommender.config.schema import FinetuneConfig, Lora
from recommender.data.tokens.vocabulary import chat_templates
from recommender.model.sources.fingerprint import Fingerprint
from recommender.model.sources.headers import read_entries
from recommender.model.spec import ModelSpec
from recommender.paths import expanded

SETTINGS: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
TEXT_ONLY: Final = "text-only"
"""Folder in a run's adapter that holds it under the names of the text-only class that was trained."""
BASE: Final = "base.json"
"""File beside the adapter of a run of this program: the fingerprint of the base that it was trained over."""
PREFIX: Final = "base_model.model."
KEY: Final = "start_from"
KEPT: Final = (
    *("lora.r", "lora.lora_alpha", "lora.target_modules", "lora.bias", "lora.use_rslora", "lora.use_dora"),
    *("lora.init_lora_weights", "lora.modules_to_save", "lora.rank_pattern", "lora.alpha_pattern"),
)
"""Keys fixed by the adapter; the dropout belongs to the training, not to the adapter."""
BEYOND: Final = ("layer_replication", "target_parameters", "trainable_token_indices", "lora_bias", "megatron_config")
"""Settings of PEFT's LoraConfig that change more than the layers which are priced and merged here."""
STARTS: Final = frozenset(
    name for option in get_args(Lora.model_fields["init_lora_weights"].annotation) for name in get_args(option)
)
CHANGES_THE_BASE: Final = frozenset({"corda", "lora_ga"})
"""Initialisations that subtract the adapter's start from the base and need their own data to be repeated."""
MERGE_FIRST: Final = "Merge it (PEFT's merge_and_unload), and train a new adapter on the merged model."


@dataclass(frozen=True, slots=True)
class Start:
    """A saved LoRA adapter."""

    folder: Path
    base: str
    """Name of its base, as given at its training; empty where unknown."""
    settings: Mapping[str, Any]
    """adapter_config.json."""
    modules: Mapping[str, tuple[int, int, int]]
    """Path of each adapted module to rank, input and output width."""
    whole: Mapping[str, tuple[int, ...]]
    """Name of each weight that it brings whole to its shape."""
    fingerprint: Fingerprint | None
    """Of its base, where a run of this program left it."""

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names of the adapted layers, without the path before them."""
        return tuple(dict.fromkeys(path.rpartition(".")[2] for path in self.modules))


def read_start(place: str) -> Start:
    """Read an adapter's settings and the header of its weights.

    Args:
        place: Its folder, or that of a run, whose adapter it is then.

    Raises:
        InputError: There is none, or one that cannot be gone on from here.
    """
    folder = adapter_in(expanded(place))
    if folder is None:
        raise InputError(
            f"start_from: {place} is no adapter: there is no {SETTINGS} in it.",
            remedy="Name a run that has one, or a folder with adapter_config.json and adapter_model.safetensors.",
        )
    stamps = tuple(_stamp(folder / name) for name in (SETTINGS, WEIGHTS, BASE))
    return _read(folder, stamps)


def adapter_in(folder: Path) -> Path | None:
    """The folder with the adapter: this one, or `adapter` in it, as a run has it; None where there is none."""
    return next((each for each in (folder, folder / "adapter") if (each / SETTINGS).is_file()), None)


def adopted(config: FinetuneConfig, model: ModelSpec) -> dict[str, Any]:
    """Values fixed by the adapter that training starts from, by dotted key; empty without one.

    Raises:
        InputError: There is no such adapter, it is one of another base, or it cannot be gone on from here.
    """
    if config.start_from is None:
        return {}
    if config.method == "full":
        raise InputError(
            "start_from names an adapter, and method full trains none.",
            remedy="Choose method lora or qlora; or merge the adapter and train the merged model in full.",
        )
    start = read_start(config.start_from)
    _require_base(start, model)
    _require_modules(start, model)
    return _values(start, model)


def with_start(config: FinetuneConfig, model: ModelSpec) -> FinetuneConfig:
    """Return the configuration with the values fixed by its starting adapter.

    Raises:
        InputError: As `adopted`.
    """
    return with_values(config, adopted(config, model))


def template_of_start(config: FinetuneConfig, model: ModelSpec) -> str:
    """Return a warning where the adapter was trained with another chat template than the model's own; else ''."""
    if config.start_from is None or config.data.template not in ("auto", "model") or model.path is None:
        return ""
    folder = adapter_in(expanded(config.start_from))
    before, now = (chat_templates(each).get("default") if each else None for each in (folder, model.path))
    if before is None or now is None or before == now:
        return ""
    file = folder / "chat_template.jinja" if folder else Path()
    how = f"set data.template to {file}" if file.is_file() else "give that one as data.template"
    return (
        "The adapter that training goes on from was trained with another chat template than the model's own: to go on "
        f"with it, {how}."
    )


def refuse_against_start(config: FinetuneConfig, given: Sequence[str], settled: Mapping[str, Any]) -> None:
    """Refuse values that the person set and that the adapter has otherwise.

    Raises:
        InputError: The key, and both values.
    """
    from recommender.config.io import value_text

    for key in given:
        if key in settled and _plain(value_of(config, key)) != _plain(settled[key]):
            raise InputError(
                f"{key} is {value_text(settled[key])} in the adapter that training goes on from, not "
                f"{value_text(value_of(config, key))}.",
                remedy=f"Leave {key} out, or train a new adapter: start_from=null.",
            )


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=8)
def _read(folder: Path, _stamps: tuple[tuple[int, int] | None, ...]) -> Start:
    settings = _json(folder / SETTINGS)
    kind = settings.get("peft_type")
    if str(kind).upper() != "LORA":
        raise InputError(f"start_from: {folder} is an adapter of kind {kind}, not LoRA.", remedy=MERGE_FIRST)
    if settings.get("task_type") not in (None, "CAUSAL_LM"):
        raise InputError(
            f"start_from: {folder} was trained for {settings['task_type']}, not for generating text.",
            remedy="Choose an adapter of a causal language model.",
        )
    for key in BEYOND:
        if settings.get(key):
            raise InputError(f"start_from: {folder} has {key}, which is not trained here.", remedy=MERGE_FIRST)
    if str(settings.get("init_lora_weights")).lower() in CHANGES_THE_BASE:
        raise InputError(
            f"start_from: {folder} began with {settings['init_lora_weights']}, which changed its base as well.",
            remedy=MERGE_FIRST,
        )
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"start_from: {folder} has no {WEIGHTS}.",
            remedy="Save it with PEFT's save_pretrained, which writes safetensors; nothing else is loaded here.",
        )
    modules, whole = _modules(folder)
    base = settings.get("base_model_name_or_path")
    left = _json(folder / BASE) if (folder / BASE).is_file() else {}
    return Start(folder, str(base or ""), settings, modules, whole, Fingerprint.read(left))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError(
            f"{path} cannot be read as JSON.", remedy="Get the adapter again.", detail=str(problem)
        ) from None
    if not isinstance(found, dict):
        raise InputError(f"{path} must hold a JSON object.", remedy="Get the adapter again.")
    return found


def _modules(folder: Path) -> tuple[dict[str, tuple[int, int, int]], dict[str, tuple[int, ...]]]:
    """The adapted modules and the whole weights, by the shapes in the header of the adapter's weights."""
    shapes = {name.removeprefix(PREFIX): entry.shape for name, entry in read_entries(folder / WEIGHTS).items()}
    modules: dict[str, tuple[int, int, int]] = {}
    for name, shape in shapes.items():
        path, found, _ = name.partition(".lora_A.")
        if "lora_embedding_" in name:
            layer = name.partition(".lora_embedding_")[0].rpartition(".")[2]
            raise InputError(
                f"start_from: {folder} adapts {layer}, which is outside the layers and not adapted here.",
                remedy=MERGE_FIRST,
            )
        if found:
            up = shapes.get(name.replace(".lora_A.", ".lora_B."), (0, 0))
            modules[path] = shape[0], shape[1], up[0]
    if not modules:
        raise InputError(f"start_from: {folder / WEIGHTS} holds no LoRA weights.", remedy="Get the adapter again.")
    return modules, {name: shape for name, shape in shapes.items() if ".lora_" not in name and name.endswith(".weight")}


def _require_base(start: Start, model: ModelSpec) -> None:
    """Refuse another base than the adapter was trained over: by its weights where both are known, else by name."""
    if start.fingerprint is not None and model.path is not None and model.has_weights:
        if differences := start.fingerprint.differences(Fingerprint.of(model.path)):
            how = "; ".join(differences)
            raise InputError(
                f"start_from: {start.folder} was trained over another base than {model.name}: {how}.",
                remedy=f"Set model to its base{f' ({start.base})' if start.base else ''}, as it was then.",
            )
        return
    if start.base and not set(_names(start.base)) & {
        name for each in (model.name, model.hub_id or "", str(model.path or "")) for name in _names(each)
    }:
        raise InputError(
            f"start_from: {start.folder} says that it was trained over {start.base}, and the model is {model.name}.",
            remedy=f"Set model to {start.base}. If they are the same weights under two names, write "
            f"{model.hub_id or model.path or model.name} as base_model_name_or_path into {start.folder / SETTINGS}.",
        )


def _names(name: str) -> Iterator[str]:
    """Yield the names of a base: its folder or hub id, and the last part of it, since folders move."""
    if name:
        yield name.casefold()
        yield Path(name).name.casefold()


def _require_modules(start: Start, model: ModelSpec) -> None:
    """See that every module of the adapter is one of the model's, of its width."""
    known: dict[str, list[tuple[int, int]]] = {}
    for linear in model.linears:
        known.setdefault(linear.name, []).append((linear.in_features, linear.out_features))
    for path, (_, wide, out) in start.modules.items():
        leaf = path.rpartition(".")[2]
        if known and leaf not in known:
            raise InputError(
                f"start_from: {start.folder} adapts {path}, which {model.name} has not or which is not adapted here.",
                remedy=f"Set model to its base{f' ({start.base})' if start.base else ''}. {MERGE_FIRST}",
            )
        if known and (wide, out) not in known[leaf]:
            raise InputError(
                f"start_from: {path} is {wide} to {out} wide in {start.folder}, and in {model.name} "
                f"{known[leaf][0][0]} to {known[leaf][0][1]}: it was trained over another model.",
                remedy=f"Set model to its base{f' ({start.base})' if start.base else ''}.",
            )
    trained = {str(name).rpartition(".")[2] for name in start.settings.get("modules_to_save") or ()}
    for name, shape in start.whole.items():
        if name.removesuffix(".weight").rpartition(".")[2] not in trained:
            raise InputError(
                f"start_from: {start.folder} brings {name} whole without training it (it is not among its "
                "modules_to_save), as where tokens were added.",
                remedy=MERGE_FIRST,
            )
        if name.endswith(("embed_tokens.weight", "lm_head.weight")) and shape[0] != model.vocab_size:
            raise InputError(
                f"start_from: {name} of {start.folder} has {shape[0]} rows, and the vocabulary of {model.name} has "
                f"{model.vocab_size}: tokens were added to it.",
                remedy=MERGE_FIRST,
            )


def _values(start: Start, model: ModelSpec) -> dict[str, Any]:
    """Translate the adapter's settings to keys of the configuration."""
    said, plain = start.settings, Lora()
    kinds = tuple(dict.fromkeys(linear.name for linear in model.linears))
    adapted = [kind for kind in kinds if kind in start.leaves]
    found: dict[str, Any] = {
        "lora.target_modules": "all-linear" if len(adapted) == len(kinds) else adapted or list(start.leaves)
    }
    for key in KEPT:
        name = key.removeprefix("lora.")
        if key not in found:
            value = said.get(name)
            found[key] = getattr(plain, name) if value is None else value
    if found["lora.init_lora_weights"] not in STARTS | {True, False}:
        # The initialisation of its factors does not matter any more.
        found["lora.init_lora_weights"] = True
    for key in ("lora.rank_pattern", "lora.alpha_pattern"):
        found[key] = {name: value for name, value in found[key].items() if not _idle(name, start.leaves)}
    return {key: found[key] for key in KEPT}


def _idle(pattern: str, leaves: Sequence[str]) -> bool:
    """Whether a plain pattern names a layer without an adapter."""
    return all(part.isidentifier() or part.isdigit() for part in pattern.split(".")) and (
        pattern.rpartition(".")[2] not in leaves
    )
