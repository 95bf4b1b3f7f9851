"""Reads a model from a folder on this disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.model.card import card_base, with_base
from recommender.model.families import spec_from_config
from recommender.model.own_code import checked_by_count, checked_by_weights
from recommender.model.quantised import BNB_4BIT, UNPACKED, unpacked_shapes
from recommender.model.sources.headers import Weights, not_here, read_index, read_weights, weight_files
from recommender.model.sources.missing_files import INDEX, get_again
from recommender.model.spec import ModelSpec, Source

_PICKLES = ("pytorch_model*.bin", "pytorch_model*.bin.index.json", "*.pth", "*.pt", "*.ckpt")


def read_folder(folder: Path, *, name: str, source: Source = "folder", revision: str | None = None) -> ModelSpec:
    """Describe the model in `folder`: config.json, and the safetensors headers where weights are there.

    A folder with only config.json is enough to plan.

    Raises:
        InputError: There is no config.json, it is wrong, the weights are torn, do not fit it, or are only a pickle.
    """
    config = read_config(folder)
    if (folder / "adapter_config.json").exists():
        raise _model_and_adapter(str(folder))
    origin = str(folder / "config.json")
    spec = spec_from_config(config, name, source=source, origin=origin, path=folder, revision=revision)
    if spec.held_packed and spec.unsupported:
        spec = with_base(spec, card_base(folder))
    weights = _weights(folder, source)
    if weights is None:
        _refuse_pickle(folder)
        return checked_by_count(replace(spec, weights_bytes=_promised_bytes(folder)), None)
    return with_weights(spec, weights, origin)


def read_config(folder: Path) -> dict[str, Any]:
    """Read a folder's config.json.

    Raises:
        InputError: It is not there or is no JSON object; an adapter or a GGUF file is recognised and said.
    """
    path = folder / "config.json"
    if not path.exists():
        raise _no_config(folder)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON.", remedy=get_again(folder, path.name), detail=str(error)
        ) from error
    if not isinstance(config, dict):
        raise InputError(f"{path} must hold a JSON object.", remedy=get_again(folder, path.name))
    return config


def with_weights(spec: ModelSpec, weights: Weights, origin: str) -> ModelSpec:
    """Put the exact count of the files into `spec`.

    Weights that stay quantised are packed, so their shapes do not count parameters and the computed total stays. What
    is unpacked while it is loaded counts as it is then.

    Raises:
        InputError: The files hold another model than the configuration describes, or hold it otherwise.
    """
    if spec.quantization == BNB_4BIT and not weights.packed:
        raise InputError(
            f"{origin} says {BNB_4BIT}, but its weights are not packed: no tensor is of 4-bit values.",
            remedy="Remove quantization_config from it if these are the 16-bit weights (qlora quantises them itself), "
            "or download the model again.",
        )
    spec = replace(spec, has_weights=True, weights_bytes=weights.nbytes)
    if spec.held_packed:
        return spec
    if spec.quantization in UNPACKED:
        weights = replace(weights, shapes=unpacked_shapes(weights.shapes, spec.quantization), dtype=None)
    spec = replace(spec, dtype=weights.dtype or spec.dtype)
    if spec.own_code and spec.linears:
        return checked_by_weights(spec, weights)
    counted = weights.parameters(tied=spec.tied)
    if not spec.linears:
        return replace(spec, total_parameters=counted, parameters_exact=True)
    _check_embedding(spec, weights, origin)
    if counted < spec.total_parameters:
        raise InputError(
            f"{origin} describes {spec.total_parameters:,} parameters, but the safetensors files hold {counted:,}.",
            remedy="Files are missing or belong to another model: download the model again.",
        )
    extra = counted - spec.total_parameters
    return replace(
        spec, total_parameters=counted, other_parameters=spec.other_parameters + extra, parameters_exact=True
    )


def _check_embedding(spec: ModelSpec, weights: Weights, origin: str) -> None:
    """Refuse weights whose embedding has not the configured vocabulary, as after resizing in the weights alone."""
    expected = (spec.vocab_size, spec.hidden_size)
    found = {name: shape for name, shape in weights.shapes.items() if name.endswith("embed_tokens.weight")}
    if found and expected not in found.values():
        name, shape = next(iter(found.items()))
        raise InputError(
            f"{origin} says vocab_size {expected[0]} and hidden_size {expected[1]}, but {name} is {list(shape)}.",
            remedy="Correct config.json to what the weights are, or get both from the same place.",
        )


def _weights(folder: Path, source: Source) -> Weights | None:
    """The weights' headers; None for a download in the hub cache that is not complete, which goes on later."""
    if source == "cache" and (not_here(folder) or not all(path.exists() for path in weight_files(folder))):
        return None
    return read_weights(folder)


def _promised_bytes(folder: Path) -> int | None:
    """Size of the weights in bytes as the index states it; None where it does not."""
    if not (folder / INDEX).exists():
        return None
    metadata = read_index(folder / INDEX).get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return int(size) if isinstance(size, int | float) else None


def _refuse_pickle(folder: Path) -> None:
    for pattern in _PICKLES:
        if found := next(iter(sorted(folder.glob(pattern))), None):
            raise InputError(
                f"{folder} has its weights only as a pickle ({found.name}), which can run any code when it is loaded.",
                remedy="Take a revision with safetensors, or convert it where you trust it: Transformers' "
                "save_pretrained writes safetensors.",
            )


def _base_of(folder: Path) -> str:
    """The base that an adapter names, in brackets; empty where it names none."""
    try:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        return f" ({settings['base_model_name_or_path']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _model_and_adapter(place: str) -> InputError:
    return InputError(
        f"{place} holds a model and a LoRA adapter (adapter_config.json), and Transformers would load both together.",
        remedy="Put the adapter's files into a folder of their own; to train on from it: --set start_from=FOLDER.",
    )


def _no_config(folder: Path) -> InputError:
    if (folder / "adapter" / "adapter_config.json").exists():
        folder = folder / "adapter"
    if (folder / "adapter_config.json").exists():
        return InputError(
            f"{folder} is a LoRA adapter, not a model: it has adapter_config.json and no config.json.",
            remedy=f"Give its base as the model{_base_of(folder)}; to train on from it: --set start_from={folder}.",
        )
    if next(folder.glob("*.gguf"), None):
        return InputError(
            f"{folder} holds GGUF files, which are for inference and cannot be tuned.",
            remedy="Give the original model with config.json and safetensors.",
        )
    return InputError(
        f"{folder} has no config.json, so it is not a model folder.",
        remedy="Give a folder with config.json (and safetensors files to train), or a hub id such as org/model.",
    )
