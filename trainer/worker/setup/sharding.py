"""How a run's model lies in its processes: whole in each with common gradients (DDP); and what it really is."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from presets.errors import InputError
from trainer.worker.world import this


def share(trainer: Any) -> None:
    """Make the ranks' models one: wrapped by DistributedDataParallel, before anything is computed with them.

    Accelerate 1.15 marks a model that was evaluated before it is trained as prepared (`prepare_model`), and the
    training that follows does not wrap it: each rank would learn from its own rows alone, without a word.

    Args:
        trainer: Built, with the weights and dtypes that training begins with.
    """
    if this().size > 1:
        trainer.model_wrapped = trainer.accelerator.prepare_model(trainer.model)


def sharded_parameters(model: nn.Module) -> int:
    """Return how many parameters are shards (DTensors)."""
    return sum(isinstance(parameter, DTensor) for parameter in model.parameters())


def reality(trainer: Any) -> dict[str, Any]:
    """Return world_size, strategy and sharded_parameters of the start event, from the model as it stands.

    Args:
        trainer: About to train.

    Raises:
        InputError: The ranks do not share their gradients, or not in the way that was asked for.
    """
    size, sharded = this().size, sharded_parameters(trainer.model)
    common = isinstance(trainer.model_wrapped, DistributedDataParallel)
    strategy = "fsdp" if sharded else "ddp" if common else "single"
    if size > 1 and strategy == "single":
        raise InputError(
            f"The {size} processes would train apart: Accelerate has wrapped the model by no strategy.",
            remedy="Install the tested versions, pip install -c constraints.txt accelerate transformers, or set "
            "launch.strategy to single.",
        )
    return {"world_size": size, "strategy": strategy, "sharded_parameters": sharded}
