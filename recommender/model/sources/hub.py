"""The hub's answers about a model: its config.json and facts about its files, nothing large.

Each way to fail is its own error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from presets.errors import InputError
from recommender.hub.connection import PROBE_SECONDS, endpoint, is_offline, reachable, within
from recommender.hub.errors import HubMissing, HubUnreachable, hub_errors
from recommender.model.card import base_of
from recommender.model.sources.missing_files import get_again, missing_weights

_ANSWER_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class HubModel:
    """The hub's facts about one model."""

    config: dict[str, Any]
    revision: str
    """Commit."""
    gated: bool
    parameters: int | None
    """All parameters in the safetensors files, stored copies of tied weights included; None where not counted."""
    weights_bytes: int
    base: str = ""
    """The `base_model` that its card names."""


def ask_hub(hub_id: str, cache: Path, revision: str | None = None, *, seconds: float = PROBE_SECONDS) -> HubModel:
    """Ask for a model's facts and config.json, which goes into the cache.

    Args:
        hub_id: As in 'org/name'.
        cache: The hub cache's folder.
        revision: Branch, tag or commit.
        seconds: Given to the hub to be reachable at all.

    Raises:
        HubUnreachable: No answer.
        HubRefused: Gated or private; says which, and what to do.
        HubMissing: No such model or revision, or no safetensors weights in it.
    """
    if is_offline():
        raise HubUnreachable(f"{hub_id} is not on this disk, and HF_HUB_OFFLINE says to stay off the network.")
    if not reachable(seconds):
        raise _unreachable(hub_id)
    try:
        return within(_ANSWER_SECONDS, lambda: _ask(hub_id, cache, revision))
    except TimeoutError:
        raise _unreachable(hub_id) from None


def _ask(hub_id: str, cache: Path, revision: str | None) -> HubModel:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    def unreachable(error: Exception) -> InputError:
        return _unreachable(hub_id, f"{type(error).__name__}: {error}")

    with hub_errors("model", hub_id, revision, unreachable):
        api = HfApi(endpoint=endpoint())
        info = api.model_info(hub_id, revision=revision, files_metadata=True, timeout=_ANSWER_SECONDS)
        files = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
        _check_files(hub_id, files)
        place: dict[str, Any] = {"revision": info.sha, "cache_dir": cache, "endpoint": endpoint()}
        try:
            config = _read_config(
                hub_id, Path(hf_hub_download(hub_id, "config.json", etag_timeout=_ANSWER_SECONDS, **place))
            )
        except EntryNotFoundError as error:
            raise HubMissing(
                f"{hub_id} has no config.json on the hub.", remedy="Choose a Transformers model."
            ) from error
    counted = info.safetensors.total if info.safetensors else None
    base = base_of(getattr(info.card_data, "base_model", None))
    return HubModel(config, info.sha or revision or "main", bool(info.gated), counted, _weights_bytes(files), base)


def _read_config(hub_id: str, path: Path) -> dict[str, Any]:
    """A config.json that came from the hub, or was kept in the cache from there."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HubMissing(
            f"config.json of {hub_id} came, and cannot be read as JSON.",
            remedy=f"{get_again(path.parent, path.name)} If it is so on the hub too, choose another revision.",
            detail=str(error),
        ) from error
    if not isinstance(config, dict):
        raise HubMissing(f"config.json of {hub_id} is no JSON object.", remedy="Choose another revision.")
    return config


def _check_files(hub_id: str, files: Mapping[str, int]) -> None:
    if "adapter_config.json" in files:
        also = " and a model, and Transformers would load both together" if "config.json" in files else ""
        raise HubMissing(
            f"{hub_id} holds a LoRA adapter{also or ', not a model'}.",
            remedy=f"Give its base as the model; to train on from it: hf download {hub_id} --local-dir FOLDER, then "
            "--set start_from=FOLDER.",
        )
    if "config.json" not in files:
        what = "It holds GGUF files, which are for inference. " if any(name.endswith(".gguf") for name in files) else ""
        raise HubMissing(
            f"{hub_id} has no config.json on the hub, so it is no model to tune.",
            remedy=f"{what}Choose the original model.",
        )
    if _weights_bytes(files) == 0 and not any(name.endswith(".safetensors") for name in files):
        raise HubMissing(
            f"{hub_id} has no safetensors weights on the hub; a pickle can run any code when it is loaded.",
            remedy="Look for a revision with safetensors (often refs/pr/N), or choose another model.",
        )
    if missing := missing_weights(files):
        raise HubMissing(
            f"{hub_id} is not whole on the hub: {missing}.",
            remedy="Choose another revision or another model; its author can save it again with save_pretrained.",
        )


def _weights_bytes(files: Mapping[str, int]) -> int:
    return sum(size for name, size in files.items() if name.startswith("model") and name.endswith(".safetensors"))


def _unreachable(hub_id: str, detail: str = "") -> HubUnreachable:
    return HubUnreachable(
        f"{hub_id} is not on this disk, and the hub ({urlsplit(endpoint()).hostname}) cannot be reached.",
        remedy="Give a folder with config.json, take a model of the catalogue, or try again with a network.",
        detail=detail,
    )
