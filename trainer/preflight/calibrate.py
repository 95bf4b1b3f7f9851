"""Calibration: one measured worst step beside its prediction, stored for this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from presets.errors import InputError
from recommender.units import gib

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.machine.facts import Device


@dataclass(frozen=True, slots=True)
class Calibration:
    """Predicted and measured memory and time of one worst step."""

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


def measure(config: FinetuneConfig, device: Device, *, log: Callable[[str], None]) -> Calibration:
    """Run the worst step on this machine's device and keep the outcome in the state folder's calibration.jsonl.

    Args:
        config: What to measure.
        device: On which device.
        log: Told what is being done.

    Raises:
        InputError: The weights are not here. NoError: The step failed.
    """
    from recommender.data.load import profile_data
    from recommender.estimate.estimate import estimate
    from recommender.model.reader import read_model
    from recommender.model.sources.missing_files import no_weights
    from recommender.stages import stage_of
    from trainer.preflight.gate import require_trainable
    from trainer.preflight.measurements import keep
    from trainer.preflight.worst_step import measure_worst_step
    from trainer.process.tokenizer import ensure_tokenizer

    spec = read_model(config.model, revision=config.revision)
    if not spec.has_weights:
        raise InputError(
            f"{spec.name} has no weights here, and measuring needs them.", remedy=spec.access or no_weights(spec.path)
        )
    require_trainable(config, spec, device)
    ensure_tokenizer(spec)
    dataset = profile_data(config.data, model=spec, stage=stage_of(config))
    price = estimate(config, spec, device, dataset.profile)
    log(f"one worst-case step of {spec.name} on {device.name} …")
    measured = measure_worst_step(config, device, price) or {}
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
