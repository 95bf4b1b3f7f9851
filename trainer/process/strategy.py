"""Launch strategies: how a run's training is started, and on what: one process, or several by torchrun's agent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from presets.errors import WizardError
from recommender.machine.facts import Device
from trainer.process.environment import child_environment, module_command
from trainer.run.folder import RunFolder
from trainer.run.plan_file import read_devices

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig


@dataclass(frozen=True, slots=True)
class WorkerLaunch:
    """The process that a supervisor starts and waits for."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    """The whole environment, devices that may be seen included."""
    devices: tuple[Device, ...]
    """The device of each rank, in their order; each is read while the run lives."""
    ranks: int
    """Training processes that the command comes to."""
    launcher: bool = False
    """Whether the command starts the ranks, instead of being the only one."""


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


@dataclass(frozen=True, slots=True)
class SeveralRanks:
    """One process for each of several GPUs, or several on the CPU, by `trainer.worker.launcher`."""

    devices: tuple[Device, ...]
    """Of each rank; the same one again and again on a CPU."""
    name: str = "several ranks"

    def launch(self, folder: RunFolder, device: Device, *, resume: bool) -> WorkerLaunch:
        """Return the launcher's command, which starts the ranks."""
        command = launcher_command(folder, len(self.devices), *(["--resume"] if resume else []))
        return WorkerLaunch(command, self.supervisor_environment(device), self.devices, len(self.devices), True)

    def supervisor_environment(self, device: Device) -> Mapping[str, str]:
        """Return the environment of a child that may see all of the devices."""
        del device
        return ranks_environment(self.devices)


ONE_DEVICE: Final = OneDevice()


def launcher_command(folder: RunFolder, ranks: int, *options: str) -> tuple[str, ...]:
    """Return the command that starts a run's ranks and waits for them."""
    return tuple(module_command("trainer.worker.launcher", str(folder.path), "--processes", str(ranks), *options))


def ranks_environment(devices: Sequence[Device], environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a launcher and its ranks, which talk to each other on this machine's loopback only.

    Args:
        devices: The device of each rank.
        environment: What it is made from.
    """
    values = child_environment(devices[0], environment)
    values |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    if devices[0].kind == "cpu":
        # Each rank would take all cores. torchrun would set 1.
        values.setdefault("OMP_NUM_THREADS", str(max(1, (devices[0].cores or 1) // len(devices))))
        return values
    names = [child_environment(device, environment).get("CUDA_VISIBLE_DEVICES", "") for device in devices]
    return values | {"CUDA_VISIBLE_DEVICES": ",".join(names)}


def strategy_for(folder: RunFolder, device: Device) -> LaunchStrategy:
    """Return the launch strategy of a run.

    Args:
        folder: The run; its configuration says how many processes, its plan on which devices.
        device: The device that it was launched for.

    Returns:
        That of one device where the configuration cannot be read: the worker then says what is wrong with it.
    """
    from recommender.config.io import load_config

    try:
        config = load_config(folder.effective_config)
    except WizardError:
        return ONE_DEVICE
    return strategy_of(config, device, read_devices(folder, device))


def devices_of(config: FinetuneConfig, device: Device) -> tuple[Device, ...]:
    """Return the device of each process of a configuration on this machine.

    Raises:
        InputError: They are not here, or cannot work together.
    """
    from recommender.estimate.data_parallel import processes_of

    processes = processes_of(config, device) // config.launch.nodes
    if device.kind == "cpu" or (processes == 1 and not isinstance(config.launch.gpus, list)):
        return (device,) * processes
    from recommender.machine.probe import probe
    from recommender.machine.several import launch_devices

    return launch_devices(config.launch, processes, device, probe())


def strategy_of(config: FinetuneConfig, device: Device, devices: Sequence[Device] = ()) -> LaunchStrategy:
    """Return the launch strategy of a configuration.

    Args:
        config: What is trained.
        device: The device that it is planned for.
        devices: One for each rank, where they are GPUs.
    """
    from recommender.estimate.data_parallel import processes_of

    processes = processes_of(config, device)
    if processes == 1 and config.launch.kind != "fsdp":
        return ONE_DEVICE
    return SeveralRanks(tuple(devices) if len(devices) == processes else (device,) * processes)
