"""`python -m trainer.worker.merge RUN FOLDER`: base and adapter into one 16-bit model, shard by shard, then verified.

For each weight with an adapter W + s·B·A is computed in fp32 and rounded once (LoRA, arXiv:2106.09685, section 4.1;
s = alpha / r, or alpha / √r with rank-stabilised LoRA, arXiv:2312.03732). Only one shard of the base is in memory at a
time; the verification afterwards loads one model after the other. Prints one JSON line.
"""

from __future__ import annotations

import gc
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from presets.errors import InputError, NoError, WizardError
from recommender.config.io import load_config
from recommender.model.reader import read_model
from trainer.runfolder import RunFolder

PREFIX: Final = "base_model.model."
PROMPTS: Final = ("The capital of France is", "def add(a, b):\n    return", "Dear customer, thank you for")
MOST_OFF: Final = 0.25
"""Of the distance that the adapter moves the logits, how far the merged model may be off: 16-bit rounding stays well
below, a wrong scale or a missed module does not."""
DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.bfloat16}
COPIED: Final = ("*.json", "*.model", "*.jinja", "*.txt", "LICENSE*", "NOTICE*")


def merge(run: RunFolder, into: Path) -> dict[str, Any]:
    """Merge a run's adapter.

    Args:
        run: The run; its adapter must be plain LoRA.
        into: A folder that exists and is empty.

    Returns:
        What was written and how far the result is off.

    Raises:
        InputError: An adapter or a base that cannot be merged this way. NoError: The result is not base + adapter.
    """
    config = load_config(run.effective_config)
    spec = read_model(config.model, revision=config.revision)
    if spec.path is None or not spec.has_weights:
        raise InputError(f"{spec.name} has no weights here.", remedy="Download the base model first.")
    if spec.quantization is not None:
        raise InputError(
            f"{spec.name} is quantised on disk ({spec.quantization}); a 16-bit model cannot be made from it exactly.",
            remedy="Set `model` in the run's config.effective.yaml to the 16-bit original and merge again.",
        )
    lora = LoraConfig.from_pretrained(str(run.adapter))
    deltas = _Deltas(run.adapter, lora)
    dtype = DTYPES[config.training.precision]
    written = _write_shards(Path(spec.path), into, deltas, dtype)
    if deltas.unused:
        raise InputError(
            f"The base's files have no weights named like {sorted(deltas.unused)[0]}.",
            remedy="This model is stored in another form than it is trained in: use PEFT's merge_and_unload on it.",
        )
    _copy_rest(Path(spec.path), run.adapter, into, dtype)
    return {**written, "modules": deltas.count, **verify(Path(spec.path), run.adapter, into, dtype)}


class _Deltas:
    """What the adapter adds to each weight."""

    def __init__(self, adapter: Path, lora: LoraConfig) -> None:
        odd = {"use_dora": lora.use_dora, "modules_to_save": lora.modules_to_save, "bias": lora.bias != "none"}
        if wrong := [name for name, there in odd.items() if there]:
            raise InputError(
                f"An adapter with {', '.join(wrong)} cannot be merged shard by shard.",
                remedy="Use PEFT: PeftModel.from_pretrained(base, adapter).merge_and_unload(), with the whole in RAM.",
            )
        self._lora = lora
        self._weights = load_file(str(adapter / "adapter_model.safetensors"))
        names = [key.removesuffix(".lora_A.weight") for key in self._weights if key.endswith(".lora_A.weight")]
        self.count = len(names)
        self.unused = {name.removeprefix(PREFIX) for name in names}

    def of(self, module: str) -> torch.Tensor | None:
        """(out, in) in fp32; None for a module without an adapter."""
        if module not in self.unused:
            return None
        self.unused.discard(module)
        a = self._weights[f"{PREFIX}{module}.lora_A.weight"].float()
        b = self._weights[f"{PREFIX}{module}.lora_B.weight"].float()
        delta: torch.Tensor = (b @ a) * self._scale(module)
        return delta

    def _scale(self, module: str) -> float:
        lora = self._lora
        rank = lora.rank_pattern.get(get_pattern_key(list(lora.rank_pattern), module), lora.r)
        alpha = lora.alpha_pattern.get(get_pattern_key(list(lora.alpha_pattern), module), lora.lora_alpha)
        return float(alpha / math.sqrt(rank) if lora.use_rslora else alpha / rank)


