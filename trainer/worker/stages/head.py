"""Holds TRL's fused head against the class's own logits, and computes the loss from those where the two differ.

TRL 1.16 replaces a model's head by one that never builds the logits (`add_fused_lm_head`). It takes the hidden states
of `model.base_model` and knows the scales and caps of the families that it is tested with; a class that does something
else between its layers and its head (BERT's transform, another name for its backbone) would be trained on a wrong
loss, or not at all.
"""

from __future__ import annotations

import types
from typing import Any, Final

import torch
from trl.trainer.utils import FusedCausalLMOutput

ROWS, TOKENS = 2, 8
"""Shape of the batch that the two are compared on."""
NEAR: Final = {torch.float32: 1e-3}
"""Largest difference of two log-probabilities that is rounding, by dtype; each in absolute terms and as a share."""
NEAR_IN_16_BITS: Final = 0.05


def settle_head(trainer: Any) -> str:
    """Replace TRL's head by the class's own where the two do not give the same log-probabilities.

    Args:
        trainer: TRL's, built.

    Returns:
        Why it was replaced, a sentence's end; empty where it stays.
    """
    model = trainer.model
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    trains = model.training
    model.eval()
    try:
        with torch.no_grad(), trainer.accelerator.autocast():
            why = _difference(base, aux_loss=bool(trainer.aux_loss_enabled))
    finally:
        model.train(trains)
    if why:
        base.forward = types.MethodType(_own_head, base)
    return why


def _difference(base: Any, *, aux_loss: bool) -> str:
    ids = some_tokens(base.config, next(base.parameters()).device)
    asked: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    if aux_loss:
        asked["output_router_logits"] = True
    logits = type(base).forward(base, **asked).logits
    own = log_probabilities(logits[:, :-1], ids[:, 1:])
    try:
        fused = base(labels=ids, fused_lm_head=True, **asked).log_probs.float()
    except Exception as problem:
        return f"it does not run: {type(problem).__name__}: {' '.join(str(problem).split())[:150]}"
    near = NEAR.get(logits.dtype, NEAR_IN_16_BITS)
    off = (fused - own).abs()
    if bool((off <= near + near * own.abs()).all()):
        return ""
    return f"its log-probabilities are off by up to {float(off.max()):.2g}"


def some_tokens(config: Any, device: torch.device) -> torch.Tensor:
    """Return ordinary token ids, (ROWS, TOKENS): none that stands for an image, a sound or an end."""
    text = config.get_text_config(decoder=True)
    named = [value for part in (config, text) for key, value in part.to_dict().items() if "token" in key]
    each = [one for value in named for one in (value if isinstance(value, list | tuple) else [value])]
    taken = {one for one in each if isinstance(one, int)}
    free = [number for number in range(min(int(text.vocab_size), 4096)) if number not in taken]
    drawn = torch.randint(len(free), (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))
    return torch.tensor(free)[drawn].to(device)


def log_probabilities(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of each label, (rows, tokens) in fp32; logits are (rows, tokens, vocabulary)."""
    found: torch.Tensor = logits.float().log_softmax(-1).gather(-1, labels[..., None])
    return found[..., 0]


def _own_head(
    self: Any,
    *arguments: Any,
    fused_lm_head: bool = False,
    labels: Any = None,
    shift_labels: Any = None,
    num_items_in_batch: Any = None,
    **options: Any,
) -> Any:
    """Forward of the class; for TRL its losses by token, from all logits at once."""
    forward = type(self).forward
    if not fused_lm_head:
        given = {"labels": labels, "shift_labels": shift_labels, "num_items_in_batch": num_items_in_batch}
        return forward(self, *arguments, **options, **{key: x for key, x in given.items() if x is not None})
    options["use_cache"] = False
    out = forward(self, *arguments, **options)
    logits, wanted = (out.logits[:, :-1], labels[:, 1:]) if shift_labels is None else (out.logits, shift_labels)
    mask = wanted != -100
    log_probs = torch.where(mask, log_probabilities(logits, wanted.clamp(min=0)), 0.0)
    with torch.no_grad():
        each = logits.detach().float().log_softmax(-1)
        entropy = torch.where(mask, -(each.exp() * each).sum(-1), 0.0)
        is_top1 = (logits.argmax(-1) == wanted) & mask
    count = mask.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    aux_loss = getattr(out, "aux_loss", None)
    return FusedCausalLMOutput(
        loss=-log_probs.sum() / count,
        log_probs=log_probs,
        entropy=entropy,
        is_top1=is_top1,
        label_mask=mask,
        # A class that has none of its own is given none.
        aux_loss=log_probs.new_zeros(()) if aux_loss is None else aux_loss,
    )
