"""Asks the Hugging Face hub about a model: its config.json and what its files are, nothing large.

The hub library is imported only here, and only when a question is asked. Each way to fail is its own error.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from presets.errors import InputError
from recommender.model.sources.missing_files import get_again, missing_weights

T = TypeVar("T")

_TRUE = {"1", "ON", "YES", "TRUE"}
_ANSWER_SECONDS = 8.0
_PROBE_SECONDS = 3.0


class HubUnreachable(InputError):
    """The hub did not answer, or this machine is told to stay offline."""


class HubRefused(InputError):
    """The hub has the model and does not give it to this person: its licence must be accepted, or a token is needed."""


class HubMissing(InputError):
    """The hub has no such model, revision or usable files."""


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


def is_offline(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether HF_HUB_OFFLINE (or Transformers' TRANSFORMERS_OFFLINE) tells to stay off the network."""
    return any(environment.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def endpoint(environment: Mapping[str, str] = os.environ) -> str:
    """The hub's address: HF_ENDPOINT, else huggingface.co."""
    return (environment.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def reachable(seconds: float = _PROBE_SECONDS) -> bool:
    """Whether something listens at the hub's address, or at the proxy that leads there, within `seconds`."""
    if is_offline():
        return False
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(endpoint())
    proxy = getproxies().get(parts.scheme)
    if proxy and parts.hostname and not proxy_bypass(parts.hostname):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))

    def connect() -> bool:
        try:
            socket.create_connection(address, timeout=seconds).close()
        except OSError:
            return False
        return True

    try:
        # A name that nobody resolves blocks for longer than any socket's own limit.
        return _within(seconds, connect)
    except TimeoutError:
        return False


def ask_hub(hub_id: str, cache: Path, revision: str | None = None, *, seconds: float = _PROBE_SECONDS) -> HubModel:
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
        return _within(_ANSWER_SECONDS, lambda: _ask(hub_id, cache, revision))
    except TimeoutError:
        raise _unreachable(hub_id) from None


def _ask(hub_id: str, cache: Path, revision: str | None) -> HubModel:
    from huggingface_hub import HfApi, get_token, hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        api = HfApi(endpoint=endpoint())
        info = api.model_info(hub_id, revision=revision, files_metadata=True, timeout=_ANSWER_SECONDS)
        files = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
        _check_files(hub_id, files)
        path = hf_hub_download(
            hub_id, "config.json", revision=info.sha, cache_dir=cache, endpoint=endpoint(), etag_timeout=_ANSWER_SECONDS
        )
        config = _read_config(hub_id, Path(path))
    except GatedRepoError as error:
        raise _gated(hub_id, get_token() is not None) from error
    except RevisionNotFoundError as error:
        raise HubMissing(
            f"{hub_id} has no revision {revision!r} on the hub.", remedy="Leave it out for main."
        ) from error
    except RepositoryNotFoundError as error:
        raise _missing(hub_id, get_token() is not None) from error
    except HFValidationError as error:
        raise HubMissing(
            f"{hub_id!r} is no hub id.",
            remedy="A hub id is like org/model; a folder is like ./model.",
            detail=str(error),
        ) from error
    except EntryNotFoundError as error:
        raise HubMissing(f"{hub_id} has no config.json on the hub.", remedy="Choose a Transformers model.") from error
    except InputError:
        raise
    except Exception as error:
        # The transport's own errors change with the hub library's version; what they mean here does not.
        raise _unreachable(hub_id, f"{type(error).__name__}: {error}") from error
    counted = info.safetensors.total if info.safetensors else None
    return HubModel(config, info.sha or revision or "main", bool(info.gated), counted, _weights_bytes(files))


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


def _gated(hub_id: str, has_token: bool) -> HubRefused:
    page = f"{endpoint()}/{hub_id}"
    if has_token:
        return HubRefused(
            f"{hub_id} is gated, and your token has not been given access.",
            remedy=f"Accept its licence at {page} with the account of that token, then try again.",
        )
    return HubRefused(
        f"{hub_id} is gated, and there is no token on this machine.",
        remedy=f"Accept its licence at {page}, then run 'hf auth login' or set HF_TOKEN.",
    )


def _missing(hub_id: str, has_token: bool) -> HubMissing:
    private = "and your token sees no private one" if has_token else "or it is private and there is no token here"
    return HubMissing(
        f"There is no model {hub_id} on the hub, {private}.",
        remedy="Check the spelling; for a private model run 'hf auth login' or set HF_TOKEN.",
    )


def _unreachable(hub_id: str, detail: str = "") -> HubUnreachable:
    return HubUnreachable(
        f"{hub_id} is not on this disk, and the hub ({urlsplit(endpoint()).hostname}) cannot be reached.",
        remedy="Give a folder with config.json, take a model of the catalogue, or try again with a network.",
        detail=detail,
    )


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Run `work` in a thread that is left behind when it takes longer.

    Raises:
        TimeoutError: It took longer than `seconds`.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True, name="hub")
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError
    return results[0]
