"""Checks of this machine for `lora-wizard doctor`: whether it can train, with the remedy for what is missing."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from recommender.machine.facts import Machine
from recommender.machine.gpu.unused import passed_over
from trainer.process.children import ask
from trainer.process.device_lock import weakness


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """The result of one check of `lora-wizard doctor`."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def examine(runs: Path) -> tuple[DoctorCheck, ...]:
    """Check the driver, libraries, a real product on the device, a real 4-bit product, and the folders."""
    from recommender.machine.devices import default_device
    from recommender.machine.probe import probe

    machine = probe(runs)
    device = default_device(machine)
    cuda = ["--cuda"] if device.kind == "cuda" else []
    found = [_driver(machine)]
    found += [
        DoctorCheck("machine", said.level, said.text, said.remedy)
        for said in machine.diagnostics
        if said.text != found[0].detail
    ]
    for what in ("torch", "quantisation"):
        answer = ask("trainer.worker.measure.probe", what, *cuda, device=device)
        document = answer.document or {"ok": False, "detail": answer.errors[-200:] or "no answer"}
        status: Literal["ok", "fail"] = "ok" if document.get("ok") else "fail"
        found.append(DoctorCheck(what, status, str(document.get("detail", "")), str(document.get("remedy", ""))))
    found.append(_writable("runs", runs))
    if weak := weakness(device):
        found.append(DoctorCheck("locks", "warn", weak, "Set XDG_STATE_HOME to a folder on a local disk."))
    return tuple(found)


def _driver(machine: Machine) -> DoctorCheck:
    if unused := passed_over(machine):
        return DoctorCheck("gpu", unused.level, unused.text, unused.remedy)
    if machine.gpus:
        names = ", ".join(gpu.name for gpu in machine.gpus)
        return DoctorCheck("gpu", "ok", f"{names}, driver {machine.software.driver}")
    return DoctorCheck("gpu", "warn", machine.nvml.message or "no GPU was found", machine.nvml.remedy)


def _writable(name: str, folder: Path) -> DoctorCheck:
    above = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    if os.access(above, os.W_OK):
        return DoctorCheck(name, "ok", f"{folder} can be written")
    return DoctorCheck(
        name, "fail", f"{folder} cannot be written", "Choose another folder with --runs or LORA_WIZARD_RUNS."
    )
