"""One measured worst step beside its prediction, kept for this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.errors import InputError
from recommender.paths import state_dir
from recommender.units import gib
from trainer.checks import Subject, measure_worst_step
from trainer.runfolder import append_line

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was predicted and what was measured."""

    device: str
    driver: str | None
    torch: str | None
    model: str
    method: str
    predicted_bytes: int
    measured: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    def sentence(self) -> str:
        """The outcome for a person."""
        peak = int(self.measured.get("process_bytes") or 0)
        off = (self.predicted_bytes - peak) / peak if peak else 0.0
        return (
            f"{self.model} ({self.method}) on {self.device}: measured {gib(peak)}, predicted "
            f"{gib(self.predicted_bytes)} ({off * 100:+.0f} %)"
        )


def measure(config: FinetuneConfig, runs: Path, *, note: Callable[[str], None]) -> Calibration:
    """Run the worst step on this machine's device and keep the outcome in the state folder's calibration.jsonl.

    Args:
        config: What to measure.
        runs: Folder of runs, for its disk.
        note: Told what is being done.

    Raises:
        InputError: The weights are not here. NoError: The step failed.
    """
    from recommender.data.load import profile_data
    from recommender.estimate import estimate
    from recommender.machine.devices import default_device
    from recommender.machine.probe import probe
    from recommender.model.reader import read_model

    machine = probe(runs)
    device = default_device(machine)
    spec = read_model(config.model, revision=config.revision)
    if not spec.has_weights:
        raise InputError(
            f"{spec.name} has no weights here.", remedy="Download it first; measuring needs the real model."
        )
    dataset = profile_data(config.data, model=spec)
    price = estimate(config, spec, device, dataset.profile)
    note(f"one worst-case step of {spec.name} on {device.name} …")
    measured = measure_worst_step(Subject(config, device, spec, dataset, price, runs, lambda: False))
    outcome = Calibration(
        device.name,
        machine.software.driver,
        machine.software.versions.get("torch"),
        spec.name,
        config.method,
        price.peak.process_bytes,
        measured or {},
    )
    state_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    append_line(state_dir() / "calibration.jsonl", {"t": time.time(), **outcome.document()})
    return outcome
