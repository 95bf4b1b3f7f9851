"""Anatomies of every model type and of the catalogue: `python -m benchmarks.anatomies [--ship] [--again] [NAME...]`.

Every type of AutoModelForCausalLM in its own default configuration, with what that lacks (`COMPLETED`), and every model
of the catalogue as it is published: built on meta, sorted into parts, and held against the class itself (parameters of
the class that is trained, of the one that is served) and against PEFT (parameters of an adapter of rank 8 on all
linear layers). A line each goes to results/anatomies.jsonl as it is done, what has a line is not done again; the table
is printed at the end. `--ship` writes the catalogue's anatomies to presets/anatomies and removes those of models that
are no longer in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from peft import get_peft_model
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from presets.errors import WizardError
from presets.models import load_models
from recommender.config.schema import Lora
from recommender.model.anatomies import SHIPPED, key_of, text_of
from recommender.model.anatomy import Anatomy
from recommender.model.families import spec_from_config
from trainer.anatomy.build import build, config_of, on_meta, parameters_of
from trainer.anatomy.learn import anatomy_of, versions
from trainer.classes.choose import classes_of
from trainer.worker.setup.adapter import adapter_config

KEPT: Final = Path(__file__).parent / "results" / "anatomies.jsonl"
RANK: Final = 8
_ASSISTANT: Final = {"num_hidden_layers": 4, "num_kv_shared_layers": 4, "hidden_size_per_layer_input": 0}
_INDEXER: Final = {
    "indexer_n_heads": 16,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 256,
    "indexer_budget": 2048,
    "indexer_compress_ratio": 4,
    "ple_embed_dim": 256,
}
COMPLETED: Final[Mapping[str, Mapping[str, Any]]] = {
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "dbrx": {"attn_config": {"rope_theta": 10000.0}},
    "dots1": {"n_routed_experts": 128, "n_shared_experts": 2, "first_k_dense_replace": 1, "num_experts_per_tok": 6},
    "gemma4_assistant": {"text_config": {**_ASSISTANT, "model_type": "gemma4_text", "vocab_size_per_layer_input": 0}},
    "gemma4_unified_assistant": {"text_config": {**_ASSISTANT, "model_type": "gemma4_unified_text"}},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"] * 8},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
    "qwen4_exp": {"text_config": {**_INDEXER, "model_type": "qwen4_exp_text"}},
    "qwen4_exp_text": _INDEXER,
    "reformer": {"is_decoder": True},
}
"""Keys that a type's default configuration lacks to be built: Transformers' defaults alone are refused by its class."""


def documents() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """A group, a name and a config.json document of each: types, then models."""
    for name in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        yield "type", name, {"model_type": name, **COMPLETED.get(name, {})}
    for model in load_models():
        yield "model", model.name, dict(model.config)


def tried(document: Mapping[str, Any]) -> tuple[dict[str, Any], Anatomy | None]:
    """Compare the anatomy of a document's class with the class itself and with PEFT's adapter."""
    began = time.process_time()
    try:
        built = build(document)
        learned = anatomy_of(built)
    except WizardError as problem:
        return {"error": problem.message}, None
    seconds = round(time.process_time() - began, 2)
    config = config_of(document)
    classes = classes_of(config)
    row = {
        "class": learned.trained_class,
        "layers": len(learned.sequence),
        "kinds": {kind.name: kind.count for kind in learned.kinds},
        "adapted": sorted({linear.name for linear in learned.linears}),
        "kept": {linear.name: linear.reason for linear in learned.kept_linears},
        "experts": [f"{one.name} {one.experts}x{one.in_features}x{one.out_features}" for one in learned.experts],
        "total": learned.total_parameters,
        "towers": learned.tower_parameters,
        "served": learned.served_parameters,
        "class_total": _counted(classes.trained, classes.config),
        "class_served": _counted(classes.served, config),
        "adapter": sum(linear.adapter_parameters(RANK) for linear in learned.linears),
        "peft": _adapter(built.model),
        "attention": [
            name for name, has in (("sdpa", learned.supports_sdpa), ("flash", learned.supports_flash)) if has
        ],
        "kernels": sorted({name for names in learned.kernels.values() for name in names}),
        "seconds": seconds,
    }
    return row, learned


def _counted(kind: type[Any], config: Any) -> int | str:
    try:
        return parameters_of(on_meta(kind, config))
    except WizardError as problem:
        return problem.message


def _adapter(model: Any) -> int | str:
    """Parameters of PEFT's own adapter on all linear layers of the model, on meta."""
    try:
        with torch.device("meta"):
            adapted = get_peft_model(model, adapter_config(Lora(r=RANK), model))
    except (WizardError, ValueError) as problem:
        return str(problem)[:200]
    weights: dict[str, torch.Tensor] = dict(adapted.named_parameters())
    return sum(weight.numel() for name, weight in weights.items() if ".lora_" in name)


