"""Every model type of AutoModelForCausalLM, tried: `python -m benchmarks.coverage [TYPE...]`.

First by plain Transformers and PEFT alone: a small configuration (`benchmarks.tiny_configs`), LoRA on all linear
layers, one step on the CPU. The types that pass are the denominator. Then by the worker's own functions: the class that
config.json names is saved with random weights, loaded by `load_model` from its folder, adapted by `adapter_config`, and
trained one step, after which every adapter must have a gradient. A line a type goes to results/coverage.jsonl, types
that have one are not tried again; at the end stands what this program's users see: how many, and each that fails.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from benchmarks.each_type import reason, try_each, versions
from benchmarks.tiny_configs import small
from presets.errors import WizardError
from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig, Lora, Quantization
from recommender.model.reader import read_model
from trainer.classes.choose import classes_of
from trainer.classes.linears import linears_of
from trainer.worker.loop.learning import learning_of
from trainer.worker.setup.adapter import adapter_config
from trainer.worker.setup.model import load_model

KEPT: Final = Path(__file__).parent / "results" / "coverage.jsonl"
RANK: Final = 4


def model_types() -> list[str]:
    """Every type, once a configuration class: GPT-SW3 is GPT-2's."""
    kinds = {CONFIG_MAPPING_NAMES[name]: name for name in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, reverse=True)}
    return sorted(kinds.values())


def attention_of(kind: Any) -> str:
    """The attention that a class takes: sdpa, or eager where that is the only one."""
    return "sdpa" if getattr(kind, "_supports_sdpa", False) else "eager"


def plain(model_type: str) -> dict[str, Any]:
    """One step by Transformers and PEFT alone."""
    try:
        config = small(model_type)
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        parameters = sum(weight.numel() for weight in model.parameters())
        adapted = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
        loss = step(adapted)
    except Exception as problem:
        return {"plain": reason(problem)}
    silent = Counter(
        name.split(".")[-4] for name, x in adapted.named_parameters() if x.requires_grad and x.grad is None
    )
    return {"plain": "ok", "parameters": parameters, "loss": loss, "plain_without_gradient": dict(silent)}


def step(model: Any) -> float:
    """Forward, backward and one step of AdamW on two random rows; returns the loss."""
    ids = torch.randint(20, 256, (2, 24), generator=torch.Generator().manual_seed(1))
    model.train()
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    torch.optim.AdamW([x for x in model.parameters() if x.requires_grad], lr=1e-3).step()
    return float(loss.detach())


def ours(model_type: str) -> dict[str, Any]:
    """One step by the worker's functions, from a folder with the published class."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            classes = classes_of(small(model_type))
            try:
                save(classes.served, classes.document, Path(folder))
            except (AttributeError, TypeError):
                # A tower whose default configuration is incomplete by itself: the text class alone.
                save(classes.trained, classes.config, Path(folder))
            config = configured(folder, attention_of(classes.trained))
            base = load_model(config, read_model(folder), cuda=False)
        linears = linears_of(base)
        model = get_peft_model(base, adapter_config(config.lora, base))
        loss = step(model)
        found = learning_of(model)
    except WizardError as problem:
        return {"ours": f"refused: {problem}"}
    except Exception as problem:
        return {"ours": reason(problem)}
    silent = Counter(name.rpartition(".")[2] for name in found.unreached)
    left = Counter(f"{name.rpartition('.')[2]}: {why}" for name, why in linears.left_out.items())
    return {
        "ours": "ok" if not silent else f"no gradient: {dict(silent)}",
        "class": f"{classes.trained.__name__}" + (f" of {classes.served.__name__}" if classes.text_only else ""),
        "adapters": len(found.adapters),
        "zero": len(found.zero),
        "left_out": dict(left),
        "our_loss": loss,
    }


def configured(folder: str, attention: str, **changes: Any) -> FinetuneConfig:
    """LoRA of rank 4 over a folder in fp32, with changes by dotted keys."""
    base = FinetuneConfig(model=folder, method="lora", quantization=Quantization(bits=None), lora=Lora(r=RANK))
    settled = {"training.precision": "fp32", "training.attn_implementation": attention}
    return with_values(base, settled | changes)


def save(kind: Any, config: Any, folder: Path) -> None:
    """Write a class with random weights to a folder."""
    torch.manual_seed(0)
    config.architectures = [kind.__name__]
    model = kind._from_config(config, dtype=torch.float32)
    model.save_pretrained(str(folder))


def work(model_type: str) -> dict[str, Any]:
    """Both ways."""
    torch.set_num_threads(1)
    return {**plain(model_type), **ours(model_type)}


def shown(line: Mapping[str, Any]) -> str:
    """One type in a line."""
    return f"{line['type']:28s} plain {line.get('plain', line.get('error'))!s:.60s} | ours {line.get('ours')!s:.80s}"


def main() -> int:
    """Try them and print what fails; exit 1 where fewer than 97 % of what passes plainly is trained."""
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    lines = try_each(sys.argv[1:] or model_types(), work, KEPT, shown)
    passed = [line for line in lines if line.get("plain") == "ok"]
    trained = [line for line in passed if line.get("ours") == "ok"]
    beyond = [line["type"] for line in lines if line.get("plain") != "ok" and line.get("ours") == "ok"]
    print(f"\n{versions()}")
    print(f"{len(lines)} types: {len(passed)} pass by Transformers and PEFT alone; of these {len(trained)} are trained")
    print(f"trained beside them: {', '.join(beyond)}")
    for line in lines:
        if line.get("plain") != "ok":
            print(f"  plain fails  {line['type']}: {line.get('plain', line.get('error'))}")
        if line.get("ours") != "ok":
            print(f"  ours fails   {line['type']}: {line.get('ours', line.get('error'))}")
    return 0 if len(trained) >= 0.97 * len(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
