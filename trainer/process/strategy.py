"""Launch strategies: how a run's training is started, and on what. One exists: one process on one device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from recommender.machine.facts import Device
from trainer.process.environment import child_environment, module_command
from trainer.run.folder import RunFolder


@dataclass(frozen=True, slots=True)
class WorkerLaunch:
    """The process that a supervisor starts and waits for."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    """The whole environment, devices that may be seen included."""
    devices: tuple[Device, ...]
    """The devices that are trained on; each is read while the run lives."""
    ranks: int
    """Training processes that the command comes to; the worker itself is the only one where it is 1."""


class LaunchStrategy(Protocol):
    """A way to start training; the supervisor and the launch know nothing else of it."""

    @property
    def name(self) -> str:
        """The name, for people."""

    def launch(self, folder: RunFolder, device: Device, *, resume: bool) -> WorkerLaunch:
        """Return the processes to start: their command, environment, devices and number of ranks.

        Args:
            folder: The run.
            device: The device that it was launched for.
            resume: Whether it continues from its last checkpoint.
        """

    def supervisor_environment(self, device: Device) -> Mapping[str, str]:
        """Return the environment of the supervisor, from which the worker's is made.

        Args:
            device: The device that the run was launched for.
        """


@dataclass(frozen=True, slots=True)
class OneDevice:
    """One process on one GPU, named by its UUID, or on the CPU."""

    name: str = "one device"

    def launch(self, folder: RunFolder, device: Device, *, resume: bool) -> WorkerLaunch:
        """Return the worker's own command, without a launcher."""
        command = module_command("trainer.worker", str(folder.path), *(["--resume"] if resume else []))
        return WorkerLaunch(tuple(command), child_environment(device), (device,), ranks=1)

    def supervisor_environment(self, device: Device) -> Mapping[str, str]:
        """Return the environment of any child that may see the device."""
        return child_environment(device)


ONE_DEVICE: Final = OneDevice()


def strategy_for(device: Device) -> LaunchStrategy:
    """Return the launch strategy of a device; training uses one device, whatever the plan's count."""
    del device
    return ONE_DEVICE
