"""`python -m trainer.worker.after.merge RUN FOLDER [BASE]`: base and adapter into one 16-bit model, verified.

Each weight is merged in fp32 and rounded once, with only one file of the base in memory at a time; a base that is
packed in 4 bits on disk is unpacked. The verification afterwards loads one model after the other: on the GPU where it
fits there, in fp32 where the host has room, else in the files' own dtype, whose pages the kernel may drop and read
again. Prints one JSON line.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import torch
from bitsandbytes.nn import Linear4bit
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig

from presets.errors import InputError, NoError, WizardError
from recommender.config.io import load_config
from recommender.config.schema import RopeScaling
from recommender.data.tokens.converted import tokenizer_folder
from recommender.model.sources.headers import weight_files
from recommender.model.sources.missing_files import no_weights
from recommender.plan.starting_adapter import BASE
from trainer.classes.choose import classes_of
from trainer.classes.names import ends_of, loads_into, served_skeleton
from trainer.classes.published import Lazy, published_form, published_tensors, unpacked_bytes
from trainer.models.own_code import agreed_code, copy_code
from trainer.run.base_model import find_base
from trainer.run.folder import RunFolder
from trainer.worker.after.merged_weights import Adapter, Rounded, off_and_agreement, rounding, unpacked
from trainer.worker.output.adapter import adapter_for_trained
from trainer.worker.setup.model import load_text, stretched

PROMPTS: Final = ("The capital of France is", "def add(a, b):\n    return", "Dear customer, thank you for")
MOST_OFF: Final = 0.25
"""Largest error of the merged model's logits, as a share of the adapter's effect on them: 16-bit rounding stays well
below, a wrong scale or a missed module does not."""
DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.bfloat16}
COPIED: Final = ("*.json", "*.model", "*.jinja", "*.txt", "LICENSE*", "NOTICE*")
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True, slots=True)
class AsTrained:
    """State of the base when the adapter was trained, as far as it differs from the files on the disk."""

    trust: bool = False
    """Whether it was built by its own code, with the person's consent."""
    rope: RopeScaling | None = None
    """Scaling of its positions; None as they are."""
    rounded: Rounded | None = None
    """Rounding of its weights that the adapter was made for; None without any."""


def merge(run: RunFolder, into: Path, base_place: str | None = None) -> dict[str, Any]:
    """Merge a run's adapter.

    Args:
        run: The run.
        into: A folder that exists and is empty.
        base_place: Where its base lies now, where that is not what the configuration names.

    Returns:
        What was written and how far the result is off.

    Raises:
        InputError: A base that cannot be merged into. NoError: The result is not base + adapter.
    """
    config = load_config(run.effective_config)
    spec = find_base(run, config, base_place)
    if spec.path is None or not spec.has_weights:
        raise InputError(f"{spec.name} has no weights here.", remedy=spec.access or no_weights(spec.path))
    trust = agreed_code(run, config, spec) is not None
    trained = AsTrained(trust, config.rope_scaling, rounding(config))
    served = None if trust else served_skeleton(classes_of(AutoConfig.from_pretrained(str(spec.path))))
    adapter = Adapter(run.adapter, trained.rounded, loads_into(served) if served is not None else str, served)
    ends = (EMBEDDING, HEAD) if served is None else ends_of(served)
    dtype = DTYPES[config.training.precision]
    written = _write_shards(Path(spec.path), into, adapter, dtype, ends)
    if adapter.unused:
        raise InputError(
            f"The base's files have no weights named like {sorted(adapter.unused)[0]}.",
            remedy="This model is stored in another form than it is trained in: use PEFT's merge_and_unload on it.",
        )
    _copy_rest(Path(spec.path), run.adapter, into, dtype, untied=ends[1] in map(adapter.loads, written.pop("names")))
    if trust:
        copy_code(Path(spec.path), into)
    if config.rope_scaling:
        _stretch(into, Path(spec.path), config.rope_scaling, trust=trust)
    checked = verify(Path(spec.path), adapter_for_trained(run.adapter), into, dtype, trained)
    return {**written, "modules": adapter.count, "own_code": trust, **checked}


