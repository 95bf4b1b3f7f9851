"""Every parameter of the guides, and those beside them, set: what the worker builds from it on a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from recommender.config.io import dump_config
from recommender.config.schema import FinetuneConfig
from tests.fixtures.child import run_python
from tests.functional.trainer.conftest import CPU
from trainer.run.folder import RunFolder

pytestmark = pytest.mark.torch

MakeConfig = Callable[..., FinetuneConfig]
GUIDES = Path(__file__).parents[3] / "docs" / "guides.yaml"

BUILD = """
import json, math, sys
from pathlib import Path
import torch
from bitsandbytes.functional import dequantize_4bit
from safetensors import safe_open
from recommender.steps import count_steps
from trainer.run.folder import RunFolder
from trainer.worker.stages.sft import training_arguments
from trainer.worker.setup.assemble import build
from trainer.worker.loop.resume_point import ResumePoint
from trainer.worker.loop.requests import Requests

def lost(layer, folder):
    # What of the weight the 4-bit layer lacks, as a share: without its adapter, and with it.
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        whole = file.get_tensor("model.layers.0.self_attn.q_proj.weight").float()
    base = layer.get_base_layer().weight
    rounded = dequantize_4bit(base.data, base.quant_state).float()
    update = layer.get_delta_weight("default").float()
    return [float((whole - rounded).norm() / whole.norm()), float((whole - rounded - update).norm() / whole.norm())]

def noise(trainer):
    # The largest difference that the first layer sees from the embeddings, over what NEFTune allows; by mode.
    seen, ids = {True: [], False: []}, []
    model = trainer.model.get_base_model()
    embed = model.get_input_embeddings()
    hooks = [
        embed.register_forward_pre_hook(lambda _, args: ids.append(args[0])),
        model.model.layers[0].register_forward_pre_hook(lambda layer, args: seen[layer.training].append(
            float((args[0] - embed.weight[ids[-1]]).abs().max()) * math.sqrt(args[0].shape[1] * args[0].shape[2]))),
    ]
    trainer.train()
    for hook in hooks:
        hook.remove()
    return {"training": [min(seen[True]), max(seen[True])], "evaluation": max(seen[False])}

def facts(path):
    folder = RunFolder(Path(path))
    job = build(folder, Requests(folder), ResumePoint())
    trainer, model = job.trainer, job.trainer.model
    adapted = {name: module for name, module in model.named_modules() if hasattr(module, "lora_A") and module.lora_A}
    trainer.create_optimizer()
    trainer.create_scheduler(num_training_steps=job.steps.total)
    first = next((m for n, m in adapted.items() if "layers.0" in n and n.endswith("q_proj")), None)
    kinds = [type(module).__name__ for module in model.modules() if type(module).__module__.startswith("bitsandbytes")]
    held = job.rows.held_out
    four = first if kinds.count("Linear4bit") else None
    answer = {
        "lost": lost(four, job.spec.path) if four is not None else None,
        "args": {k: v for k, v in trainer.args.to_dict().items() if isinstance(v, (bool, int, float, str, type(None)))},
        "adapted": sorted({name.rpartition(".")[2] for name in adapted}),
        "rank": {name.split("base_model.model.model.")[-1]: m.r["default"] for name, m in adapted.items()},
        "scale": round(first.scaling["default"], 4) if first is not None else None,
        "dropout": type(first.lora_dropout["default"]).__name__ if first is not None else None,
        "dora": bool(first.use_dora["default"]) if first is not None else None,
        "starts_at_zero": bool((first.lora_B["default"].weight == 0).all()) if first is not None else None,
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "trained_biases": sum("bias" in n for n, p in model.named_parameters() if p.requires_grad),
        "saved": sorted({n.split(".modules_to_save")[0].rpartition(".")[2]
                         for n, p in model.named_parameters() if p.requires_grad and "modules_to_save" in n}),
        "linear4bit": kinds.count("Linear4bit"),
        "linear8bit": kinds.count("Linear8bitLt"),
        "quant_types": sorted({m.weight.quant_type for m in model.modules() if type(m).__name__ == "Linear4bit"}),
        "nested": sorted({m.weight.compress_statistics for m in model.modules() if type(m).__name__ == "Linear4bit"}),
        "dtype": str(next(p for n, p in model.named_parameters() if n.endswith("norm.weight")).dtype),
        "attention": model.config._attn_implementation,
        "rope": dict(model.config.rope_parameters),
        "optimizer": type(trainer.optimizer).__name__,
        "rates": sorted({group["initial_lr"] for group in trainer.optimizer.param_groups}),
        "decays": sorted({group["weight_decay"] for group in trainer.optimizer.param_groups}),
        "scheduler": trainer.args.lr_scheduler_type,
        "warmup": job.steps.warmup,
        "steps": job.steps.total,
        "rows": len(job.rows.train),
        "held_out": len(held) if held is not None else 0,
        "longest": max(len(ids) for ids in job.rows.train["input_ids"]),
        "trained_share": round(job.rows.trained_share, 3),
        "text": job.rows.source.prompt_text(0)[:40],
    }
    if job.config.training.neftune_noise_alpha:
        answer["noise"] = noise(trainer)
    if job.config.training.precision == "fp32":  # as on CUDA; Transformers refuses 16 bits without a GPU
        as_cuda = training_arguments(job.config, folder.checkpoints, job.steps, evaluates=False, cuda=True)
        answer |= {"offloading": bool(as_cuda.activation_offloading), "tf32": as_cuda.tf32}
    return answer

