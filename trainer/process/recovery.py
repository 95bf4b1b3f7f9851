"""Recovery from out-of-memory: the least harmful change that lets the run go on from its last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from presets.errors import WizardError
from recommender.machine.facts import Device
from trainer.run.folder import RunFolder, write_atomically

MOST_RECOVERIES: Final = 4
"""Restarts after an out-of-memory by one supervisor: more means that something else takes the memory."""
HARMLESS: Final[frozenset[str]] = frozenset(
    {
        "training.per_device_train_batch_size",
        "training.gradient_accumulation_steps",
        "training.gradient_checkpointing",
        "training.activation_offloading",
    }
)
"""Keys that may be changed without asking: what is learned stays the same, up to rounding. The length, the rank, the
quantisation and the optimizer (whose saved states another one could not read) are the person's to change."""
MARGIN: Final = 0.9
"""A plan that ran out of memory is taken to have needed more than the device has; the next must need a tenth less."""
VMSTAT: Final = Path("/proc/vmstat")


@dataclass(frozen=True, slots=True)
class Recovery:
    """A change of the configuration before the worker starts again."""

    label: str
    """Such as 'batch 4×4 → 2×8'."""
    before: Mapping[str, Any]
    """Dotted key to value."""
    after: Mapping[str, Any]

    def apply(self, folder: RunFolder) -> None:
        """Write it into config.effective.yaml.

        Raises:
            OSError: The disk is full.
        """
        from recommender.config.edit import apply
        from recommender.config.io import dump_config, load_config

        changed = apply(load_config(folder.effective_config), self.after)
        write_atomically(folder.effective_config, dump_config(changed))


def find_recovery(folder: RunFolder, device: Device) -> Recovery | None:
    """The least harmful change after which the estimator sees clearly less memory; None where none is left.

    The estimator had said that the plan fits, so it is not asked for the truth but for the difference: the device is
    taken to have a tenth less than what it predicts for the plan that failed.

    Args:
        folder: The run; config.effective.yaml is what failed.
        device: What it ran on.
    """
    from recommender.config.edit import value_of
    from recommender.config.io import load_config
    from recommender.estimate.estimate import estimate
    from recommender.estimate.pricer import pricer
    from recommender.model.reader import read_model
    from recommender.plan.remedies import Candidate, changes_of

    try:
        config = load_config(folder.effective_config)
        spec = read_model(config.model, revision=config.revision)
        failed = estimate(config, spec, device)
        smaller = replace(device, free_bytes=min(device.free_bytes, round(failed.peak.most_bytes * MARGIN)))
        price = pricer(spec, smaller, None)
        candidate = Candidate(config, spec, smaller, None, estimate(config, spec, smaller), price)
        for change in changes_of(candidate):
            if set(change.changes) <= HARMLESS:
                before = {key: value_of(config, key) for key in change.changes}
                return Recovery(change.label, before, dict(change.changes))
    except (WizardError, OSError, ValueError, KeyError, TypeError):
        return None
    return None


def half_the_rate(folder: RunFolder) -> Recovery | None:
    """Half the learning rate from the last checkpoint on."""
    from recommender.config.io import load_config, number_text

    try:
        rate = float(load_config(folder.effective_config).training.learning_rate)
    except WizardError:
        return None
    key = "training.learning_rate"
    label = f"learning_rate {number_text(rate)} → {number_text(rate / 2)}"
    return Recovery(label, {key: rate}, {key: rate / 2})


def out_of_memory_remedy(folder: RunFolder, device: Device) -> str:
    """The remedies left to a person once no harmless one is, with the estimator's figure of what each saves."""
    from recommender.config.io import load_config
    from recommender.estimate.estimate import estimate
    from recommender.model.reader import read_model
    from recommender.plan.remedies import remedies
    from recommender.units import gib

    general = "A smaller batch and gradient checkpointing are in use already; shorter rows (data.max_length) need less."
    try:
        config = load_config(folder.effective_config)
        spec = read_model(config.model, revision=config.revision)
        found = remedies(config, spec, device, None, estimate(config, spec, device))
    except (WizardError, OSError, ValueError, KeyError, TypeError):
        return general
    left = [remedy for remedy in found if not set(remedy.changes) <= HARMLESS]
    if not left:
        return general
    return f"{general} {left[0].label} saves {gib(left[0].saves_bytes)}; {left[0].costs}."


def kernel_kills(vmstat: Path = VMSTAT) -> int:
    """Processes that the kernel has killed for memory since boot, in any control group (vmstat's `oom_kill`)."""
    try:
        lines = vmstat.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
