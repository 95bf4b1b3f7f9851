"""Adapters and bases of every kind merged shard by shard: the result answers as base and adapter do."""

import json
from pathlib import Path

import pytest

from tests.fixtures.child import run_python
from tests.fixtures.tiny_model import build_tiny_llama

pytestmark = pytest.mark.torch

MERGED = """
import json, shutil, sys, torch
from pathlib import Path
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trainer.run.folder import RunFolder
from trainer.worker.after import merge as merging

tied, untied, scratch = map(Path, sys.argv[1:])
merging.MOST_OFF = 0.05
ids = torch.arange(12).unsqueeze(0)
LINEAR = ["q_proj", "v_proj", "down_proj"]


def split(base, into):
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).save_pretrained(into, max_shard_size="100KB")
    for path in base.glob("*.json"):
        if not (into / path.name).exists():
            shutil.copy(path, into)
    return into


def packed(base, into):
    options = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                 bnb_4bit_compute_dtype=torch.float32)
    AutoModelForCausalLM.from_pretrained(base, quantization_config=options, dtype=torch.float32,
                                         device_map="cpu").save_pretrained(into)
    for path in base.glob("*.json"):
        if not (into / path.name).exists():
            shutil.copy(path, into)
    return into


def held(name, base, by=0.05, **options):
    torch.manual_seed(3)
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, **{"target_modules": LINEAR, **options})
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), lora)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += by * torch.randn_like(parameter)
    run = RunFolder(scratch / name)
    run.path.mkdir()
    model.save_pretrained(str(run.adapter), save_embedding_layers=False)
    run.effective_config.write_text(json.dumps({"model": str(base), "method": "lora", "quantization": {"bits": None},
                                                "training": {"precision": "fp32"}}))
    into = scratch / (name + "-merged")
    into.mkdir()
    told = merging.merge(run, into)
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, device_map="cpu")
        before = plain(ids).logits
        tuned = PeftModel.from_pretrained(plain, str(run.adapter))(ids).logits
        found = AutoModelForCausalLM.from_pretrained(into, dtype=torch.float32)(ids).logits
    moved = float((tuned - before).norm())
    size = float(before.norm())
    return {**told, "seen off": float((found - tuned).norm()) / (moved or size), "seen moved": moved / size}


kinds = {
    "plain": held("plain", tied),
    "stabilised": held("stabilised", tied, use_rslora=True, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3}),
    "dora": held("dora", tied, use_dora=True),
    "pissa": held("pissa", untied, init_lora_weights="pissa"),
    "bias": held("bias", tied, bias="all"),
    "head": held("head", untied, modules_to_save=["lm_head"]),
    "tied head": held("tied head", tied, modules_to_save=["lm_head"]),
    "norms": held("norms", tied, modules_to_save=["input_layernorm"]),
    "embedding": held("embedding", untied, target_modules=[*LINEAR, "embed_tokens"]),
    "shards": held("shards", split(untied, scratch / "split"), use_dora=True),
    "four bits": held("four bits", packed(untied, scratch / "packed"), use_dora=False),
}
print(json.dumps([kinds, held("untouched", tied, by=0.0)]))
"""


def test_every_kind_of_adapter_and_base(tmp_path: Path) -> None:
    tied = build_tiny_llama(tmp_path / "tied")
    untied = build_tiny_llama(tmp_path / "untied", tied=False)
    (tmp_path / "runs").mkdir()
    kinds, untouched = run_python(MERGED, str(tied), str(untied), str(tmp_path / "runs"))
    assert {name for name, told in kinds.items() if told["seen moved"] < 1e-3} == set()
    assert {name: told["seen off"] for name, told in kinds.items() if told["seen off"] > 0.05} == {}
    # None is said where rounding hides the adapter, which moves enough here.
    said = {name: told["off"] for name, told in kinds.items()}
    assert {name: off for name, off in said.items() if off is None or off > 0.05} == {}
    assert (untouched["off"], untouched["moved"], untouched["agreement"]) == (None, 0.0, 1.0), untouched
    assert untouched["seen off"] <= untouched["rounding"] + 0.01
    assert kinds["shards"]["shards"] > 3
    configs = {name: json.loads((tmp_path / "runs" / f"{name}-merged" / "config.json").read_text()) for name in kinds}
    assert configs["plain"]["tie_word_embeddings"]
    assert not configs["tied head"]["tie_word_embeddings"]
    assert "quantization_config" not in configs["four bits"]
