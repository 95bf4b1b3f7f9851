"""Bases as they are published: MXFP4 and FP8 are unpacked while they are loaded, to 16 bits or to NF4."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    FineGrainedFP8Config,
    Mxfp4Config,
    PretrainedConfig,
)

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from tests.fixtures import published as made
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.classes.load import pretrained
from trainer.classes.published import published_form, published_tensors, unpack_fp8
from trainer.run.folder import RunFolder
from trainer.worker.after.merge import merge
from trainer.worker.setup.model import load_model

pytestmark = pytest.mark.torch

Packing = Callable[[Path], dict[str, torch.Tensor]]
IDS = torch.tensor([[5, 9, 3, 77, 31, 8, 2, 60]])
CASES: dict[str, tuple[Callable[[], PretrainedConfig], Packing]] = {
    "gpt-oss, MXFP4": (made.gpt_oss, made.as_mxfp4),
    "Qwen 3, FP8 in blocks": (made.qwen3, lambda folder: made.as_fp8(folder, "block")),
    "Qwen 3 mixture, FP8 in blocks": (made.qwen3_moe, lambda folder: made.as_fp8(folder, "block")),
    "Mistral, FP8 by tensor": (made.mistral, lambda folder: made.as_fp8(folder, "tensor")),
    "Mistral, FP8 by row": (made.mistral, lambda folder: made.as_fp8(folder, "channel")),
}


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A published folder, and one with the same weights in bf16."""
    config, pack = CASES[request.param]
    folder = made.saved(config(), tmp_path / "published")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "config.json").write_text((folder / "config.json").read_text())
    save_file(pack(folder), plain / made.FILE, metadata={"format": "pt"})
    return folder, plain


def _logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits.float()
    return found


def _in_fp32(folder: Path) -> torch.Tensor:
    return _logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


def test_gives_the_logits_of_the_weights_that_it_stands_for(case: tuple[Path, Path]) -> None:
    published, plain = case
    model = pretrained(AutoModelForCausalLM, published, dtype=torch.bfloat16)
    torch.testing.assert_close(_logits(model.float()), _in_fp32(plain), rtol=1e-5, atol=1e-5)
    assert getattr(model.config, "quantization_config", None) is None


def test_in_fp32_it_is_not_rounded_before(case: tuple[Path, Path]) -> None:
    published, plain = case
    model = pretrained(AutoModelForCausalLM, published, dtype=torch.float32)
    known = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.bfloat16)
    for (name, one), (_, other) in zip(model.named_parameters(), known.named_parameters(), strict=True):
        assert one.dtype == torch.float32 and torch.equal(one.to(torch.bfloat16), other), name


def test_is_the_same_in_four_bits_as_the_plain_model_is(case: tuple[Path, Path]) -> None:
    published, plain = case
    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    ours = pretrained(AutoModelForCausalLM, published, dtype=torch.bfloat16, quantization_config=four)
    theirs = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.bfloat16, quantization_config=four)
    assert type(ours.model.layers[0].self_attn.q_proj).__name__ == "Linear4bit"
    torch.testing.assert_close(_logits(ours), _logits(theirs), rtol=1e-5, atol=1e-5)


def test_transformers_unpacks_to_the_same_where_it_can(tmp_path: Path) -> None:
    folder = made.saved(made.gpt_oss(), tmp_path / "a")
    made.as_mxfp4(folder)
    theirs = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=Mxfp4Config(dequantize=True)
    )
    ours = pretrained(AutoModelForCausalLM, folder, dtype=torch.bfloat16)
    for (name, one), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_transformers_unpacks_blocks_to_the_same_where_they_divide_the_sizes(tmp_path: Path) -> None:
    folder = made.saved(made.qwen3(), tmp_path / "a")
    made.as_fp8(folder, "block", 64)
    theirs = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=FineGrainedFP8Config(dequantize=True)
    )
    ours = pretrained(AutoModelForCausalLM, folder, dtype=torch.bfloat16)
    for (name, one), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_is_counted_as_the_model_that_it_becomes(case: tuple[Path, Path]) -> None:
    published, plain = case
    spec, known = read_model(str(published)), read_model(str(plain))
    assert (spec.total_parameters, spec.parameters_exact) == (known.total_parameters, True)
    assert not spec.unsupported and not spec.held_packed and spec.quantization in ("mxfp4", "fp8")


