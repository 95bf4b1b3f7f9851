"""Hold learned formulas against the trace: `python -m benchmarks.learned_vs_trace [COUNT] [K/N] [--full | --table]`.

COUNT random recipes (200 where none is given), each of another of Transformers' causal model types in turn, at its
default sizes with 2 to 6 layers; with --full catalogue models at full depth. Each recipe is learned as the program does
it, then priced and traced whole at two random sizes; where a family is described by hand too, that formula is priced
beside it. K/N: every N-th recipe only, for programs side by side. Resumable: rows are appended to
benchmarks/results/learned_vs_trace.jsonl; --table prints what is there. Exit 1 when a limit is missed. Runs in this
process, with torch.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from presets.errors import InputError, WizardError
from presets.models import load_models
from recommender.config.schema import FinetuneConfig
from recommender.machine.devices import device_from_catalogue
from recommender.memory.price import price
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from recommender.model.families import spec_from_config
from recommender.model.from_anatomy import with_anatomy
from recommender.model.spec import ModelSpec

ROWS = Path(__file__).parent / "results" / "learned_vs_trace.jsonl"
SEED = 20261130
CARDS = ("A100 PCIe 80GB", "H100 SXM 80GB", "RTX 4090", "T4")
MEDIAN, TAIL, WORST = 0.003, 0.015, 0.04
SIZES = 2
MOST_SECONDS = 30.0
"""Of processor time, for one recipe's learning and traces."""
MOST_TOKENS = 700
"""Longest row of a class that loops over a row in Python: longer ones trace for minutes."""


def shallow(model_type: str, layers: int) -> dict[str, Any]:
    """A type's default configuration with so many layers: those of the most kinds first.

    Raises:
        Exception: Whatever the class says of its own default.
    """
    from transformers import AutoConfig

    document: dict[str, Any] = AutoConfig.for_model(model_type).to_dict()
    section = document.get("text_config") if isinstance(document.get("text_config"), dict) else document
    assert isinstance(section, dict)
    names = [name for name in ("num_hidden_layers", "n_layer", "n_layers", "num_layers") if name in section]
    whole = int(section[names[0]])
    kept = _kinds_first(section, whole, min(layers, whole))
    for name in names:
        section[name] = len(kept)
    for name, values in list(section.items()):
        if isinstance(values, list) and len(values) == whole:
            section[name] = [values[index] for index in kept]
    named = document.get("architectures") or [class_name(model_type)]
    return {**document, "model_type": model_type, "architectures": named}


def _kinds_first(section: dict[str, Any], whole: int, layers: int) -> list[int]:
    lists = [values for values in section.values() if isinstance(values, list) and len(values) == whole]
    seen: set[str] = set()
    firsts = []
    for index in range(whole):
        kind = str([values[index] for values in lists])
        if kind not in seen:
            seen.add(kind)
            firsts.append(index)
    rest = [index for index in range(whole) if index not in firsts]
    return sorted([*firsts, *rest][:layers])


def class_name(model_type: str) -> str:
    """The causal class of a type."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    return found if isinstance(found, str) else str(found[0])


def types() -> list[str]:
    """Every causal model type of the installed Transformers, in an order of chance."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    random.Random(SEED + 5).shuffle(found)
    return found


def random_recipe(pick: random.Random, name: str) -> tuple[FinetuneConfig, str, str]:
    """A recipe of what people vary, its stack and card."""
    ways = (("qlora", 4), ("qlora", 4), ("lora", None), ("lora", None), ("qlora", 8), ("full", None))
    method, bits = pick.choice(ways)
    config = {
        "model": name,
        "method": method,
        "quantization": {"bits": bits, "double_quant": pick.random() < 0.5},
        "lora": {"lora_dropout": pick.choice((0.0, 0.0, 0.05))},
        "data": {"packing": False},
        "training": {
            "gradient_checkpointing": pick.random() < 0.65,
            "attn_implementation": pick.choice(("sdpa", "eager", "flash_attention_2")),
            "optim": pick.choice(("adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit")),
            "gradient_accumulation_steps": pick.choice((1, 4)),
            "precision": "bf16",
        },
    }
    stack = pick.choice(("trl", "trl", "hf-trainer-noupcast", "hf-trainer", "hf-trainer+liger"))
    return FinetuneConfig.model_validate(config), stack, pick.choice(CARDS[:3])


