"""The section `launch`: processes, devices, and how they share the work."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from recommender.config.section import Count, Index, PositiveCount, Section

Strategy = Literal["auto", "single", "ddp", "fsdp", "zero2", "zero3", "split"]
SHARDING = frozenset({"fsdp", "zero2", "zero3"})
"""Strategies that divide weights, gradients or optimizer states between the processes."""


class Launch(Section):
    """Training processes of the run, and how they share its work."""

    gpus: Literal["auto"] | list[Index | str] = Field(
        "auto", description="auto is the chosen device; else a list of GPUs by index or UUID"
    )
    processes: Literal["auto"] | PositiveCount = Field(
        "auto", description="training processes on each machine: auto is one a GPU; on a CPU so many, for trying"
    )
    nodes: Count = Field(1, ge=1, description="machines")
    strategy: Strategy = Field(
        "auto",
        description="single: one process; ddp: the whole model in each; fsdp: weights, gradients and states sharded "
        "(FSDP2); zero2, zero3: DeepSpeed's; split: layers over unlike cards in one process; auto: ddp where there are "
        "several processes",
    )
    offload: Literal["none", "params", "all"] = Field(
        "none", description="held in host memory under fsdp: params, the frozen weights; all, gradients and states too"
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        named = self.gpus if isinstance(self.gpus, list) else None
        if named is not None:
            self._check_gpus(named)
        wanted = self.processes * self.nodes if isinstance(self.processes, int) else self.nodes
        if self.strategy in {"single", "split"} and wanted > 1:
            raise ValueError(f"strategy {self.strategy} is one process, not {wanted}: set ddp or fsdp, or processes 1")
        if self.strategy == "single" and named is not None and len(named) > 1:
            raise ValueError(f"strategy single is one GPU, not {len(named)}: set ddp, fsdp or split, or name one GPU")
        if self.strategy == "ddp" and wanted == 1 and self.processes == 1:
            raise ValueError("strategy ddp shares the rows between processes, and there is 1: set single, or processes")
        if self.offload != "none" and self.strategy not in {"auto", "fsdp"}:
            raise ValueError(f"offload {self.offload} is fsdp's, not {self.strategy}'s: set strategy fsdp, or none")
        return self

    def _check_gpus(self, named: list[int | str]) -> None:
        if not named:
            raise ValueError("gpus is an empty list: name a GPU, or set auto")
        if len(set(map(str, named))) < len(named):
            raise ValueError("gpus names a GPU twice")
        several = self.strategy != "split"
        if several and isinstance(self.processes, int) and self.processes != len(named):
            raise ValueError(f"processes is {self.processes} and gpus names {len(named)}: leave processes auto")

    @property
    def several(self) -> bool:
        """Whether it names more than one process by itself, whatever the machine."""
        named = len(self.gpus) if isinstance(self.gpus, list) and self.strategy != "split" else 1
        return self.nodes * (self.processes if isinstance(self.processes, int) else named) > 1

    @property
    def kind(self) -> Strategy:
        """The strategy once `auto` is decided: fsdp to offload, else ddp where there are several processes."""
        if self.strategy != "auto":
            return self.strategy
        if self.offload != "none":
            return "fsdp"
        return "ddp" if self.several else "single"
