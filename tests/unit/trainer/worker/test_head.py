"""TRL's fused head stays where it gives the class's own loss, and gives way where it does not."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from trainer.worker.stages.head import settle_head, some_tokens

SMALL: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4},
    "bert": {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "is_decoder": True,
    },
}
IDS = torch.randint(5, 60, (2, 12), generator=torch.Generator().manual_seed(1))


def trainer(model_type: str) -> Any:
    """What `settle_head` asks of TRL's trainer, over a tiny model with TRL's head."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, vocab_size=64, max_position_embeddings=64, **SMALL[model_type])
    model = AutoModelForCausalLM.from_config(config)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    return SimpleNamespace(model=model, accelerator=SimpleNamespace(autocast=nullcontext), aux_loss_enabled=False)


@pytest.mark.parametrize(("model_type", "stays"), [("llama", True), ("bert", False)])
def test_the_loss_is_that_of_the_class(model_type: str, stays: bool) -> None:
    made = trainer(model_type)
    made.model.train()

    why = settle_head(made)

    assert (why == "") is stays
    assert made.model.training
    labels = IDS.clone()
    labels[:, :4] = -100
    made.model.eval()
    with torch.no_grad():
        own = made.model(input_ids=IDS, labels=labels).loss
        fused = made.model(input_ids=IDS, labels=labels, fused_lm_head=True)
    assert torch.allclose(fused.loss, own, atol=1e-5)
    assert int(fused.label_mask.sum()) == 2 * 8
    assert not fused.log_probs[~fused.label_mask].any()
    assert float(fused.entropy.max()) <= float(torch.log(torch.tensor(64.0))) + 1e-5


def test_a_model_with_several_ends_is_asked_of_ordinary_tokens() -> None:
    config = AutoConfig.for_model("llama", vocab_size=64, eos_token_id=[2, 5, 9], pad_token_id=7)

    ids = some_tokens(config, torch.device("cpu"))

    assert ids.shape == (2, 8)
    assert not set(ids.flatten().tolist()) & {1, 2, 5, 7, 9}


def test_gradients_come_through_the_class_s_own_head() -> None:
    made = trainer("bert")
    settle_head(made)
    made.model.train()

    made.model(input_ids=IDS, labels=IDS, fused_lm_head=True).loss.backward()

    # The transform between layers and head, which TRL's head passes over.
    assert made.model.cls.predictions.transform.dense.weight.grad.any()