def test_one_tensor_is_unpacked_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 4 bits no second 16-bit weight is made before the first one is packed and gone."""
    import weakref

    from trainer.classes import published

    folder = made.saved(made.qwen3(), tmp_path / "a")
    made.as_fp8(folder, "block")
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def counted(*given: Any) -> torch.Tensor:
        nonlocal most
        found = unpack_fp8(*given)
        alive.append(weakref.ref(found))
        most = max(most, sum(one() is not None for one in alive))
        return found

    monkeypatch.setattr(published, "unpack_fp8", counted)
    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    pretrained(AutoModelForCausalLM, folder, dtype=torch.bfloat16, quantization_config=four)
    assert len(alive) == 14 and most <= 2


def test_fused_experts_in_fp8_with_a_scale_a_column() -> None:
    """FBGEMM's form of Llama 4: (experts, in, out) with scales (experts, 1, out)."""
    weight = torch.randn(3, 8, 12).to(torch.float8_e4m3fn)
    scale = torch.rand(3, 1, 12)
    assert torch.equal(unpack_fp8(weight, scale, None, torch.float32), weight.float() * scale)
    each = torch.rand(3)
    assert torch.equal(unpack_fp8(weight, each, None, torch.float32), weight.float() * each[:, None, None])


def test_scales_that_are_no_grid_of_the_weight_are_refused() -> None:
    with pytest.raises(InputError, match="are no blocks of it"):
        unpack_fp8(torch.ones(10, 4).to(torch.float8_e4m3fn), torch.rand(7, 1), None, torch.float32)


def test_a_packed_weight_without_its_scale_is_said(tmp_path: Path) -> None:
    folder = made.saved(made.qwen3(), tmp_path / "a")
    made.as_fp8(folder, "block")
    lost = {name: value for name, value in load_file(folder / made.FILE).items() if "q_proj.weight_scale" not in name}
    save_file(lost, folder / made.FILE, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"q_proj\.weight is stored in FP8 and no tensor"):
        published_tensors(folder)


def test_an_adapter_is_merged_into_the_unpacked_weights(case: tuple[Path, Path], tmp_path: Path) -> None:
    published, plain = case
    torch.manual_seed(3)
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32), lora)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn_like(parameter)
    build_tiny_llama(tmp_path / "tokens", with_weights=False)
    for path in (tmp_path / "tokens").glob("tokenizer*"):
        shutil.copy(path, published)
    run = RunFolder(tmp_path / "run")
    model.save_pretrained(str(run.adapter), save_embedding_layers=False)
    chosen = {"model": str(published), "method": "lora", "quantization": {"bits": None}}
    run.effective_config.write_text(json.dumps({**chosen, "training": {"precision": "fp32"}}))
    (tmp_path / "merged").mkdir()
    merge(run, tmp_path / "merged")
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
    torch.testing.assert_close(_in_fp32(tmp_path / "merged"), _logits(model), rtol=0.05, atol=0.05)


def test_the_worker_loads_it_as_planned(case: tuple[Path, Path]) -> None:
    published, _ = case
    spec = read_model(str(published))
    chosen = {"model": str(published), "method": "qlora", "quantization": {"bits": 4}}
    eager = {"attn_implementation": "eager"}
    config = FinetuneConfig.model_validate({**chosen, "data": {"train": ["x.jsonl"]}, "training": eager})
    model = load_model(config, spec, cuda=False)
    assert type(model.model.layers[0].self_attn.q_proj).__name__ == "Linear4bit"
    assert model.name_or_path == str(published)


@pytest.mark.parametrize("method", ["gptq", "awq", "hqq"])
def test_what_nothing_is_trained_over_is_no_published_form(tmp_path: Path, method: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": method}}))
    assert published_form(tmp_path) is None
