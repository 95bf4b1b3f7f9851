"""Experts in 4 bits: what is held, what a step computes, what learns, and what is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, core_model_loading

from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from tests.fixtures.mixtures import KINDS, saved_mixture
from trainer.trace.record import Recorder
from trainer.worker.setup.adapter import adapter_config
from trainer.worker.setup.experts.adapter import ParamWrapper, with_adapter
from trainer.worker.setup.experts.modules import fused_modules, layout_of, weight_names
from trainer.worker.setup.experts.packed import unpacked
from trainer.worker.setup.model import load_model

pytestmark = pytest.mark.torch
IDS = torch.arange(96).reshape(4, 24) * 5 % 512


class InMemory(Recorder):  # type: ignore[no-untyped-call]  # torch's modes are untyped
    """Records what takes memory: nothing on meta."""

    def see(self, tensor: torch.Tensor) -> int:
        """The number of a tensor's storage; -1 on meta."""
        return -1 if tensor.is_meta else super().see(tensor)


def config(folder: Path, **changes: Any) -> FinetuneConfig:
    """Adapters of rank 4 on all linear layers and on the experts, over 4 bits in fp32."""
    lora = {"r": 4, "lora_alpha": 8, "experts": True, **changes.pop("lora", {})}
    values = {
        "model": str(folder),
        "lora": lora,
        "training": {"precision": "fp32", "attn_implementation": "eager"},
        **changes,
    }
    return FinetuneConfig.model_validate(values)


def loaded(settings: FinetuneConfig) -> Any:
    """The base as the worker loads it."""
    return load_model(settings, read_model(settings.model), cuda=False)


def adapted(settings: FinetuneConfig) -> Any:
    """With its adapter, to train."""
    model = loaded(settings)
    torch.manual_seed(1)
    model = get_peft_model(model, adapter_config(settings.lora, model)).train()
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def in_full(packed: Any, folder: Path) -> Any:
    """The same model in fp32, with the values that the packed weights stand for."""
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for (_, ours), (_, theirs) in zip(packed.named_modules(), plain.named_modules(), strict=True):
        if isinstance(ours, Linear4bit):
            state: Any = ours.weight.quant_state
            theirs.weight.data = dequantize_4bit(ours.weight.data, state)
    for (_, ours), (_, theirs) in zip(fused_modules(packed), fused_modules(plain), strict=True):
        for name in weight_names(ours):
            getattr(theirs, name).data = torch.cat([unpacked(ours, name, i, i + 1) for i in range(ours.num_experts)])
    return plain


def logits(model: Any) -> torch.Tensor:
    """Of the same rows each time."""
    with torch.no_grad():
        out: torch.Tensor = model(IDS).logits
    return out


