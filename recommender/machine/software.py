"""Versions of installed software, from package metadata: nothing is imported for it."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from recommender.machine.facts import Software

DISTRIBUTIONS = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "flash-attn",
    "liger-kernel",
    "textual",
    "nvidia-ml-py",
)
"""Distributions to look up; the first seven are needed for training, flash-attn and liger-kernel are extras."""

Find = Callable[[str], metadata.Distribution | None]


def find_distribution(name: str) -> metadata.Distribution | None:
    """The installed distribution of that name, or None."""
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def read_software(
    driver: str | None = None, cuda_driver: str | None = None, find: Find = find_distribution
) -> Software:
    """Versions of Python and of `DISTRIBUTIONS`.

    Args:
        driver: NVIDIA driver version, as NVML gives it.
        cuda_driver: Highest CUDA version of that driver.
        find: How to find a distribution; another in tests.
    """
    versions = {name: _version(find(name)) for name in DISTRIBUTIONS}
    torch = find("torch")
    return Software(
        python=platform.python_version(),
        versions=versions,
        driver=driver,
        cuda_driver=cuda_driver,
        torch_cuda=torch_cuda(torch) if torch else None,
    )


def torch_cuda(torch: metadata.Distribution) -> str | None:
    """The CUDA version that an installed torch was built for, None for a build without CUDA.

    Wheels of download.pytorch.org carry it in their version ('2.13.0+cu130'); those of PyPI may not, so the generated
    file torch/version.py is read as text where the version is silent.
    """
    _, _, local = torch.version.partition("+")
    if match := re.fullmatch(r"cu(\d{2})(\d)(?:\..*)?", local):
        return f"{match[1]}.{match[2]}"
    if local.startswith(("cpu", "rocm", "xpu")):
        return None
    try:
        text = Path(str(torch.locate_file("torch/version.py"))).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^cuda\b[^=\n]*=\s*['\"](\d+\.\d+)", text, flags=re.MULTILINE)
    return match[1] if match else None


def missing(versions: Mapping[str, str | None]) -> tuple[str, ...]:
    """Distributions that training needs and that are not installed."""
    return tuple(name for name in DISTRIBUTIONS[:7] if versions.get(name) is None)


def _version(distribution: metadata.Distribution | None) -> str | None:
    return distribution.version if distribution else None