def problems(row: Mapping[str, Any]) -> list[str]:
    """List the differences of a row, in words."""
    if "error" in row:
        return [row["error"]]
    found = []
    if isinstance(row["class_total"], int) and row["total"] + row["towers"] != row["class_total"]:
        found.append(f"{row['total']} + {row['towers']} parameters, the class has {row['class_total']}")
    if isinstance(row["class_served"], int) and row["served"] != row["class_served"]:
        found.append(f"{row['served']} parameters served, the class has {row['class_served']}")
    if "published" in row and row["published"] != row["served"]:
        found.append(f"{row['served']} parameters served, {row['published']} in the catalogue")
    if row["adapter"] != row["peft"]:
        found.append(f"{row['adapter']} parameters of an adapter, PEFT has {row['peft']}")
    if "hand" in row and row["hand"] != [row["total"], row["adapter"]]:
        found.append(f"the hand-written family has {row['hand']}")
    return found


def by_hand(name: str, document: Mapping[str, Any]) -> list[int] | None:
    """Parameters and adapter parameters by the hand-written family, where it has one."""
    spec = spec_from_config(document, name)
    if spec.needs_anatomy or not spec.linears:
        return None
    return [spec.total_parameters, sum(linear.adapter_parameters(RANK) for linear in spec.linears)]


def run(names: list[str], again: bool, ship: bool) -> list[dict[str, Any]]:
    """Try all that has no line yet; return every line."""
    rows = {(row["group"], row["name"]): row for row in read()}
    published = {model.name: model.parameters for model in load_models()}
    wanted = [one for one in documents() if not names or one[1] in names]
    keys: set[str] = set()
    for group, name, document in wanted:
        target = SHIPPED / f"{key_of(document)}.json"
        ships = ship and group == "model" and spec_from_config(document, name).needs_anatomy
        keys |= {target.name} if ships else set()
        known = rows.get((group, name))
        kept = known is not None and known["versions"] == versions() and (not ships or target.exists())
        if kept and not again:
            continue
        row, learned = tried(document)
        if group == "model":
            hand = by_hand(name, document)
            row |= {"published": published[name]} if hand is None else {"hand": hand}
        if ships and learned is not None:
            target.write_text(text_of(learned), encoding="utf-8")
        rows[group, name] = {"group": group, "name": name, **row, "versions": versions()}
        write(rows.values())
        print(f"{group} {name}: {'; '.join(problems(row)) or 'as the class'}", file=sys.stderr, flush=True)
    if ship and not names:
        for path in SHIPPED.glob("*.json"):
            if path.name not in keys:
                path.unlink()
    return list(rows.values())


def read() -> list[dict[str, Any]]:
    """Lines of earlier runs."""
    if not KEPT.exists():
        return []
    return [json.loads(line) for line in KEPT.read_text(encoding="utf-8").splitlines()]


def write(rows: Any) -> None:
    """Write all lines, whole or not at all."""
    beside = KEPT.with_suffix(".tmp")
    beside.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    beside.replace(KEPT)


def main() -> int:
    """Try, print, and return 1 where something is not as the class."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    rows = run(given.names, given.again, given.ship)
    odd = [(row, said) for row in rows if (said := problems(row))]
    for group in ("type", "model"):
        of_it = [row for row in rows if row["group"] == group]
        print(f"{group}s: {len(of_it)}, as the class: {len(of_it) - sum(row['group'] == group for row, _ in odd)}")
    for row, said in odd:
        print(f"  {row['group']} {row['name']}: {'; '.join(said)}")
    return 1 if odd else 0


if __name__ == "__main__":
    sys.exit(main())
