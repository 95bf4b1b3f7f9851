"""The processes (ranks) of a run as one of them sees them: who it is, and what all of them agree on.

Without a launcher there is one, every function here is free, and torch.distributed is left alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from trainer.run.folder import RunFolder
from trainer.worker.launcher import STORE, SUPERVISOR

NO_END: Final = timedelta(days=365)
"""Time limit of an exchange: a paused run waits for its first rank, and a dead or frozen rank is noticed otherwise
(`trainer.worker.loop.siblings`)."""
PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a process gets when its parent has died."""


@dataclass(frozen=True, slots=True)
class World:
    """A process of a run."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    launched: bool = False
    """Whether a launcher started it, also as the only one."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes what the run has once: checkpoints, the adapter, its record."""
        return self.rank == 0


def this() -> World:
    """Return this process' place, as the launcher has set it."""
    if STORE not in os.environ:
        return World()
    rank, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return World(rank, size, local, launched=True)


def supervisor_pid() -> int:
    """Return the pid of the supervisor: the parent's, or that of the launcher's parent."""
    return int(os.environ.get(SUPERVISOR, 0)) or os.getppid()


def settle_in(folder: RunFolder) -> None:
    """Begin as a rank: it ends with its launcher, whatever ends that one, and prints into a log of its own.

    Args:
        folder: The run, as this rank sees it.
    """
    launcher = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        sys.exit("The launcher has gone.")
    if folder.rank:
        log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)


def join(*, cuda: bool) -> None:
    """Make the process group of all ranks; each takes the GPU of its local rank.

    Args:
        cuda: Whether the run is on GPUs.
    """
    world = this()
    if not world.launched:
        return
    import torch

    if cuda:
        torch.cuda.set_device(world.local_rank)
        _without_peer_access()
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        init_method=f"file://{os.environ[STORE]}",
        rank=world.rank,
        world_size=world.size,
        timeout=NO_END,
    )


def _without_peer_access() -> None:
    """Keep NCCL from peer access on cards that claim it and do not have it, as `accelerate launch` does."""
    from accelerate.utils import check_cuda_p2p_ib_support

    if not check_cuda_p2p_ib_support():
        os.environ.setdefault("NCCL_P2P_DISABLE", "1")
        os.environ.setdefault("NCCL_IB_DISABLE", "1")


def wait_for_all() -> None:
    """Wait until every rank has come here."""
    if this().size > 1:
        import torch

        # On tensors of the CPU: a barrier of NCCL would take the GPU.
        torch.distributed.all_reduce(torch.zeros(1))


@contextmanager
def first_before_the_others() -> Iterator[None]:
    """Run a block in the first rank, and then in all others."""
    world = this()
    if not world.first:
        wait_for_all()
    yield
    if world.first:
        wait_for_all()


def of_the_first(values: Sequence[bool]) -> list[bool]:
    """Return the values that the first rank has, in every rank.

    Args:
        values: This rank's; as many in each.
    """
    if this().size == 1:
        return list(values)
    import torch

    shared = torch.tensor(list(values), dtype=torch.uint8)
    torch.distributed.broadcast(shared, src=0)
    return [bool(value) for value in shared.tolist()]


def object_of_the_first(value: Any) -> Any:
    """Return the object that the first rank has, pickled, in every rank."""
    if this().size == 1:
        return value
    import torch

    held = [value]
    torch.distributed.broadcast_object_list(held, src=0, device=torch.device("cpu"))
    return held[0]


def worst(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reading with the largest of all ranks' numbers for each key.

    Args:
        reading: This rank's; what is no number stays this rank's.
    """
    if this().size == 1:
        return dict(reading)
    import torch

    all_of_them: list[Any] = [None] * this().size
    torch.distributed.all_gather_object(all_of_them, dict(reading))
    numbers = [
        {key: value for key, value in each.items() if isinstance(value, int | float) and not isinstance(value, bool)}
        for each in all_of_them
    ]
    most = {key: max(each[key] for each in numbers if key in each) for each in numbers for key in each}
    return {**reading, **most}


def to_the_first(value: Any) -> list[Any]:
    """Return every rank's object, in their order, in the first rank; an empty list in the others."""
    world = this()
    if world.size == 1:
        return [value]
    import torch

    held = [None] * world.size if world.first else None
    torch.distributed.gather_object(value, held, dst=0)
    return list(held or [])


def mean(value: float) -> float:
    """Return the mean of all ranks' values."""
    if this().size == 1:
        return value
    import torch

    total = torch.tensor([value], dtype=torch.float64)
    torch.distributed.all_reduce(total)
    return float(total.item()) / this().size


def leave() -> None:
    """Wait for the others and take the process group apart."""
    if this().launched:
        import torch

        wait_for_all()
        torch.distributed.destroy_process_group()
