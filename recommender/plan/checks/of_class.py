"""Warnings of what a model's class brings: kernels that are missing, servers that take no adapter of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Final

from presets.servers import servers
from recommender.config.schema import FinetuneConfig
from recommender.machine.facts import Device
from recommender.machine.wheels import pip_install
from recommender.model.spec import ModelSpec
from recommender.warning import CodedWarning, warning

MODULES: Final[Mapping[str, str]] = {
    "flash-linear-attention": "fla",
    "causal-conv1d": "causal_conv1d",
    "mamba-ssm": "mamba_ssm",
}
"""Distributions of kernels, by the module that Transformers imports (integrations/hub_kernels.py, 5.23)."""
MIXERS: Final[Mapping[str, str]] = {
    "linear_attention": "linear-attention",
    "mamba": "state-space",
    "conv": "convolution",
    "recurrent": "recurrent",
}


def about_class(config: FinetuneConfig, model: ModelSpec, device: Device) -> Iterator[CodedWarning]:
    """Yield the warnings of a model's class.

    Args:
        config: The plan's.
        model: What is tuned.
        device: Where.
    """
    if device.kind == "cuda" and (missing := missing_kernels(model)):
        yield _slow_path(model, missing)
    if config.method == "full":
        return
    for server in servers():
        if model.architecture in server.without_lora:
            yield warning(
                "server_takes_no_adapter",
                f"{server.name} serves {model.architecture} without adapters ({server.source}).",
                "After training, `lora-wizard export RUN --to merged` writes a model that it serves.",
            )


def missing_kernels(
    model: ModelSpec, is_here: Callable[[str], bool] = lambda module: find_spec(module) is not None
) -> tuple[str, ...]:
    """Return the distributions that the class's fast path wants and that are not installed here.

    Args:
        model: Its anatomy says which; none are wanted where it has none.
        is_here: Whether a module can be imported.
    """
    wanted = sorted({name for names in (model.anatomy.kernels.values() if model.anatomy else ()) for name in names})
    return tuple(name for name in wanted if not is_here(MODULES.get(name, name.replace("-", "_"))))


def _slow_path(model: ModelSpec, missing: tuple[str, ...]) -> CodedWarning:
    assert model.anatomy is not None
    slow = {mixer for mixer, names in model.anatomy.kernels.items() if set(names) & set(missing)}
    layers = sum(kind.count for kind in model.anatomy.kinds if slow & set(kind.mixer.split("+")))
    words = _listed(sorted(MIXERS.get(mixer, mixer) for mixer in slow))
    return warning(
        "slow_kernels",
        f"{layers} {words} layers run on Transformers' own PyTorch path, which is correct and much slower, and is what "
        f"memory is priced for: {_listed(missing)} {'is' if len(missing) == 1 else 'are'} not installed.",
        f"On a machine with the CUDA toolkit: {pip_install()} {' '.join(missing)}",
    )


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
