"""LoRA+: one learning rate for an adapter's A matrices and a higher one for its B matrices."""

from __future__ import annotations

from typing import Any

from peft.optimizers import create_loraplus_optimizer


def loraplus_optimizer(trainer: Any, ratio: float) -> Any:
    """The run's optimizer with B at `ratio` times the rate of A (PEFT; Hayou et al. 2024).

    Args:
        trainer: A built trainer whose optimizer does not exist yet; to be given this one.
        ratio: 1 or more.
    """
    kind, options = trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    return create_loraplus_optimizer(
        trainer.model,
        kind,
        loraplus_lr_ratio=ratio,
        loraplus_weight_decay=trainer.args.weight_decay,
        **{**options, "lr": trainer.args.learning_rate},
    )