print(json.dumps({Path(path).name: facts(path) for path in sys.argv[1:]}))
"""

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "full": {"method": "full"},
    "quantization.bits": {"method": "qlora", "quantization.bits": 8},
    "quantization.quant_type": {"method": "qlora", "quantization.quant_type": "fp4"},
    "quantization.double_quant": {"method": "qlora", "quantization.double_quant": False},
    "lora.r": {"lora.r": 4},
    "lora.lora_alpha": {"lora.lora_alpha": 64},
    "lora.lora_dropout": {"lora.lora_dropout": 0.1},
    "lora.target_modules": {"lora.target_modules": ["q_proj", "v_proj"]},
    "lora.bias": {"lora.bias": "all"},
    "lora.use_rslora": {"lora.use_rslora": True},
    "lora.use_dora": {"lora.use_dora": True},
    "lora.init_lora_weights": {"lora.init_lora_weights": "pissa"},
    "loftq": {"method": "qlora", "lora.init_lora_weights": "loftq"},
    "qlora": {"method": "qlora"},
    "lora.modules_to_save": {"lora.modules_to_save": ["embed_tokens"]},
    "lora.rank_pattern": {"lora.rank_pattern": {"k_proj": 2}},
    "lora.alpha_pattern": {"lora.alpha_pattern": {"q_proj": 4}},
    "rope_scaling": {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
    "data.max_length": {"data.max_length": 24},
    "data.train_on": {"data.train_on": "all"},
    "data.template": {"data.template": "alpaca"},
    "data.eval_fraction": {"data.eval_fraction": 0.5},
    "training.learning_rate": {"training.learning_rate": 3e-4},
    "training.num_train_epochs": {"training.num_train_epochs": 2, "training.max_steps": None},
    "training.max_steps": {"training.max_steps": 9},
    "training.per_device_train_batch_size": {"training.per_device_train_batch_size": 2},
    "training.gradient_accumulation_steps": {"training.gradient_accumulation_steps": 3},
    "training.lr_scheduler_type": {"training.lr_scheduler_type": "constant"},
    "training.warmup_steps": {"training.warmup_steps": 0.5},
    "training.weight_decay": {"training.weight_decay": 0.3},
    "training.optim": {"training.optim": "sgd"},
    "training.loraplus_lr_ratio": {"training.loraplus_lr_ratio": 16},
    "training.max_grad_norm": {"training.max_grad_norm": 0.3},
    "training.neftune_noise_alpha": {
        "training.neftune_noise_alpha": 5,
        "training.max_steps": 2,
        "data.eval_fraction": 0.1,
        "run.eval_steps": 1,
    },
    "training.precision": {"training.precision": "bf16"},
    "training.gradient_checkpointing": {"training.gradient_checkpointing": True},
    "training.activation_offloading": {"training.activation_offloading": True, "training.gradient_checkpointing": True},
    "training.attn_implementation": {"training.attn_implementation": "eager"},
    "training.seed": {"training.seed": 3407},
    "run.logging_steps": {"run.logging_steps": 5},
    "run.eval_steps": {"run.eval_steps": 2, "run.save_steps": 4},
    "run.save_total_limit": {"run.save_total_limit": 7},
}
"""Dotted key to a configuration in which it differs from the plain one."""

SETS: dict[str, dict[str, Any]] = {
    "training.learning_rate": {"learning_rate": 3e-4},
    "training.num_train_epochs": {"num_train_epochs": 2.0, "max_steps": -1},
    "training.max_steps": {"max_steps": 9},
    "training.per_device_train_batch_size": {"per_device_train_batch_size": 2},
    "training.gradient_accumulation_steps": {"gradient_accumulation_steps": 3},
    "training.lr_scheduler_type": {"lr_scheduler_type": "constant"},
    "training.warmup_steps": {"warmup_steps": 0.5},
    "training.max_grad_norm": {"max_grad_norm": 0.3},
    "training.neftune_noise_alpha": {"neftune_noise_alpha": 5.0},
    "training.precision": {"bf16": True, "fp16": False},
    "training.gradient_checkpointing": {"gradient_checkpointing": True},
    "training.seed": {"seed": 3407},
    "run.logging_steps": {"logging_steps": 5},
    "run.eval_steps": {"eval_steps": 2, "save_steps": 4},
    "run.save_total_limit": {"save_total_limit": 7},
}
"""What Transformers' arguments say then."""