@pytest.fixture(params=list(KINDS))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A saved mixture of each kind."""
    return saved_mixture(request.param, tmp_path / "base")


def test_experts_are_held_in_four_bits_and_compute_what_they_stand_for(folder: Path) -> None:
    packed = loaded(config(folder))
    plain = in_full(packed, folder)
    for _, module in fused_modules(packed):
        for name in weight_names(module):
            layout = layout_of(module, name)
            values = layout.experts * layout.values
            held = [p for key, p in module.named_parameters() if key.startswith(name) and not key.endswith("bias")]
            # Half a byte, its scales, and for so small experts what fills the last block of scales.
            assert 0.5 < sum(p.nbytes for p in held) / values < 0.75
    torch.testing.assert_close(logits(packed), logits(plain), rtol=0, atol=1e-5)


def test_routers_and_biases_stay_in_their_precision(folder: Path) -> None:
    packed = loaded(config(folder, training={"precision": "bf16", "attn_implementation": "eager"}))
    kept = {n: p.dtype for n, p in packed.named_parameters() if ".gate.weight" in n or "router" in n or "_bias" in n}
    assert kept and set(kept.values()) == {torch.bfloat16}


def test_attention_and_experts_learn_and_plain_peft_gives_the_trained_logits(folder: Path, tmp_path: Path) -> None:
    model = adapted(config(folder))
    before = logits(model)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert any("experts.lora_A" in name for name in trained) and any("q_proj" in name for name in trained)
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2)
    losses = []
    for _ in range(4):
        loss = model(IDS, labels=IDS).loss
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        if len(losses) == 2:
            # At the first step B is zero, and so is the gradient of A.
            assert [name for name, p in trained.items() if p.grad is None or not p.grad.any()] == []
        optimizer.zero_grad()
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.5
    after = logits(model.eval())
    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert sorted(saved["target_parameters"]) == ["experts.down_proj", "experts.gate_up_proj"]
    base = loaded(config(folder))
    plain = PeftModel.from_pretrained(in_full(base, folder), str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(plain.eval()), after, rtol=0, atol=1e-4)
    assert (after - before).abs().max() > 0.1
    again = with_adapter(base, tmp_path / "adapter").eval()
    torch.testing.assert_close(logits(again), after, rtol=0, atol=1e-5)
    assert any(isinstance(module, ParamWrapper) for module in again.modules())


def test_experts_in_full_are_adapted_as_peft_adapts_them(folder: Path, tmp_path: Path) -> None:
    settings = config(folder, method="lora", quantization={"bits": None})
    model = adapted(settings)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(plain, str(tmp_path / "adapter"), is_trainable=True)
    for each in (model, theirs):
        each.train()(IDS, labels=IDS).loss.backward()
    torch.testing.assert_close(logits(model), logits(theirs), rtol=0, atol=1e-4)
    ours, others = (
        {n: p.grad for n, p in each.named_parameters() if p.requires_grad and p.grad is not None}
        for each in (model, theirs)
    )
    assert ours.keys() == others.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-3, atol=1e-5, msg=name)


def test_loading_never_holds_more_than_a_layer_s_experts_in_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = InMemory()
    read = core_model_loading._materialize_copy

    def seen(tensor: Any, device: Any = None, dtype: Any = None) -> torch.Tensor:
        found: torch.Tensor = read(tensor, device, dtype)
        recorder.see(found)
        return found

    monkeypatch.setattr(core_model_loading, "_materialize_copy", seen)
    with recorder:
        model = loaded(config(folder))
    most = level = 0
    for event in recorder.recording.events:
        size = recorder.recording.sizes[abs(event) - 1] if event else 0
        level += size if event > 0 else -size
        most = max(most, level)
    layers = [
        4 * sum(layout_of(module, name).experts * layout_of(module, name).values for name in weight_names(module))
        for _, module in fused_modules(model)
    ]
    assert len(layers) > 1
    assert most - level <= max(layers), (most, level, layers)


def test_the_auxiliary_loss_follows_the_configuration(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"output_router_logits": True, "router_aux_loss_coef": 0.5}
    with_loss = saved_mixture("mixtral", tmp_path / "with", **changes)
    without = saved_mixture("mixtral", tmp_path / "without")
    found = [loaded(config(each))(IDS, labels=IDS) for each in (with_loss, without)]
    assert found[0].aux_loss is not None and getattr(found[1], "aux_loss", None) is None
    torch.testing.assert_close(found[0].loss, found[1].loss + 0.5 * found[0].aux_loss)


def test_experts_stay_in_sixteen_bits_where_the_configuration_says_so(tmp_path: Path) -> None:
    settings = config(saved_mixture("mixtral", tmp_path), quantization={"experts": False})
    model = loaded(settings)
    assert {p.dtype for _, module in fused_modules(model) for p in module.parameters()} == {torch.float32}
    assert any(isinstance(module, Linear4bit) for module in model.modules())


def test_a_sample_before_training_leaves_the_gradients_as_they_are(tmp_path: Path) -> None:
    """bitsandbytes packs a layer anew at an answer on CPUs with bf16 instructions: no gradient passes it then."""
    model = adapted(config(saved_mixture("mixtral", tmp_path)))
    logits(model.eval())
    model.train()(IDS, labels=IDS).loss.backward()
    silent = [n for n, p in model.named_parameters() if "lora_B" in n and (p.grad is None or not p.grad.any())]
    assert silent == []