def _write_shards(
    base: Path, into: Path, adapter: Adapter, dtype: torch.dtype, ends: tuple[str, str]
) -> dict[str, Any]:
    """Write the merged weights, one file of the base at a time, under its own name."""
    index: dict[str, str] = {}
    total = 0

    def write(tensors: dict[str, torch.Tensor], file: str) -> None:
        nonlocal total
        save_file(tensors, str(into / file), metadata={"format": "pt"})
        index.update(dict.fromkeys(tensors, file))
        total += sum(tensor.nbytes for tensor in tensors.values())
        print(f"wrote {file}", file=sys.stderr, flush=True)

    # Files that the base is loaded from: other layouts of the same weights may lie beside them.
    files = weight_files(base)
    published = published_tensors(base, dtype) if published_form(base) else None
    extra = _extra(files, adapter, dtype, ends)
    for shard in files:
        # Extra weights go into the first file: where there is one only, loaders read no other.
        write(_merged_shard(shard, adapter, dtype, published) | extra, shard.name)
        extra = {}
        gc.collect()
    shards = sorted(set(index.values()))
    if len(shards) > 1:
        document = {"metadata": {"total_size": total}, "weight_map": index}
        (into / "model.safetensors.index.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    return {"path": str(into), "shards": len(shards), "bytes": total, "names": frozenset(index)}


def _merged_shard(
    shard: Path, adapter: Adapter, dtype: torch.dtype, published: Mapping[str, Lazy] | None
) -> dict[str, torch.Tensor]:
    """Return a file's merged weights by name; those of a published form are unpacked."""
    if published is not None:
        here = {name: tensor for name, tensor in published.items() if tensor.file == shard}
        return {name: adapter.merged(name, tensor.read()).to(dtype).contiguous() for name, tensor in here.items()}
    tensors = {}
    with safe_open(str(shard), framework="pt") as stream:
        raw = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - it is no mapping
    for name in list(raw):
        plain = unpacked(name, raw)
        if plain is not None:
            merged = adapter.merged(name, plain)
            tensors[name] = merged.to(dtype).contiguous() if merged.is_floating_point() else merged
    return tensors


def _extra(
    files: Sequence[Path], adapter: Adapter, dtype: torch.dtype, ends: tuple[str, str]
) -> dict[str, torch.Tensor]:
    """Return trained weights that the base lacks, and its embedding as a head where only one of the two was trained.

    Args:
        files: The base's.
        adapter: Of the run.
        dtype: Of the merged model.
        ends: The class's names of the embedding's weight and the head's.
    """
    place: dict[str, tuple[Path, str]] = {}
    for file in files:
        with safe_open(str(file), framework="pt") as stream:
            place |= {adapter.loads(name): (file, name) for name in stream.keys()}  # noqa: SIM118 - it is no mapping
    found = {name: tensor.to(dtype).contiguous() for name, tensor in adapter.beyond(place)}
    embedding, head = ends
    if embedding in adapter.whole and embedding in place and head not in place.keys() | found.keys():
        file, name = place[embedding]
        with safe_open(str(file), framework="pt") as stream:
            found[head] = stream.get_tensor(name).to(dtype).contiguous()
    return found


def _copy_rest(base: Path, adapter: Path, into: Path, dtype: torch.dtype, *, untied: bool) -> None:
    """Copy configuration and tokenizer; the adapter's tokenizer files win, for it was trained with those."""
    skipped = {"adapter_config.json", "model.safetensors.index.json", "sealed.json", BASE}
    for source in (base, adapter):
        for pattern in COPIED:
            for path in source.glob(pattern):
                if path.is_file() and path.name not in skipped:
                    shutil.copyfile(path, into / path.name)
    config = json.loads((into / "config.json").read_text(encoding="utf-8"))
    config.pop("quantization_config", None)
    config.pop("torch_dtype", None)
    config["dtype"] = str(dtype).removeprefix("torch.")
    if untied:
        for part in (config, config.get("text_config")):
            if isinstance(part, dict):
                part["tie_word_embeddings"] = False
    (into / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _stretch(into: Path, base: Path, rope: RopeScaling, *, trust: bool) -> None:
    """Write the positions that the adapter was trained with into the merged model's configuration."""
    known = stretched(AutoConfig.from_pretrained(str(base), trust_remote_code=trust), rope).get_text_config().to_dict()
    path = into / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    text = config.get("text_config") or config
    for old in ("rope_scaling", "rope_theta"):
        text.pop(old, None)
    for key in ("rope_parameters", "max_position_embeddings"):
        text[key] = known[key]
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")


def verify(
    base: Path, adapter: Path, merged: Path, dtype: torch.dtype, trained: AsTrained | None = None
) -> dict[str, Any]:
    """Hold the merged model against base + adapter on a few prompts, one model in memory at a time.

    Returns:
        off: the distance of the merged model's logits from base + adapter's, against how far the adapter moves them;
        None where the adapter moves them no further than rounding to 16 bits does. rounding and moved: the two
        distances, against the logits' own size;
        agreement: the share of positions with the same most likely token.

    Raises:
        NoError: It is another model.
    """
    trained = trained or AsTrained()
    plain, tuned = _logits(base, adapter, dtype, trained)
    (result,) = _logits(merged, None, dtype, AsTrained(trained.trust))
    off, moved, agreement = off_and_agreement(plain, tuned, result)
    # An adapter that moves next to nothing is lost in the rounding to 16 bits of the logits themselves.
    size = float(tuned.norm())
    noise = size * torch.finfo(dtype).eps
    tells = off <= MOST_OFF * moved and moved > 0
    if off > max(MOST_OFF * moved, 4 * noise):
        raise NoError(
            f"The merged model is not base + adapter: its logits are off by {off / size:.1%} of their size, and the "
            f"adapter changes them by {moved / size:.1%}.",
            remedy="Keep the adapter and report this; PEFT's merge_and_unload may do.",
        )
    shares = {"off": off / moved if tells else None, "rounding": off / size, "moved": moved / size}
    return {**shares, "agreement": agreement, "positions": int(tuned.shape[0])}


def _place(path: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Return the device and dtype that a model of this folder is loaded with; see the module's first words."""
    size = unpacked_bytes(path) or sum(file.stat().st_size for file in weight_files(path))
    if torch.cuda.is_available() and 1.3 * size < torch.cuda.mem_get_info()[0]:
        return {"dtype": dtype, "device": 0}
    # Products in fp32 on a CPU: what is compared are the weights, not a processor's 16-bit sums.
    roomy = 2.6 * size < psutil.virtual_memory().available
    return {"dtype": torch.float32 if roomy else dtype, "device": "cpu"}


def _logits(path: Path, adapter: Path | None, dtype: torch.dtype, trained: AsTrained) -> tuple[torch.Tensor, ...]:
    """The logits of every position of the prompts, (positions, vocabulary) in fp32: plain, then with the adapter."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_folder(path) or path), trust_remote_code=trained.trust)
    place = _place(path, dtype)
    if trained.rope:
        place["config"] = stretched(
            AutoConfig.from_pretrained(str(path), trust_remote_code=trained.trust), trained.rope
        )
    model = load_text(path, trust=trained.trust, **place)
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # Packed by somebody who computes in another dtype.
            module.compute_dtype = place["dtype"]
    if adapter is not None and trained.rounded is not None:
        _round(model, adapter, trained.rounded)
    found = [_of(model, tokenizer)]
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
        found.append(_of(model, tokenizer))
    del model
    gc.collect()
    return tuple(found)


def _round(model: Any, adapter: Path, rounded: Rounded) -> None:
    """Round the weights under an adapter as they were in training."""
    for name in Adapter(adapter).unused:
        weight = model.get_submodule(name).weight
        weight.data = rounded(weight.data)


def _of(model: Any, tokenizer: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        rows = [tokenizer(prompt, return_tensors="pt").input_ids.to(model.device) for prompt in PROMPTS]
        return torch.cat([model(input_ids=ids, use_cache=False).logits[0].float().cpu() for ids in rows])


def main() -> int:
    """Merge, print one JSON line."""
    told, sys.stdout = sys.stdout, sys.stderr
    try:
        answer: dict[str, Any] = merge(RunFolder(Path(sys.argv[1])), Path(sys.argv[2]), *sys.argv[3:4])
        code = 0
    except WizardError as error:
        answer, code = {"reason": error.message, "remedy": error.remedy}, error.exit_code
    print(json.dumps(answer), file=told, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