ALL = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
BUILT: dict[str, dict[str, Any]] = {
    "plain": {"linear4bit": 0, "optimizer": "AdamW", "steps": 6, "warmup": 1, "scale": 2.0, "dropout": "Identity",
              "dora": False, "starts_at_zero": True, "adapted": ALL, "saved": [], "trained_biases": 0,
              "dtype": "torch.float32", "attention": "sdpa", "offloading": False, "tf32": False,
              "rates": [0.01], "decays": [0.0]},
    "full": {"adapted": []},
    "quantization.bits": {"linear8bit": 14, "linear4bit": 0},
    "quantization.quant_type": {"linear4bit": 14, "quant_types": ["fp4"], "nested": [True]},
    "quantization.double_quant": {"linear4bit": 14, "quant_types": ["nf4"], "nested": [False]},
    "lora.r": {"scale": 8.0},
    "lora.lora_alpha": {"scale": 4.0},
    "lora.lora_dropout": {"dropout": "Dropout"},
    "lora.target_modules": {"adapted": ["q_proj", "v_proj"]},
    "lora.use_rslora": {"scale": 8.0},
    "lora.use_dora": {"dora": True},
    "lora.init_lora_weights": {"starts_at_zero": False},
    "lora.modules_to_save": {"saved": ["embed_tokens"]},
    "lora.alpha_pattern": {"scale": 0.25},
    "data.max_length": {"longest": 24},
    "data.train_on": {"trained_share": 1.0},
    "data.eval_fraction": {"held_out": 24, "rows": 24},
    "training.num_train_epochs": {"steps": 20},
    "training.warmup_steps": {"warmup": 3},
    "training.weight_decay": {"decays": [0.0, 0.3]},
    "training.optim": {"optimizer": "SGD"},
    "training.loraplus_lr_ratio": {"rates": [1e-6, 0.01, 0.16]},
    "training.precision": {"dtype": "torch.bfloat16"},
    "training.activation_offloading": {"offloading": True},
    "training.attn_implementation": {"attention": "eager"},
}  # fmt: skip
"""What the worker has built then."""

ELSEWHERE = {
    "model": "every case names it",
    "method": "the cases full and quantization.*",
    "data.train": "every case names it; weights: tests/unit/data",
    "data.task": "it moves the rank: tests/unit/rules/test_decisions.py",
}
"""Keys of the guides that another test holds, and which."""


