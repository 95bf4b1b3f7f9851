from pathlib import Path

import pytest

from tests.fixtures.child import run_python
from tests.fixtures.tiny_model import TURN_END, build_tiny_llama

LOADS = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, info = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="float32", output_loading_info=True)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
text = tokenizer.apply_chat_template([{"role": "user", "content": "Which rank?"}], tokenize=False)
print(json.dumps({
    "missing": sorted(info["missing_keys"]), "unexpected": sorted(info["unexpected_keys"]),
    "parameters": sum(p.numel() for p in model.parameters()), "eos": tokenizer.eos_token, "text": text,
}))
"""


def test_tokenizer_is_the_same_each_time_and_keeps_special_tokens_whole(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    first, second = (build_tiny_llama(tmp_path / name, with_weights=False) for name in ("a", "b"))
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()
    tokenizer = Tokenizer.from_file(str(first / "tokenizer.json"))
    ids = tokenizer.encode("a bé 漢" + TURN_END).ids
    assert ids[-1] == tokenizer.token_to_id(TURN_END)
    assert tokenizer.decode(ids, skip_special_tokens=False) == "a bé 漢" + TURN_END


@pytest.mark.torch
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_loads_every_tensor(tmp_path: Path, tied: bool) -> None:
    report = run_python(LOADS, str(build_tiny_llama(tmp_path, tied=tied)))
    assert report["missing"] == [] and report["unexpected"] == []
    assert report["eos"] == TURN_END
    assert report["text"] == "<|im_start|>user\nWhich rank?<|im_end|>\n"