def sized(config: FinetuneConfig, pick: random.Random, most: int) -> FinetuneConfig:
    """The recipe at random sizes."""
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"max_length": min(most, pick.randint(100, 4096))}),
            "lora": config.lora.model_copy(update={"r": pick.choice((8, 16, 32, 64)), "lora_alpha": 24}),
            "training": config.training.model_copy(
                update={"per_device_train_batch_size": pick.choice((1, 1, 2, 3, 4, 8))}
            ),
        }
    )


def learned_spec(document: dict[str, Any], name: str) -> ModelSpec:
    """Return the anatomy learned from the class, for hand-written families too."""
    from trainer.anatomy.learn import learn

    spec = spec_from_config(document, name)
    return with_anatomy(replace(spec, config=document, needs_anatomy=True), learn(document))


def rows_of(number: int, name: str, document: dict[str, Any], *, full: bool) -> Iterator[dict[str, Any]]:
    """The rows of one recipe; where it is refused, one that says why."""
    from recommender.memory.learned.store import keep_tape
    from trainer.learn.ask import order_of
    from trainer.learn.learn import Learner
    from trainer.trace.__main__ import Speaker, trace_order
    from trainer.trace.ask import refuse

    class Silent(Speaker):
        def progress(self, phase: str, done: int, total: int) -> None:
            """Nothing."""

    pick = random.Random(f"{SEED} {number} {name}")
    config, stack, card = random_recipe(pick, name)
    row: dict[str, Any] = {"number": number, "model": name, "full": full}
    try:
        spec = learned_spec(document, name)
        row |= {"type": spec.model_type, "layers": spec.num_layers, "stack": stack, "recipe": _said(config)}
        config = _supported(config, spec)
        row["recipe"] = _said(config)
        device = device_from_catalogue(card)
        first = resolve_workload(config, spec, device, None, STACKS[stack])
        refuse(first)
        began = time.process_time()
        learner = Learner(order_of(first), lambda *_: None)
        tape = learner.learn()
        keep_tape(first, tape.document())
        row |= {"seconds": round(time.process_time() - began, 2), "traces": learner.done, "sums": len(tape.sums)}
        for _ in range(SIZES):
            case = resolve_workload(
                sized(config, pick, MOST_TOKENS if tape.sums else 8192), spec, device, None, STACKS[stack]
            )
            order = order_of(case)
            order = replace(order, config=case.config.model_dump(mode="json"), total_parameters=spec.total_parameters)
            traced = trace_order(order, Silent())
            sizes = {"rows": case.rows, "length": case.length, "r": case.config.lora.r}
            yield row | sizes | {"learned": step_peak(case), "traced": traced["allocated"]} | _by_hand(case)
    except WizardError as problem:
        yield row | {"refused": problem.message[:300]}
    except Exception as problem:
        yield row | {"refused": f"{type(problem).__name__}: {problem}"[:300]}


def step_peak(case: Workload) -> int:
    """Bytes allocated at the worst of a step: a trace knows nothing of loading, which may be worse."""
    phases = price(case).phases
    return max(phases[name] for name in ("forward", "backward", "optimizer"))


def _by_hand(case: Workload) -> dict[str, Any]:
    """The hand-written formula's answer, where the family has one."""
    config = case.model.config
    plain = spec_from_config(dict(config or {}), case.model.name)
    if plain.needs_anatomy or plain.unsupported:
        return {}
    try:
        workload = resolve_workload(case.config, plain, case.device, None, case.stack)
    except InputError:
        return {}
    return {"by_hand": step_peak(workload)}


def _supported(config: FinetuneConfig, spec: ModelSpec) -> FinetuneConfig:
    """The recipe with an attention that the class has."""
    assert spec.anatomy is not None
    has = {"sdpa": spec.anatomy.supports_sdpa, "flash_attention_2": spec.anatomy.supports_flash, "eager": True}
    if has[config.training.attn_implementation]:
        return config
    training = config.training.model_copy(update={"attn_implementation": "eager"})
    return config.model_copy(update={"training": training})