@pytest.fixture(scope="module")
def built(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What one worker process builds from every case."""
    folders = []
    for name, changes in CASES.items():
        folder = RunFolder(tmp_path_factory.mktemp("cases", numbered=True) / name)
        folder.path.mkdir()
        text = dump_config(make_config(**{key.replace(".", "__"): value for key, value in changes.items()}))
        for path in (folder.config, folder.effective_config):
            path.write_text(text)
        folder.plan.write_text(json.dumps({"device": asdict(CPU)}))
        folders.append(str(folder.path))
    answer: dict[str, dict[str, Any]] = run_python(BUILD, *folders)
    return answer


@pytest.mark.parametrize("name", BUILT)
def test_the_worker_builds_what_was_set(built: dict[str, dict[str, Any]], name: str) -> None:
    assert {key: built[name][key] for key in BUILT[name]} == BUILT[name]


@pytest.mark.parametrize("name", SETS)
def test_the_trainer_is_told_what_was_set(built: dict[str, dict[str, Any]], name: str) -> None:
    assert {key: built[name]["args"][key] for key in SETS[name]} == SETS[name]


def test_ranks_by_layer_and_module(built: dict[str, dict[str, Any]]) -> None:
    assert set(built["lora.r"]["rank"].values()) == {4}
    ranks = built["lora.rank_pattern"]["rank"]
    assert {name.rpartition(".")[2]: r for name, r in ranks.items()} == {**dict.fromkeys(ALL, 16), "k_proj": 2}


def test_full_fine_tuning_and_biases_train_more(built: dict[str, dict[str, Any]]) -> None:
    assert built["full"]["trained"] > built["plain"]["trained"] > built["lora.r"]["trained"]
    assert built["lora.bias"]["trained"] == built["plain"]["trained"], "this model has no biases"


def test_loftq_makes_up_for_what_rounding_lost(built: dict[str, dict[str, Any]]) -> None:
    rounded, corrected = built["loftq"]["lost"]
    assert corrected < 0.8 * rounded
    rounded, without = built["qlora"]["lost"]
    assert without == rounded, "B starts at zero"


def test_noise_is_added_to_the_embeddings_in_training_only(built: dict[str, dict[str, Any]]) -> None:
    low, high = built["training.neftune_noise_alpha"]["noise"]["training"]
    assert 4.0 < low <= high <= 5.0001, "of some hundred draws below 5 the largest is near it"
    assert built["training.neftune_noise_alpha"]["noise"]["evaluation"] == 0


TRACE = """
import json, sys
from dataclasses import replace
from benchmarks.formula_vs_trace import compare
from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_from_catalogue
from recommender.memory.price import price
from recommender.memory.stacks import STACKS
from recommender.memory.workload import resolve_workload
from recommender.model.families import spec_from_config

spec = spec_from_config({"model_type": "llama", "hidden_size": 512, "num_hidden_layers": 2, "intermediate_size": 1536,
                         "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32000}, "small")
found = []
for method, checkpointing in (("lora", True), ("lora", False), ("full", True)):
    levels = []
    for alpha in (None, 5.0):
        config = FinetuneConfig.model_validate({
            "model": "small", "method": method, "data": {"max_length": 512, "packing": False},
            "training": {"gradient_checkpointing": checkpointing, "neftune_noise_alpha": alpha}})
        case = resolve_workload(config, spec, device_from_catalogue("A100 PCIe 80GB"), None, STACKS["trl"])
        levels.append((price(case).allocated, compare(case)[1]["allocated"]))
    found.append([after - before for before, after in zip(*levels)])
print(json.dumps(found))
"""


def test_the_formula_and_the_trace_agree_on_what_the_noise_takes() -> None:
    embeddings = 512 * 512 * 2
    assert run_python(TRACE) == [[embeddings, embeddings], [0, 0], [0, 0]]


def test_positions_are_stretched(built: dict[str, dict[str, Any]]) -> None:
    rope = built["rope_scaling"]["rope"]
    assert (rope["rope_type"], rope["factor"]) == ("yarn", 2.0)
    assert built["plain"]["rope"]["rope_type"] == "default"


def test_the_template_makes_the_text(built: dict[str, dict[str, Any]]) -> None:
    assert "<|im_start|>" in built["plain"]["text"]
    assert "<|im_start|>" not in built["data.template"]["text"]


def test_every_parameter_of_the_guides_is_here() -> None:
    lines = [line for guide in yaml.safe_load(GUIDES.read_text(encoding="utf-8")).values() for line in guide]
    keys = {line["key"] for line in lines if "`" not in line["key"] and line["key"] != "obsolete"}
    assert keys - {*CASES, *ELSEWHERE} == set()
    own = {"loftq", "qlora", "lora.bias", "lora.rank_pattern", "rope_scaling", "data.template"}
    assert {*CASES} - {*BUILT, *SETS, *own} == set()
