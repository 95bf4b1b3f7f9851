"""The gate before every start: of train, try, resume, calibrate, the Check screen and the launch itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from presets.errors import InputError
from recommender.machine.capability import FLASH_FROM
from recommender.plan.checks.conflicts import refuse_untrainable

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.machine.facts import Device
    from recommender.model.spec import ModelSpec

TRACKER_PACKAGES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "azure_ml": (("azureml",),),
    "clearml": (("clearml",),),
    "codecarbon": (("codecarbon",),),
    "comet_ml": (("comet_ml",),),
    "dagshub": (("dagshub",), ("mlflow",)),
    "dvclive": (("dvclive",),),
    "flyte": (("flytekit",),),
    "mlflow": (("mlflow",),),
    "neptune": (("neptune",),),
    "swanlab": (("swanlab",),),
    "tensorboard": (("tensorboard", "tensorboardX"),),
    "trackio": (("trackio",),),
    "wandb": (("wandb",),),
}
"""Packages that a tracker's callback imports, one of each group (Transformers 5.23,
`integrations/integration_utils.py`); its constructor raises where it is not there, after the model was loaded."""
ATTENTION_PACKAGES: Mapping[str, str] = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
"""Module that each kind of attention is imported from (Transformers 5.23, `modeling_flash_attention_utils.py`)."""

IsHere = Callable[[str], bool]


def is_here(module: str) -> bool:
    """Whether a top-level module can be imported; the worker runs by the same Python."""
    return find_spec(module) is not None


def require_trainable(config: FinetuneConfig, model: ModelSpec, device: Device, *, installed: IsHere = is_here) -> None:
    """Refuse a configuration that cannot be trained, quickly and before anything is loaded.

    The same refusals as of `recommend` and `estimate`, and packages that this configuration needs here.

    Args:
        config: The whole configuration.
        model: What is tuned.
        device: Where it would be trained.
        installed: Whether a module is there; another in tests.

    Raises:
        InputError: with what to set instead.
    """
    refuse_untrainable(config, model, device)
    _refuse_launch(config)
    _refuse_missing_attention(config, installed)
    for tracker in config.run.report_to:
        for names in TRACKER_PACKAGES.get(tracker, ()):
            if not any(installed(name) for name in names):
                raise InputError(
                    f"run.report_to {tracker} needs the package {names[0]}, which is not installed here.",
                    remedy=f"Install it beside lora-wizard (pip install {names[0]}), or leave run.report_to empty.",
                )


def _refuse_launch(config: FinetuneConfig) -> None:
    """Refuse a launch that can be planned and written, and that this version does not start."""
    launch = config.launch
    if launch.nodes > 1:
        raise InputError(
            f"launch.nodes is {launch.nodes}, and runs are started on one machine only.",
            remedy="Set launch.nodes to 1; the configuration can be exported for another trainer as it is.",
        )
    if launch.strategy in {"zero2", "zero3", "split"}:
        raise InputError(
            f"launch.strategy {launch.strategy} is not started by this version.",
            remedy="Set launch.strategy to fsdp, which shards the same, or to ddp.",
        )


def _refuse_missing_attention(config: FinetuneConfig, installed: IsHere) -> None:
    wanted = config.training.attn_implementation
    # Transformers takes the kernel from the hub where the package `kernels` is there instead.
    if wanted in FLASH_FROM and not (installed(ATTENTION_PACKAGES[wanted]) or installed("kernels")):
        raise InputError(
            f"training.attn_implementation {wanted} needs the package {ATTENTION_PACKAGES[wanted]}, which is not "
            "installed here.",
            remedy="Set training.attn_implementation to sdpa, or install a wheel of flash-attn for this torch.",
        )
