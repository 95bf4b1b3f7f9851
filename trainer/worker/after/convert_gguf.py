"""Turns the demo model's GGUF file into a model folder: `python -m trainer.worker.after.convert_gguf FILE FOLDER`.

GGUF is made for inference, quantised in blocks; training wants safetensors. Transformers de-quantises the tensors and
rebuilds the tokenizer. Stored as bfloat16, the type that the original was published in: a 4-bit weight needs no more.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> int:
    """Convert; print nothing on success."""
    parser = argparse.ArgumentParser(prog="trainer.worker.after.convert_gguf")
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    convert_tokenizer(options.file, options.folder)
    convert_weights(options.file, options.folder)
    return 0


def convert_weights(file: Path, folder: Path) -> None:
    """Write config.json, generation_config.json and model.safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    source = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
    model = LlamaForCausalLM(_config(LlamaConfig, source.config))
    model.load_state_dict(source.state_dict())
    model.generation_config = source.generation_config
    model.to(torch.bfloat16).save_pretrained(str(folder), max_shard_size="2GB")


def _config(config_class: Any, loaded: Any) -> Any:
    """The loaded configuration without the traces of GGUF: a quantisation, a name, and 1e-5 read as a 32-bit float."""
    fields = loaded.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path", "unk_token_id"):
        fields.pop(key, None)
    fields["rms_norm_eps"] = float(f"{fields['rms_norm_eps']:.6g}")
    return config_class(**fields)


def convert_tokenizer(file: Path, folder: Path) -> None:
    r"""Write tokenizer.json and tokenizer_config.json with the chat template.

    SmolLM2 splits every digit before the byte-level split; Transformers' conversion leaves that step out, as the
    GGUF file only names it ('smollm', in llama.cpp the expressions `\p{N}` and then GPT-2's).
    """
    from tokenizers import Tokenizer, pre_tokenizers
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    backend = Tokenizer.from_str(loaded.backend_tokenizer.to_str())
    digits, byte_level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    backend.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": loaded.bos_token,
        "eos_token": loaded.eos_token,
        "pad_token": loaded.pad_token,
        "unk_token": loaded.unk_token,
        "model_max_length": 8192,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": loaded.chat_template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
