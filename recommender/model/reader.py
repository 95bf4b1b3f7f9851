"""Reader of a model by any name: a folder, a hub id, a catalogue name; or one error with a remedy."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from presets.errors import InputError
from presets.models import CatalogueModel, find_model, nearest_names
from recommender.hub.connection import is_offline
from recommender.hub.errors import HubRefused, HubUnreachable
from recommender.model.card import with_base
from recommender.model.families import spec_from_config
from recommender.model.from_anatomy import known
from recommender.model.own_code import checked_by_count
from recommender.model.sources.cache import find_cached
from recommender.model.sources.folder import read_folder
from recommender.model.sources.headers import not_here
from recommender.model.sources.hub import HubModel, ask_hub
from recommender.model.sources.missing_files import get_again
from recommender.model.spec import ModelSpec
from recommender.paths import cache_dir, expanded, model_cache_dir

CONVERTED = {"HuggingFaceTB/SmolLM2-135M-Instruct": "SmolLM2-135M-Instruct"}
"""Hub ids of models that this project makes itself where there is no hub, and their folders below `models_dir()`."""

OFFLINE = "`hf download {} config.json --local-dir FOLDER`"
"""Command that brings what planning needs of a model."""
_CATALOGUE_SECONDS = 0.5
"""Time limit of the connection to the hub where the catalogue has the facts already."""


def read_model(name: str, *, revision: str | None = None, offline: bool = False) -> ModelSpec:
    """Describe the model that `name` stands for.

    What its class is made of is filled in where that ships or was learned here before; else `needs_anatomy` says so.
    In this order: a folder, a model in the local Hugging Face cache with its weights, the hub, and where that cannot
    be reached or refuses, what the cache or the bundled catalogue knows.

    Args:
        name: A folder, a hub id such as 'org/model', or a short name of the catalogue.
        revision: Branch, tag or commit on the hub.
        offline: Stay off the network, as HF_HUB_OFFLINE also says.

    Raises:
        InputError: Nothing of that name, or nothing that can be planned with; one message for each cause.
    """
    name = name.strip()
    if not name:
        raise InputError("No model was given.", remedy="Give a folder or a hub id such as org/model.")
    folder = expanded(name)
    try:
        if folder.is_dir() and not _only_looks_like_a_folder(name, folder):
            return known(read_folder(folder.absolute(), name=name))
    except PermissionError as error:
        raise InputError(
            f"{error.filename or folder} may not be read by you.",
            remedy="Ask its owner, or copy the model to where you may read it.",
        ) from error
    if folder.is_file():
        raise InputError(f"{name} is a file, not a model folder.", remedy="Give the folder that holds config.json.")
    if is_path(name):
        raise InputError(f"There is no folder {name}.", remedy="Check the path; a hub id is like org/model.")
    return _read_by_id(name, revision, offline=offline or is_offline())


def models_dir() -> Path:
    """The folder of models that this project converted."""
    return cache_dir() / "models"


def is_path(name: str) -> bool:
    """Whether a name can only mean a folder: absolute, relative with a dot, or of more parts than a hub id has."""
    return name.startswith(("/", "./", "../", "~", ".")) or name.count("/") > 1 or "\\" in name or name.endswith("/")


def _only_looks_like_a_folder(name: str, folder: Path) -> bool:
    """Whether a folder has the name of a catalogue's or hub's model and no model in it, so that it is not meant."""
    return not is_path(name) and not (folder / "config.json").exists() and find_model(name) is not None


def _read_by_id(name: str, revision: str | None, *, offline: bool) -> ModelSpec:
    catalogued = find_model(name)
    hub_id = catalogued.hub_id if catalogued and "/" not in name else name
    if "/" not in hub_id:
        raise _unknown(name)
    return known(replace(_read_hub_id(hub_id, name, catalogued, revision, offline=offline), hub_id=hub_id))


def _read_hub_id(
    hub_id: str, name: str, model: CatalogueModel | None, revision: str | None, *, offline: bool
) -> ModelSpec:
    cached = _cached(hub_id, name, revision)
    if cached is not None and cached.has_weights:
        return cached
    catalogued = None if model is None or revision is not None else _from_catalogue(model, name)
    if offline and not is_offline() and cached is None and catalogued is not None:
        # The caller wants no network; that says nothing of whether the weights can be downloaded.
        return catalogued
    if offline:
        said = "and HF_HUB_OFFLINE says to stay off the network" if is_offline() else "and the hub was not asked"
        trouble: InputError = HubUnreachable(
            f"{hub_id} is not on this disk, {said}.",
            remedy="Unset it to go online once, or give a folder with config.json."
            if is_offline()
            else "Give a folder with config.json.",
        )
    else:
        try:
            seconds = {"seconds": _CATALOGUE_SECONDS} if model else {}
            return _from_hub(ask_hub(hub_id, model_cache_dir(), revision, **seconds), name, hub_id)
        except (HubUnreachable, HubRefused) as error:
            trouble = error
    if cached is not None:
        return replace(cached, access=_in_part(cached, name, trouble))
    if catalogued is not None:
        return replace(catalogued, access=_planned_only(trouble))
    raise _with_offers(trouble, hub_id)


def _planned_only(trouble: InputError) -> str:
    """The reason, with a remedy, why a model of the catalogue can be planned and not yet trained."""
    if isinstance(trouble, HubRefused):
        return str(trouble)
    way = "unset HF_HUB_OFFLINE once" if is_offline() else "try again with a network"
    return (
        f"{trouble.message} It is planned from its published facts; training needs its weights: {way}, or give the "
        "folder that holds them."
    )


def _in_part(cached: ModelSpec, name: str, trouble: InputError) -> str:
    """The reason, with a remedy, why the missing part of a partly cached model cannot be downloaded now."""
    assert cached.path is not None
    missing = not_here(cached.path) or "its weights are missing"
    if isinstance(trouble, HubRefused):
        return f"{name} is on this disk only in part: {missing}. {trouble}"
    return (
        f"{name} is on this disk only in part: {missing}, and the hub cannot be asked for them now "
        f"({'HF_HUB_OFFLINE is set' if is_offline() else 'it does not answer'}). Once it can: "
        f"{get_again(cached.path)}"
    )


def _cached(hub_id: str, name: str, revision: str | None) -> ModelSpec | None:
    found = find_cached(model_cache_dir(), hub_id, revision)
    if found:
        spec = read_folder(found.folder, name=name, source="cache", revision=found.commit)
        if spec.has_weights:
            return spec
    converted = CONVERTED.get(hub_id)
    if converted and revision is None and (models_dir() / converted / "config.json").exists():
        return read_folder(models_dir() / converted, name=name, source="cache")
    return spec if found else None


def _from_catalogue(model: CatalogueModel, name: str) -> ModelSpec:
    return spec_from_config(
        model.config, name, source="catalogue", origin=f"the catalogue's {model.name}", gated=model.gated
    )


def _from_hub(found: HubModel, name: str, hub_id: str) -> ModelSpec:
    """The spec from the hub's facts; its count is exact where it agrees with the configuration.

    The hub counts stored copies of tied heads and the rotary tables of old checkpoints too, so a count that is a
    little larger is the same model; the configuration's is then what Transformers will build.
    """
    spec = spec_from_config(
        found.config,
        name,
        source="hub",
        origin=f"config.json of {hub_id}",
        revision=found.revision,
        gated=found.gated,
    )
    spec = with_base(replace(spec, weights_bytes=found.weights_bytes or None), found.base)
    spec = checked_by_count(spec, found.parameters)
    if found.parameters is None or spec.quantization is not None:
        return spec
    if not spec.linears:
        return replace(spec, total_parameters=found.parameters)
    copies = spec.embedding_parameters if spec.tied else 0
    return replace(spec, parameters_exact=found.parameters in (spec.total_parameters, spec.total_parameters + copies))


def _owner(name: str) -> str:
    """The owner on the hub of catalogue models whose names begin alike; 'org' where there is none."""
    from presets.models import load_models

    start = re.match("[A-Za-z]*", name)
    makers = start[0].lower() if start else ""
    ids = [model.hub_id for model in load_models() if makers and model.name.startswith(makers)]
    return ids[-1].partition("/")[0] if ids else "org"


def _with_offers(trouble: InputError, hub_id: str) -> InputError:
    """The same error with the catalogue's nearest models, and the way to plan this one from its config.json alone."""
    if not isinstance(trouble, HubUnreachable):
        return trouble
    nearest = nearest_names(hub_id)
    near = f" Nearest in the catalogue: {', '.join(nearest)}." if nearest else ""
    return HubUnreachable(
        trouble.message,
        remedy=f"{trouble.remedy}{near} Its config.json alone is enough to plan: where there is a network, "
        f"{OFFLINE.format(hub_id)}, then give FOLDER as the model.",
        detail=trouble.detail or "",
    )


def _unknown(name: str) -> InputError:
    nearest = nearest_names(name)
    offer = f"A model of the hub is named with its owner, like {_owner(name)}/{name}."
    if nearest:
        offer += f" Nearest in the catalogue: {', '.join(nearest)}."
    offer += f" Without a network, its config.json in a folder is enough to plan: {OFFLINE.format('ORG/NAME')}."
    return InputError(f"There is no folder and no model of the catalogue called {name!r}.", remedy=offer)
