"""How a run's model lies in its processes: whole in each with common gradients (DDP), or sharded (FSDP2).

PyTorch's `fully_shard` is called here and Accelerate is told that the model is prepared, as Transformers does with
models that it shards when it loads them. Accelerate 1.15's own way is no way on a CPU: `accelerate/state.py` puts FSDP
in force under the kinds of distribution that have GPUs only, and trains by DDP without a word. So it is the same here
on GPUs and on CPUs, and what a run really is stands in its start event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from presets.errors import InputError
from recommender.config.launch import Launch
from trainer.worker.world import this

TESTED = "Install the tested versions, pip install -c constraints.txt torch accelerate transformers"


def share(trainer: Any, launch: Launch) -> None:
    """Make the ranks' models one, before anything is computed with them.

    Accelerate marks a model that was evaluated before it is trained as prepared (`prepare_model`), and the training
    that follows does not wrap it: each rank would learn from its own rows alone, without a word.

    Args:
        trainer: Built, with the weights and dtypes that training begins with, and without an optimizer.
        launch: The run's.
    """
    world = this()
    if launch.kind == "fsdp" and world.launched:
        shard(trainer.model, launch.offload)
        # Autocast only: the model has its place and reduces its gradients itself.
        trainer.model_wrapped = trainer.accelerator.prepare_model(
            trainer.model, device_placement=False, evaluation_mode=True
        )
    elif world.size > 1:
        trainer.model_wrapped = trainer.accelerator.prepare_model(trainer.model)


def shard(model: Any, offload: str) -> None:
    """Shard a model's parameters over all ranks in place: each layer by itself, and the rest together.

    The rest (embeddings, head, last norm) stays gathered from forward to backward.

    Args:
        model: A Transformers model, with its adapter where it has one.
        offload: 'none'; 'params': frozen weights lie in host memory; 'all': gradients and optimizer states too.
    """
    cuda = torch.cuda.is_available()
    mesh = init_device_mesh("cuda" if cuda else "cpu", (this().size,))
    policy = OffloadPolicy() if offload == "none" else CPUOffloadPolicy(pin_memory=cuda)
    layers = layers_of(model)
    for layer in layers:
        if offload == "params" and (trained := modules_of_trained(layer)):
            fully_shard(trained, mesh=mesh)
        fully_shard(layer, mesh=mesh, offload_policy=policy)
    fully_shard(model, mesh=mesh, offload_policy=policy)
    register_fsdp_forward_method(model, "generate")


def layers_of(model: Any) -> list[nn.Module]:
    """Return the blocks that Transformers keeps together on a device (`_no_split_modules`), in order."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    kinds = {name for module in base.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    return [module for module in base.modules() if type(module).__name__ in kinds]


def modules_of_trained(layer: nn.Module) -> list[nn.Module]:
    """Return the innermost modules of a layer all of whose own parameters are trained."""
    return [
        module
        for module in layer.modules()
        if (own := list(module.parameters(recurse=False))) and all(parameter.requires_grad for parameter in own)
    ]


def sharded_parameters(model: nn.Module) -> int:
    """Return how many parameters are shards (DTensors)."""
    return sum(isinstance(parameter, DTensor) for parameter in model.parameters())


def reality(trainer: Any, launch: Launch) -> dict[str, Any]:
    """Return world_size, strategy and sharded_parameters of the start event, from the model as it stands.

    Args:
        trainer: About to train.
        launch: What was asked for.

    Raises:
        InputError: The ranks do not share their work in the way that was asked for.
    """
    size, sharded = this().size, sharded_parameters(trainer.model)
    common = isinstance(trainer.model_wrapped, DistributedDataParallel)
    strategy = "fsdp" if sharded else "ddp" if common else "single"
    if launch.kind == "fsdp" and not sharded:
        raise InputError(
            "launch.strategy fsdp was asked for, and no parameter of the model is sharded.",
            remedy=f"{TESTED}, or set launch.strategy to ddp.",
        )
    if size > 1 and strategy == "single":
        raise InputError(
            f"The {size} processes would train apart: the model is neither shared nor sharded.",
            remedy=f"{TESTED}, or set launch.strategy to single.",
        )
    return {"world_size": size, "strategy": strategy, "sharded_parameters": sharded}


