"""Prices of models on the chosen device, one after the other in a thread, those that are seen first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from presets.errors import WizardError
from tui.screens.base import Part
from tui.screens.model.text import METHODS, UNKNOWN, Entry, Fit, fit_of, refused
from tui.terminal.sanitize import clean
from tui.terminal.task import REPORT_SECONDS, Run, Task
from tui.widgets.pick_list import PickList

if TYPE_CHECKING:
    from recommender.machine.facts import Device
    from recommender.model.spec import ModelSpec
    from tui.screens.base import StepScreen


@dataclass(frozen=True, slots=True)
class Priced:
    """Fits of some models.

    Attributes:
        specs: Architecture by name.
        fits: Fit by name and method.
        refused: Reason by name of those that cannot be trained here.
    """

    specs: dict[str, ModelSpec] = field(default_factory=dict)
    fits: dict[str, Mapping[str, Fit]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Pricing(Part):
    """Prices the models, a part of the Model screen.

    Args:
        screen: The Model screen.
        on_priced: Called whenever more are priced, with the reasons of those that cannot be trained here, by name.

    Attributes:
        fits: Fit by name and method.
        priced_for: The device that these hold for.
    """

    def __init__(self, screen: StepScreen, on_priced: Callable[[Mapping[str, str]], None]) -> None:
        super().__init__(screen)
        self.fits: dict[str, Mapping[str, Fit]] = {}
        self.priced_for: Device | None = None
        self._specs: dict[str, ModelSpec] = {}
        self._on_priced = on_priced
        self._task = Task(screen, "price")

    def spec_of(self, entry: Entry) -> ModelSpec | None:
        """Architecture of a model, where it is known."""
        return self._specs.get(entry.name) or entry.spec

    def start(self, models: Sequence[Entry]) -> None:
        """Price the models that are not priced yet; nothing without a device."""
        device = self.state.device
        if device is None:
            return
        if device is not self.priced_for:
            self.fits = {}
        self.priced_for = device
        wanted = [entry for entry in models if entry.name not in self.fits and not entry.trouble]
        ordered = self._seen_first(wanted)
        self._task.start(lambda run: self._price_all(run, device, ordered), self._take, self._failed)

    def _seen_first(self, wanted: Sequence[Entry]) -> list[Entry]:
        picks = self.screen.query_one(PickList)
        top, height = picks.scroll_offset.y, picks.size.height
        seen = {pick.key for pick in picks.picks[top : top + height]}
        return sorted(wanted, key=lambda entry: entry.name not in seen)

    def _price_all(self, run: Run, device: Device, wanted: Sequence[Entry]) -> Priced:
        """In a thread: price one model after the other, and show what is priced now and then; return the rest."""
        batch, shown_at = Priced(), 0.0
        trouble: Exception | None = None
        for entry in wanted:
            if run.stopped():
                return batch
            try:
                priced = self._priced(entry, device)
            except Exception as error:  # One model's fault is told at the end, and keeps no other from being priced.
                trouble = trouble or error
                continue
            if isinstance(priced, str):
                batch.refused[entry.name] = priced
            else:
                batch.specs[entry.name], batch.fits[entry.name] = priced
            if batch.fits and time.monotonic() - shown_at > REPORT_SECONDS:
                shown_at = time.monotonic()
                run.deliver(self._take, batch)
                batch = Priced()
        if trouble is not None:
            run.deliver(self._take, batch)
            raise trouble
        return batch

    def _priced(self, entry: Entry, device: Device) -> tuple[ModelSpec, Mapping[str, Fit]] | str:
        """Architecture and fits, or the reason why it cannot be trained here, which its row shows instead."""
        from recommender.memory.not_learned import NotLearned
        from recommender.model.spec import NeedsAnatomy

        services = self.wizard.services
        try:
            spec = entry.spec or self._specs.get(entry.name) or services.catalogue_spec(entry.name)
            if spec.unsupported:
                return refused(spec)
            return spec, {method: fit_of(services.method_fit(spec, device, method)) for method in METHODS}
        except (NeedsAnatomy, NotLearned):
            # Its class is asked once it is chosen: of all that are listed it would take minutes.
            return spec, dict.fromkeys(METHODS, UNKNOWN)
        except WizardError as error:
            return error.message

    def _take(self, priced: Priced) -> None:
        self._specs |= priced.specs
        self.fits |= priced.fits
        self._on_priced(priced.refused)

    def _failed(self, error: WizardError) -> None:
        notice = clean(f"Not every model was priced: {error.message}")
        self.screen.notify(notice, severity="error", timeout=10, markup=False)
