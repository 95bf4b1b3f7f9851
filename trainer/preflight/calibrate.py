"""One measured worst step beside its prediction, kept for this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.errors import InputError
from recommender.paths import state_dir
from recommender.units import gib
from trainer.run.folder import append_line

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.data.profile.profile import DataProfile
    from recommender.machine.facts import Device
    from recommender.memory.measured import Measurement
    from recommender.model.spec import ModelSpec


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
    low_bytes: int
    high_bytes: int
    """The next estimate's interval, now that this is known."""

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    def sentence(self) -> str:
        """The outcome for a person."""
        peak = int(self.measured.get("process_bytes") or 0)
        off = (self.predicted_bytes - peak) / peak if peak else 0.0
        return (
            f"{self.model} ({self.method}) on {self.device}: measured {gib(peak)}, predicted "
            f"{gib(self.predicted_bytes)} ({off * 100:+.0f} %); from now on "
            f"{gib(self.low_bytes)} to {gib(self.high_bytes)}"
        )


def keep(
    config: FinetuneConfig, model: ModelSpec, device: Device, data: DataProfile | None, measured: Mapping[str, Any]
) -> Measurement | None:
    """Keep a measured worst step in the state folder, where the next estimate finds it, and return it.

    A folder that cannot be written costs the next estimate its centre, and nothing else.

    Args:
        config: What was measured.
        model: Its model.
        device: On which device.
        data: The rows that it was measured with.
        measured: A 'preflight' event's keys.
    """
    from recommender.memory.measured import FILE, measurement_of
    from recommender.memory.price import price
    from recommender.memory.stacks import find_stack
    from recommender.memory.workload import make_case
    from recommender.time.clock import worst_step_seconds

    peak = int(measured.get("process_bytes") or 0)
    if device.simulated or peak <= 0:
        return None
    case = make_case(config, model, device, data, find_stack("trl"))
    seconds = (worst_step_seconds(case), float(measured.get("step_seconds") or 0) or None)
    priced = price(case)
    one = measurement_of(case, priced.process - priced.left.middle, peak, seconds)
    line = {"t": time.time(), **asdict(one), "measured": dict(measured)}
    with suppress(OSError):
        state_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
        append_line(state_dir() / FILE, line)
    return one


def measure(config: FinetuneConfig, device: Device, runs: Path, *, note: Callable[[str], None]) -> Calibration:
    """Run the worst step on this machine's device and keep the outcome in the state folder's calibration.jsonl.

    Args:
        config: What to measure.
        device: On which device.
        runs: Folder of runs, for its disk.
        note: Told what is being done.

    Raises:
        InputError: The weights are not here. NoError: The step failed.
    """
    from recommender.data.load import profile_data
    from recommender.estimate.estimate import estimate
    from recommender.model.reader import read_model
    from recommender.model.sources.missing_files import no_weights
    from trainer.preflight.checks import Subject, measure_worst_step
    from trainer.preflight.gate import require_trainable

    spec = read_model(config.model, revision=config.revision)
    if not spec.has_weights:
        raise InputError(
            f"{spec.name} has no weights here, and measuring needs them.", remedy=spec.access or no_weights(spec.path)
        )
    require_trainable(config, spec, device)
    dataset = profile_data(config.data, model=spec)
    price = estimate(config, spec, device, dataset.profile)
    note(f"one worst-case step of {spec.name} on {device.name} …")
    measured = measure_worst_step(Subject(config, device, spec, dataset, price, runs, lambda: False)) or {}
    keep(config, spec, device, dataset.profile, measured)
    after = estimate(config, spec, device, dataset.profile).peak
    return Calibration(
        device.name,
        device.driver,
        device.torch_version,
        spec.name,
        config.method,
        price.peak.process_bytes,
        dict(measured),
        after.low_bytes,
        after.high_bytes,
    )