def _said(config: FinetuneConfig) -> str:
    training = config.training
    return (
        f"{config.method} {config.quantization.bits or 16} {training.attn_implementation} "
        f"ckpt={training.gradient_checkpointing} drop={config.lora.lora_dropout} {training.optim} "
        f"accumulation={training.gradient_accumulation_steps}"
    )


def tried(number: int, name: str, what: Any, *, full: bool) -> list[dict[str, Any]]:
    """The rows of one case."""
    try:
        document = what if isinstance(what, dict) else shallow(*what)
        return within(MOST_SECONDS, lambda: list(rows_of(number, name, document, full=full)))
    except Exception as problem:
        # A class whose own default configuration cannot be made or cut, or that takes too long.
        return [{"number": number, "model": name, "full": full, "refused": f"its default: {problem}"[:200]}]


def within(seconds: float, work: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The result of some work, or a row that says that it took more than so much processor time."""

    def ends(*_: object) -> None:
        raise TookLong(f"over {seconds:.0f} s of processor time")

    before = signal.signal(signal.SIGPROF, ends)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class TookLong(Exception):
    """A case took too long."""


def cases(count: int, *, full: bool) -> Iterator[tuple[int, str, Any]]:
    """Numbers, names, and configurations or functions that give them."""
    if full:
        for number, model in enumerate(load_models()):
            yield number, model.name, dict(model.config)
        return
    names = types()
    for number in range(count):
        name = names[number % len(names)]
        yield number, name, (name, random.Random(f"{SEED} {number}").randint(2, 6))


def table(rows: Sequence[dict[str, Any]]) -> int:
    """Print the errors, and those of the formulas by hand on the same rows; 1 when a limit is missed."""
    answered = [row for row in rows if "traced" in row]
    missed = False
    for full in (False, True):
        own = [row for row in answered if row["full"] == full]
        if not own:
            continue
        errors = sorted(abs(row["learned"] / row["traced"] - 1) for row in own)
        middle, tail = errors[len(errors) // 2], errors[min(len(errors) - 1, int(0.95 * len(errors)))]
        missed |= middle > MEDIAN or tail > TAIL or errors[-1] > WORST
        kind = "at full depth" if full else "of 2 to 6 layers"
        print(
            f"{len(own)} configurations {kind} of {len({row['type'] for row in own})} types: median {middle:.3%}, "
            f"95th percentile {tail:.2%}, worst {errors[-1]:.2%}"
        )
    both = [row for row in answered if "by_hand" in row]
    for name in ("learned", "by_hand") if both else ():
        errors = sorted(abs(row[name] / row["traced"] - 1) for row in both)
        middle = errors[len(errors) // 2]
        print(f"  {len(both)} of hand-written families, {name}: median {middle:.3%}, worst {errors[-1]:.2%}")
    refused = [row for row in rows if "refused" in row]
    print(f"{len(refused)} recipes refused, of {len({row['model'] for row in refused})} models")
    return int(missed)


def main() -> int:
    """Go on where the rows end, then print the table."""
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.exists() else []
    full = "--full" in sys.argv
    if "--table" not in sys.argv:
        count = next((int(word) for word in sys.argv[1:] if word.isdigit()), 200)
        part, parts = next(((int(w[0]), int(w[2])) for w in sys.argv[1:] if w[1:2] == "/"), (0, 1))
        done = {(row["number"], row["full"]) for row in rows}
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["XDG_CACHE_HOME"] = scratch
            for number, name, what in cases(count, full=full):
                if (number, full) in done or number % parts != part:
                    continue
                found = tried(number, name, what, full=full)
                with ROWS.open("a", encoding="utf-8") as stream:
                    stream.writelines(json.dumps(row) + "\n" for row in found)
                rows += found
                for row in found:
                    error = f"{row['learned'] / row['traced'] - 1:+.3%}" if "traced" in row else row["refused"][:100]
                    print(f"{number:4d} {name:24s} {row.get('recipe', '')} {row.get('stack', '')} {error}", flush=True)
    return table(rows)


if __name__ == "__main__":
    sys.exit(main())