# Saving: one ordinary folder, written by the first rank


def trained_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a sharded model's trained parameters, whole and in host memory, by name; every rank must come here.

    Returns:
        All of them in the first rank, an empty dictionary in the others.
    """
    whole = {}
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # After an evaluation the rest of the model is still gathered.
            module.reshard()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            gathered = _whole(parameter.detach())
            if this().first:
                whole[name] = gathered
    if whole and not isinstance(model, PeftModel):
        kept = set(model.state_dict())
        whole |= {name: buffer.cpu() for name, buffer in model.named_buffers() if name in kept}
    return whole


def optimizer_state(optimizer: Any) -> dict[str, Any]:
    """Return an optimizer's state dictionary with whole tensors in host memory; every rank must come here.

    Returns:
        What the same optimizer over unsharded parameters would give, in the first rank; an empty one in the others.
    """
    state = optimizer.state_dict()
    whole: dict[int, dict[str, Any]] = {}
    for index, values in state["state"].items():
        gathered = {name: _whole(value) if isinstance(value, DTensor) else value for name, value in values.items()}
        if this().first:
            whole[index] = gathered
    return {**state, "state": whole} if this().first else {}


@dataclass(frozen=True, slots=True)
class Held:
    """What is saved of an optimizer."""

    states: Mapping[str, Any]

    def state_dict(self) -> Mapping[str, Any]:
        """Return it."""
        return self.states


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()


# Loading


def shard_states(optimizer: Any) -> None:
    """Shard an optimizer's states that were loaded whole, each as its parameter is."""
    for parameter, values in optimizer.state.items():
        if isinstance(parameter, DTensor):
            for name, value in values.items():
                if (
                    isinstance(value, torch.Tensor)
                    and not isinstance(value, DTensor)
                    and value.shape == parameter.shape
                ):
                    values[name] = _as(parameter, value)


def load_trained(model: Any, checkpoint: Path) -> None:
    """Put a checkpoint's trained weights into a sharded model.

    Args:
        model: Sharded, with an adapter or trained whole.
        checkpoint: A folder with safetensors, as `save_pretrained` writes it.

    Raises:
        InputError: The files do not have all of the weights.
    """
    saved: dict[str, torch.Tensor] = {}
    for path in sorted(checkpoint.glob("*.safetensors")):
        saved |= load_file(str(path))
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    in_files = _names_in_files(model, trained)
    if missing := [name for name in trained if in_files.get(name) not in saved]:
        raise InputError(f"{checkpoint} does not have {missing[0]} ({len(missing)} weights in all).")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(_as(parameter, saved[in_files[name]].to(parameter.dtype)))


def _names_in_files(model: Any, trained: Mapping[str, nn.Parameter]) -> dict[str, str]:
    """Return the names that PEFT saves parameters under, by their names in the model."""
    if not isinstance(model, PeftModel):
        return {name: name for name in trained}
    names = list(trained)
    marked = {name: torch.tensor(float(index)) for index, name in enumerate(names)}
    told = get_peft_model_state_dict(model, state_dict=marked, save_embedding_layers=False)
    return {names[int(mark)]: key for key, mark in told.items()}


def _as(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return a whole tensor in a parameter's place and shards."""
    if not isinstance(parameter, DTensor):
        return value.to(parameter.device)
    return distribute_tensor(
        value.to(parameter.device_mesh.device_type), parameter.device_mesh, parameter.placements
    ).to(parameter.device)


def norm_of(norm: Any) -> float:
    """Return a gradient's norm as a number; of shards every rank must come here."""
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def local_weights(model: nn.Module) -> Iterable[torch.Tensor]:
    """Yield what this rank holds of each parameter."""
    for parameter in model.parameters():
        yield parameter.to_local() if isinstance(parameter, DTensor) else parameter
