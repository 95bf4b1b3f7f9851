"""The GPUs that CUDA_VISIBLE_DEVICES leaves to this process, as set by the person or a job scheduler."""

from __future__ import annotations

import os
from collections.abc import Mapping

from recommender.machine.facts import Gpu

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(gpus: tuple[Gpu, ...], environment: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, in its order; all of them where it is not set.

    As CUDA reads it (CUDA C++ Programming Guide, "CUDA Environment Variables"): indices, or UUIDs that may be cut off;
    MIG instances by their UUID or as MIG-<GPU UUID>/<GPU instance>/<compute instance>; what follows the first unknown
    entry is ignored; empty or '-1' hides all. An index is taken in PCI order, which is CUDA's own order where all cards
    are alike or CUDA_DEVICE_ORDER=PCI_BUS_ID. A card in MIG mode, by index or UUID, stands for its instances.
    """
    text = environment.get(VARIABLE)
    if text is None:
        return gpus
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in text.split(",")):
        found = [gpu for gpu in gpus if _names(entry, gpu)]
        if not found:
            break
        chosen.extend(gpu for gpu in found if gpu not in chosen)
    return tuple(chosen)


def order_is_certain(gpus: tuple[Gpu, ...], environment: Mapping[str, str] = os.environ) -> bool:
    """Whether an index means the same card to CUDA and to NVML."""
    text = environment.get(VARIABLE, "")
    by_index = any(part.strip().isdigit() for part in text.split(","))
    alike = len({gpu.name for gpu in gpus}) <= 1
    return not by_index or alike or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"


def _names(entry: str, gpu: Gpu) -> bool:
    if entry.isdigit():
        return int(entry) == gpu.index
    card, *instance = entry.split("/")
    if instance:
        # The card's UUID may be cut off in this form too; the numbers are whole.
        known, *numbers = gpu.older_uuid.split("/")
        abbreviated = instance == numbers and len(card) > len("MIG-GPU-") and known.startswith(card)
        # A driver that calls it so itself.
        return abbreviated or gpu.uuid == entry
    return len(entry) > len("GPU-") and (gpu.uuid.startswith(entry) or gpu.card_uuid.startswith(entry))
