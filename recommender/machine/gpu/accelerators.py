"""GPUs that NVML does not list, as the kernel lists them: other makers' cards, NVIDIA's without a working driver.

Nothing is loaded to find them. Names come from the card itself (server cards have one), else from the list of PCI ids
that most distributions carry.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from recommender.machine.facts import Accelerator

MAKERS: Final = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
"""PCI vendor ids (the PCI ID repository, pci.ids)."""
DISPLAY, PROCESSING = "0x03", "0x12"
"""Base classes of PCI devices: display controllers, and processing accelerators, as which AMD's Instinct cards come."""
PCI_IDS: Final = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")
SMALLEST: Final = 4 * 2**30
"""Less memory of its own has a processor's graphics unit, on which nobody means to train."""


def accelerators(root: Path = Path("/"), system: str = "") -> tuple[Accelerator, ...]:
    """Every GPU that the kernel lists, whether it can be used or not; none that only draws the screen.

    Args:
        root: Of the file system; another in tests.
        system: What `platform.system()` says; another in tests.
    """
    if (system or platform.system()) == "Darwin":
        return _apple()
    return tuple(found for device in _folders(root / "sys/bus/pci/devices") if (found := _of_pci(device, root)))


def _apple() -> tuple[Accelerator, ...]:
    return (Accelerator("Apple", "Apple GPU", None),) if platform.machine() == "arm64" else ()


def _folders(above: Path) -> list[Path]:
    try:
        return sorted(above.iterdir())
    except OSError:
        return []


def _of_pci(device: Path, root: Path) -> Accelerator | None:
    maker, kind = MAKERS.get(_text(device / "vendor")), _text(device / "class")
    if maker is None or not kind.startswith((DISPLAY, PROCESSING)):
        return None
    # Intel's graphics unit sits on the processor's own bus, as device 2.
    if maker == "Intel" and re.fullmatch(r"0000:00:02\.\d", device.name):
        return None
    memory = _text(device / "mem_info_vram_total")
    nbytes = int(memory) if memory.isdigit() else None
    if nbytes is not None and nbytes < SMALLEST:
        return None
    return Accelerator(maker, _name(device, maker, root), nbytes)


def _name(device: Path, maker: str, root: Path) -> str:
    product = _text(device / "product_name")
    code = _text(device / "device").removeprefix("0x")
    named = product or _listed(root, _text(device / "vendor").removeprefix("0x"), code)
    if not named:
        return f"{maker} GPU (PCI id {code})"
    return named if named.startswith(maker) else f"{maker} {named}"


@cache
def _listed(root: Path, vendor: str, device: str) -> str:
    """The name in the list of PCI ids: a line of the vendor, below it indented ones of its devices."""
    for place in PCI_IDS:
        try:
            with (root / place).open(encoding="utf-8", errors="replace") as lines:
                return next(_devices(lines, vendor, device), "")
        except OSError:
            continue
    return ""


def _devices(lines: Iterator[str], vendor: str, device: str) -> Iterator[str]:
    inside = False
    for line in lines:
        if not line.startswith(("\t", "#", "\n")):
            inside = line.startswith(f"{vendor} ")
        elif inside and line.startswith(f"\t{device} "):
            named = line.split(maxsplit=1)[1].strip()
            # 'AD102 [GeForce RTX 4090]': the chip, and in brackets what it is sold as.
            sold = re.search(r"\[(.+)\]", named)
            yield sold[1] if sold else named


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
