"""A layer's experts over packed or adapted weights, as an implementation of Transformers' experts interface."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from trainer.worker.setup.experts.modules import fused_modules
from trainer.worker.setup.experts.products import product

NAME: Final = "lora_wizard"
"""Of the implementation, as `config._experts_implementation` names it."""


def use(model: Any) -> None:
    """Have all fused experts of a model computed here."""
    ALL_EXPERTS_FUNCTIONS.register(NAME, experts_forward)
    for _, module in fused_modules(model):
        module.config._experts_implementation = NAME


def experts_forward(module: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """Give (tokens, hidden) of the experts that the router chose.

    Rows are sorted by expert once, and both products run over each expert's rows.

    Args:
        module: Holds the experts; its class knows gate and activation.
        hidden: (tokens, hidden).
        chosen: (tokens, experts a token), expert numbers.
        weights: The same shape, what each one's output is multiplied with.
    """
    tokens, each = chosen.shape
    ids, order = torch.sort(chosen.reshape(-1))
    ends = expert_ends(ids, module.num_experts)
    first = "gate_up_proj" if module.has_gate else "up_proj"
    rows = _product(module, first, hidden[order // each], ends, ids)
    rows = module._apply_gate(rows) if module.has_gate else module.act_fn(rows)
    rows = _product(module, "down_proj", rows, ends, ids)
    if module.has_post_expert_norm:
        rows = module.post_expert_norm(rows)
    rows = rows * weights.reshape(-1)[order].unsqueeze(-1)
    back = torch.empty_like(order)
    back[order] = torch.arange(order.shape[0], device=order.device)
    return rows[back].view(tokens, each, -1).sum(dim=1).to(hidden.dtype)


def expert_ends(ids: Tensor, experts: int) -> list[int]:
    """For each expert the end of its rows among sorted expert numbers."""
    ends: list[int] = torch.bincount(ids, minlength=experts).cumsum(0).tolist()
    return ends


def _product(module: Any, name: str, rows: Tensor, ends: list[int], ids: Tensor) -> Tensor:
    out = product(module, name, rows, ends, vars(module).get("active_factors", {}).get(name, ()))
    if module.has_bias:
        out.add_(getattr(module, f"{name}_bias")[ids].to(out.dtype))
    return out
