"""docs/rules.md is written from the rules, is current, and covers the guides."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from presets.recipes import load_recipes
from recommender.config.edit import flatten, value_of
from recommender.config.keys import fields
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.plan.recommend import recommend
from recommender.rules.stages import all_rules
from recommender.stages import STAGES
from recommender.stages.sft import SFT
from tests.unit.plan.facts import EXAMPLE, LLAMA_8B, RTX_4090, model
from tui.commands.root import command_names

DOCS = Path(__file__).parents[3] / "docs"
SEEDS = DOCS.parents[1] / "shared" / "seeds"
"""The guides that this project grew from, which are not part of the repository."""


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_rules", DOCS / "make_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(program: ModuleType) -> None:
    written = (DOCS / "rules.md").read_text(encoding="utf-8")
    now = program.page(program.example())
    assert program.without_figures(written) == program.without_figures(now), "run: python docs/make_rules.py"


def test_every_rule_and_key_is_on_the_page() -> None:
    written = (DOCS / "rules.md").read_text(encoding="utf-8")
    for rule in all_rules():
        for key in rule.keys:
            assert f"- **`{key}`**" in written


def test_every_line_of_the_guides_leads_somewhere() -> None:
    keys = {*flatten(FinetuneConfig(model="m", quantization=Quantization(bits=4))), "model", "rope_scaling"}
    recipes = {recipe.name for recipe in load_recipes()}
    lines = [line for guide in yaml.safe_load((DOCS / "guides.yaml").read_text()).values() for line in guide]
    assert len(lines) > 60
    for line in lines:
        assert set(line) == {"say", "key", "differ"}
        commands = re.findall(r"`([^`]+)`", line["key"])
        for command in commands:
            name, *rest = command.split()
            assert name in command_names(), line
            assert set(rest) <= recipes, line
        assert commands or line["key"] in keys or line["key"] == "obsolete", line


@pytest.mark.skipif(not SEEDS.is_dir(), reason="needs the seed guides")
def test_every_field_of_the_training_form_is_covered() -> None:
    form = (SEEDS / "003_d7d02b33796b0175.txt").read_text(encoding="utf-8")
    fields = set(re.findall(r"\((?:[A-Za-z ]+ / )([a-z][a-z0-9_]+)\)", form)) | {"rope_scaling"}
    covered = (DOCS / "guides.yaml").read_text(encoding="utf-8")
    assert len(fields) >= 15
    assert {field for field in fields if field not in covered} == set()


SET: dict[str, object] = {
    "revision": "main",
    "method": "lora",
    "quantization.bits": 8,
    "quantization.quant_type": "fp4",
    "quantization.double_quant": False,
    "quantization.experts": False,
    "lora.experts": True,
    "lora.r": 24,
    "lora.lora_alpha": 48,
    "lora.lora_dropout": 0.1,
    "lora.target_modules": ["q_proj", "v_proj"],
    "lora.bias": "all",
    "lora.use_rslora": True,
    "lora.use_dora": True,
    "lora.init_lora_weights": "olora",
    "lora.modules_to_save": ["lm_head"],
    "lora.rank_pattern": {"down_proj": 32},
    "lora.alpha_pattern": {"down_proj": 64},
    "rope_scaling": {"rope_type": "yarn", "factor": 2.0},
    "data.eval_fraction": 0.1,
    "data.max_length": 2048,
    "data.packing": True,
    "data.train_on": "all",
    "data.chat_template_kwargs": {"enable_thinking": False},
    "data.reasoning": "keep",
    "data.answers": "each",
    "data.allow_cut_rows": True,
    "data.task": "domain",
    "training.learning_rate": 1e-4,
    "training.num_train_epochs": 3,
    "training.max_steps": 60,
    "training.per_device_train_batch_size": 2,
    "training.gradient_accumulation_steps": 4,
    "training.lr_scheduler_type": "linear",
    "training.warmup_steps": 0.1,
    "training.weight_decay": 0.01,
    "training.optim": "sgd",
    "training.loraplus_lr_ratio": 16,
    "training.max_grad_norm": 1.0,
    "training.precision": "fp16",
    "training.tf32": False,
    "training.gradient_checkpointing": True,
    "training.activation_offloading": True,
    "training.attn_implementation": "eager",
    "training.seed": 3407,
    "launch.gpus": [0],
    "launch.processes": 2,
    "launch.nodes": 2,
    "launch.strategy": "ddp",
    "launch.offload": "params",
    "run.name": "mine",
    "run.logging_steps": 10,
    "run.eval_steps": 50,
    "run.save_steps": 50,
    "run.save_total_limit": 3,
    "run.report_to": ["tensorboard"],
    "run.on_end": "true",
    "run.on_nonfinite": "rollback",
    "run.early_stopping": 3,
    "data.skip_bad_rows": True,
    **{key: field.examples[0] for key, field in fields().items() if field.examples},
}
"""A value other than the default for every key; the schema's own example where it gives one."""


def stage_value(name: str) -> dict[str, object]:
    """Return the setting of a stage; none for the one that a configuration has without a word."""
    return {} if name == SFT.name else {"stage": name}


@pytest.mark.parametrize("key", SET)
def test_every_key_can_be_set_and_says_so(key: str) -> None:
    stage = next((stage.name for stage in STAGES.values() if key in stage.keys), SFT.name)
    tuned = model("qwen3-30b-a3b") if key == "lora.experts" else LLAMA_8B
    plan = recommend(tuned, RTX_4090, EXAMPLE, overrides={key: SET[key], **stage_value(stage)})
    given = value_of(plan.config, key)
    assert (given.model_dump() if hasattr(given, "model_dump") else given) == SET[key]
    assert key in plan.overrides
    if key in plan.reasons and plan.recommended[key] != given:
        assert plan.reasons[key].why.startswith(("You set this; recommended was ", "You set this, as is recommended."))


def test_no_key_of_the_configuration_is_left_out_of_that() -> None:
    files = {"model", "trust_remote_code", "data.train", "data.eval", "data.format", "data.template", "data.columns"}
    files |= {"start_from"}
    parts = {"rope_scaling.rope_type", "rope_scaling.factor"}
    assert set(fields()) - files - parts == set(SET)


@pytest.mark.parametrize(
    "advice",
    [
        "alpha at least the rank",
        "more than 3 epochs",
        "a larger rank for smaller models",
        "a larger alpha learns more",
        "pages its optimizer",
        "warms up slowly",
        "a lower rate is steadier",
        "overfits when too large",
    ],
)
def test_advice_that_a_second_reading_of_the_guides_found(advice: str) -> None:
    assert advice in (DOCS / "rules.md").read_text(encoding="utf-8")