def _write_shards(base: Path, into: Path, deltas: _Deltas, dtype: torch.dtype) -> dict[str, Any]:
    """One file of the base at a time, under its own name."""
    index: dict[str, str] = {}
    total = 0
    for shard in sorted(base.glob("*.safetensors")):
        tensors = {}
        with safe_open(str(shard), framework="pt") as stream:
            for name in stream.keys():  # noqa: SIM118 - it is no mapping
                tensor = stream.get_tensor(name)
                delta = deltas.of(name.removesuffix(".weight")) if name.endswith(".weight") else None
                if delta is not None:
                    tensor = tensor.float() + (delta.T if deltas._lora.fan_in_fan_out else delta)
                tensors[name] = tensor.to(dtype).contiguous() if tensor.is_floating_point() else tensor
                index[name] = shard.name
                total += tensors[name].numel() * tensors[name].element_size()
        save_file(tensors, str(into / shard.name), metadata={"format": "pt"})
        print(f"wrote {shard.name}", file=sys.stderr, flush=True)
        del tensors
        gc.collect()
    shards = sorted(set(index.values()))
    if len(shards) > 1:
        document = {"metadata": {"total_size": total}, "weight_map": index}
        (into / "model.safetensors.index.json").write_text(json.dumps(document, indent=2))
    return {"path": str(into), "shards": len(shards), "bytes": total}


def _copy_rest(base: Path, adapter: Path, into: Path, dtype: torch.dtype) -> None:
    """Configuration and tokenizer; the adapter's tokenizer files win, for it was trained with those."""
    skipped = {"adapter_config.json", "model.safetensors.index.json", "sealed.json"}
    for source in (base, adapter):
        for pattern in COPIED:
            for path in source.glob(pattern):
                if path.is_file() and path.name not in skipped:
                    shutil.copyfile(path, into / path.name)
    config = json.loads((into / "config.json").read_text())
    config.pop("quantization_config", None)
    config.pop("torch_dtype", None)
    config["dtype"] = str(dtype).removeprefix("torch.")
    (into / "config.json").write_text(json.dumps(config, indent=2))


def verify(base: Path, adapter: Path, merged: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Hold the merged model against base + adapter on a few prompts, one model in memory at a time.

    Returns:
        off: the distance of the merged model's logits from base + adapter's, against how far the adapter moves them;
        agreement: the share of positions with the same most likely token.

    Raises:
        NoError: It is another model.
    """
    plain, tuned = _logits(base, adapter, dtype)
    (result,) = _logits(merged, None, dtype)
    moved = float((tuned - plain).norm())
    off = float((result - tuned).norm())
    agreement = float((result.argmax(-1) == tuned.argmax(-1)).float().mean())
    share = off / moved if moved > 0 else off
    # An adapter that moves next to nothing is lost in the rounding to 16 bits of the logits themselves.
    noise = float(tuned.norm()) * torch.finfo(dtype).eps
    if not math.isfinite(off) or off > max(MOST_OFF * moved, 4 * noise):
        raise NoError(
            f"The merged model is not base + adapter: its logits are off by {share:.0%} of what the adapter changes.",
            remedy="Keep the adapter and report this; PEFT's merge_and_unload may do.",
        )
    return {"off": share, "agreement": agreement, "positions": int(tuned.shape[0])}


def _logits(path: Path, adapter: Path | None, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """The logits of every position of the prompts, (positions, vocabulary) in fp32: plain, then with the adapter."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(path))
    cuda = torch.cuda.is_available()
    # Products in fp32 on a CPU: what is compared are the weights, not a processor's 16-bit sums.
    model = AutoModelForCausalLM.from_pretrained(
        str(path), dtype=dtype if cuda else torch.float32, device_map={"": 0 if cuda else "cpu"}, use_safetensors=True
    )
    found = [_of(model, tokenizer)]
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
        found.append(_of(model, tokenizer))
    del model
    gc.collect()
    return tuple(found)


def _of(model: Any, tokenizer: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        rows = [tokenizer(prompt, return_tensors="pt").input_ids.to(model.device) for prompt in PROMPTS]
        return torch.cat([model(input_ids=ids).logits[0].float().cpu() for ids in rows])


def main() -> int:
    """Merge, print one JSON line."""
    told, sys.stdout = sys.stdout, sys.stderr
    try:
        answer: dict[str, Any] = merge(RunFolder(Path(sys.argv[1])), Path(sys.argv[2]))
        code = 0
    except WizardError as error:
        answer, code = {"reason": error.message, "remedy": error.remedy}, error.exit_code
    print(json.dumps(answer), file=told, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
