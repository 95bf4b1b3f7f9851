"""The PyTorch wheels that run with a driver and card, and the pip line that installs one of them.

Facts:
- Architectures of each CUDA build: "PyTorch CUDA Support Matrix" in pytorch/pytorch RELEASE.md (2.9 and 2.10 in pull
  request 164471, 2.11 in 175253, 2.12 in 182849, 2.13 in 187075; 2.14 in issue 190355).
- Driver: a program built with CUDA 12.x runs on a driver from 525 on and 13.x from 580 on, whatever the minor version
  (NVIDIA, CUDA Compatibility, "Minor Version Compatibility", table 1): the major versions must match.
- A card runs machine code of its own major version with the same or a lower minor version, and PTX of any lower one
  (CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility").
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

Capability = tuple[int, int]
Version = tuple[int, int]

INDEX = "https://download.pytorch.org/whl"
TESTED_TORCH = "2.13.0"
"""The torch of constraints.txt: what is proposed where the installed one's builds are not known."""

_COMMON = ((7, 5), (8, 0), (8, 6), (9, 0))
_BLACKWELL = ((10, 0), (12, 0))
_OLD = ((5, 0), (6, 0), (7, 0))
_ARM = ((8, 0), (9, 0))

MINIMUM_DRIVER = {12: "525", 13: "580"}
"""First driver branch (Linux) of each CUDA major version."""


@dataclass(frozen=True, slots=True)
class Build:
    """A CUDA build of a PyTorch release."""

    cuda: Version
    architectures: tuple[Capability, ...]
    ptx: Capability | None = None
    """The PTX that the driver can compile for later cards."""

    @property
    def tag(self) -> str:
        """Name of its wheel index: 'cu130'."""
        return f"cu{self.cuda[0]}{self.cuda[1]}"

    def has_kernels_for(self, capability: Capability) -> bool:
        """Whether a card of this compute capability can run it."""
        major, minor = capability
        if any(known[0] == major and known[1] <= minor for known in self.architectures):
            return True
        return self.ptx is not None and self.ptx <= capability


def builds(torch: str, machine: str = platform.machine()) -> tuple[Build, ...]:
    """The stable CUDA builds of a PyTorch release for Linux, best first; none where the release is not known.

    Args:
        torch: Its version, such as '2.13.0+cu130'.
        machine: 'x86_64' or 'aarch64'.
    """
    release = _two_numbers(torch)
    if release is None or not (2, 9) <= release <= (2, 14):
        return ()
    arm = machine == "aarch64"
    common = _ARM if arm else _COMMON
    thirteen = (*common, *(((10, 0), (11, 0), (12, 0)) if arm else _BLACKWELL))
    found = [Build((13, 0), thirteen, ptx=(12, 0))]
    if release <= (2, 11):
        volta = () if arm or release == (2, 11) else ((7, 0),)
        found.append(Build((12, 8), (*volta, *common, *_BLACKWELL)))
    found.append(Build((12, 6), common if arm else (*_OLD, *common)))
    return tuple(found)


def build_of(torch: str, cuda: str, machine: str = platform.machine()) -> Build | None:
    """The known build that an installed torch is; a minor version that is not listed has its major's kernels."""
    wanted = _two_numbers(cuda)
    same_major = [build for build in builds(torch, machine) if wanted and build.cuda[0] == wanted[0]]
    exact = [build for build in same_major if build.cuda == wanted]
    if exact:
        return exact[0]
    return same_major[0] if wanted and wanted[0] >= 13 and same_major else None


def runs_on_driver(cuda: str, driver_cuda: str) -> bool:
    """Whether a driver that supports CUDA up to `driver_cuda` runs programs built with `cuda`."""
    built, supported = _two_numbers(cuda), _two_numbers(driver_cuda)
    return built is None or supported is None or built[0] <= supported[0]


def pip_line(
    torch: str | None, driver_cuda: str | None, capabilities: Sequence[Capability], machine: str = platform.machine()
) -> str | None:
    """The command that installs a torch which runs on these cards with this driver.

    The installed release is kept where it has such a build; else the newest release that does is taken.

    Returns:
        None where no known build does, so that only another driver helps.
    """
    installed = _release(torch) if torch else None
    for release in dict.fromkeys([installed or TESTED_TORCH, TESTED_TORCH, "2.11.0"]):
        for build in builds(release, machine):
            if driver_cuda and not runs_on_driver(f"{build.cuda[0]}.{build.cuda[1]}", driver_cuda):
                continue
            if all(build.has_kernels_for(capability) for capability in capabilities):
                return f'{pip_install()} "torch=={release}+{build.tag}" --index-url {INDEX}/{build.tag}'
    return None


def is_newest(driver: str | None) -> bool:
    """Whether a driver runs the newest CUDA major version known here, so that an update would not help."""
    branch = (driver or "").partition(".")[0]
    return branch.isdigit() and int(branch) >= max(map(int, MINIMUM_DRIVER.values()))


def pip_install() -> str:
    """The install command for this very environment; one made by uv has no pip of its own."""
    if find_spec("pip") is None:
        return f"uv pip install --python {sys.executable}"
    return f"{sys.executable} -m pip install"


def _release(torch: str) -> str:
    return torch.partition("+")[0]


def _two_numbers(text: str) -> Version | None:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None
