"""Reads plan.json, the plan that a run was launched with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from presets.errors import InputError
from recommender.machine.facts import Device
from trainer.run.folder import RunFolder
from trainer.run.state import whole


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The keys of plan.json that running a plan needs; the others are for people and scripts."""

    device: Device
    """The device that the run was launched for."""
    predicted_bytes: int | None
    """Estimated peak of the process; None in a file without an estimate."""
    checkpoint_bytes: int
    """Estimated bytes of one checkpoint; 0 in a file without an estimate."""


def read_plan(folder: RunFolder) -> PlanFile:
    """Read a run's plan.json and validate the keys that are used.

    Raises:
        InputError: The file is missing or torn, or its device was written by a version with other fields.
    """
    try:
        raw = json.loads(folder.plan.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("it holds no JSON object")
        device = _device(raw.get("device"))
    except (OSError, ValueError) as problem:
        raise InputError(
            f"{folder.plan} does not say which device {folder.id} is for: {problem}.",
            remedy=f"Train {folder.config} anew.",
        ) from None
    estimate = _mapping(raw.get("estimate"))
    return PlanFile(
        device=device,
        predicted_bytes=whole(_mapping(estimate.get("peak")).get("process_bytes")),
        checkpoint_bytes=whole(estimate.get("checkpoint_bytes")) or 0,
    )


def read_device(folder: RunFolder) -> Device:
    """Return the device that a run was launched for.

    Raises:
        InputError: As `read_plan`.
    """
    return read_plan(folder).device


def read_devices(folder: RunFolder, device: Device) -> tuple[Device, ...]:
    """Return the devices that a run was launched for, one for each of its ranks where they are GPUs.

    Args:
        folder: The run.
        device: The only one of a run whose plan.json names no others.

    Raises:
        InputError: As `read_plan`, for a device among them.
    """
    try:
        raw = _mapping(json.loads(folder.plan.read_text(encoding="utf-8"))).get("devices")
        return tuple(map(_device, raw)) if isinstance(raw, list) and raw else (device,)
    except OSError:
        return (device,)
    except ValueError as problem:
        raise InputError(
            f"{folder.plan} does not say which devices {folder.id} is for: {problem}.",
            remedy=f"Train {folder.config} anew.",
        ) from None


def _device(raw: object) -> Device:
    """Build a Device from its JSON form; raises ValueError naming the first field that is missing, unknown or wrong."""
    if not isinstance(raw, dict):
        raise ValueError("it has no device")
    kinds = get_type_hints(Device)
    if unknown := sorted(set(raw) - set(kinds)):
        raise ValueError(f"its device has {unknown[0]}, which this version does not know")
    required = [field.name for field in fields(Device) if field.default is MISSING]
    if missing := [name for name in required if name not in raw]:
        raise ValueError(f"its device has no {missing[0]}")
    if wrong := [name for name, value in raw.items() if not _is_of(value, kinds[name])]:
        raise ValueError(f"its device's {wrong[0]} cannot be {json.dumps(raw[wrong[0]])[:40]}")
    capability = raw.get("compute_capability")
    return Device(**{**raw, "compute_capability": tuple(capability) if capability else None})


def _is_of(value: object, kind: Any) -> bool:
    """Return whether a JSON value has an annotated type; a tuple is an array, and an integer also a float."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_is_of(value, one) for one in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return (
            isinstance(value, list)
            and len(value) == len(arguments)
            and all(_is_of(one, wanted) for one, wanted in zip(value, arguments, strict=True))
        )
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
