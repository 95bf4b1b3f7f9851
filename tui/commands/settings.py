"""Options of every command: where runs live, how to draw, and the device that a plan is for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from presets.errors import InputError
from tui.terminal.sanitize import clean_text

if TYPE_CHECKING:
    from rich.console import Console

    from recommender.machine.facts import Device, Machine


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that stand before or after any command."""

    runs: Path
    unicode: bool = True
    theme: str | None = None
    verbose: bool = False

    @classmethod
    def usual(cls) -> Settings:
        """Settings when no option was given."""
        from recommender.paths import runs_dir

        return cls(runs=runs_dir())

    def console(self, *, stderr: bool = False) -> Console:
        """A rich console for plain output; wide lines are not wrapped when nobody is at a terminal."""
        from rich.console import Console

        console = Console(stderr=stderr, highlight=False, emoji=False, safe_box=not self.unicode)
        if not console.is_terminal:
            console.width = max(console.width, 200)
        return console


def progress_note(text: str) -> None:
    """Print a line about the present activity on stderr, so that stdout stays the answer's own."""
    print(clean_text(text), file=sys.stderr, flush=True)


def usual_device(runs: Path) -> Device:
    """The device that is taken when nobody has chosen one."""
    from recommender.machine.devices import default_device
    from recommender.machine.probe import probe

    return default_device(probe(runs))


def training_device(runs: Path) -> Device:
    """The device that this machine trains on; the CPU in the place of a GPU that is here only with a yes.

    Raises:
        InputError: a GPU is here and cannot be used, and nobody said that the CPU is meant.
    """
    from recommender.machine.devices import default_device
    from recommender.machine.gpu.unused import passed_over
    from recommender.machine.probe import probe

    machine = probe(runs)
    device = default_device(machine)
    unused = passed_over(machine)
    if unused is not None and not _agreed(f"{unused.text}\nTrain on the CPU ({device.name}) instead?"):
        raise InputError(unused.text, remedy=unused.remedy)
    return device


@cache
def _agreed(question: str) -> bool:
    """Ask for a yes on a terminal, once, though the line may run again; elsewhere nobody has agreed to anything."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    import typer

    return typer.confirm(clean_text(question), err=True)


def target_device(machine: Machine, gpu: str | None, gpu_memory: str | None, gpus: int = 1) -> Device:
    """The device that a plan is for.

    Args:
        machine: What the probe found.
        gpu: Name of a catalogue card, real or not.
        gpu_memory: Size of an unknown card, such as '24GiB'.
        gpus: How many of them.

    Raises:
        InputError: both a name and a size, or an unknown name.
    """
    from recommender.estimate.data_parallel import named_cards, several
    from recommender.machine.devices import default_device, device_from_memory, parse_bytes

    if gpu is not None and gpu_memory is not None:
        raise InputError(
            "--gpu and --gpu-memory were both given.", remedy="Give the card's name or its size, not both."
        )
    if gpu is not None:
        return several(named_cards(gpu, machine), gpus)
    if gpu_memory is not None:
        return several(device_from_memory(parse_bytes(gpu_memory)), gpus)
    device = default_device(machine)
    if gpus > 1 and device.kind == "cpu":
        raise InputError(f"--gpus {gpus}: there is no GPU here.", remedy="Name the card too, such as --gpu 'RTX 4090'.")
    return several(device, gpus)
