"""Our ids and masks against Transformers' and TRL's own, in a child process that may import torch."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from recommender.config.schema import Data
from recommender.data.dataset import DataSet
from recommender.data.load import profile_data
from tests.fixtures.child import run_python
from tests.fixtures.tiny_model import build_tiny_llama
from tests.fixtures.vocabularies import CHATML, spec_for, write_vocabulary
from tests.unit.data.tokens.test_turns import FORGETFUL, HEADED, INST, MARKED, SPECIAL, TRAILING

pytestmark = pytest.mark.torch

CHATS = [
    [{"role": "user", "content": "Grüße 你好 😀"}, {"role": "assistant", "content": " Yes.\n"}],
    [
        {"role": "user", "content": "One <|im_end|> two"},
        {"role": "assistant", "content": "A\n\nB"},
        {"role": "user", "content": "\tMore?  "},
        {"role": "assistant", "content": "<s>End</s>."},
    ],
]
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else "
    "message['role']) + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "llama3": HEADED,
    "gemma": GEMMA,
    "mistral": INST,
    "marks": MARKED,
    "phi3": TRAILING,
    "qwen3": FORGETFUL,
}

BY_TRANSFORMERS = """
import json, sys
from transformers import AutoTokenizer
chats = json.loads(sys.argv[1])
found = {}
for folder in sys.argv[2:]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    marked = "generation %}" in tokenizer.chat_template
    found[folder] = {
        "chats": [dict(tokenizer.apply_chat_template(
            chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=marked)) for chat in chats],
        "prompts": [tokenizer.apply_chat_template(
            chat[:-1], tokenize=True, return_dict=False, add_generation_prompt=True) for chat in chats],
        "text": tokenizer("Hello there.")["input_ids"],
        "eos": tokenizer.eos_token_id,
    }
print(json.dumps(found))
"""


def load(path: Path, rows: list[dict[str, Any]], folder: Path, **settings: Any) -> DataSet:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return profile_data(Data(train=[str(path)], **settings), model=spec_for(folder))


def test_ids_prompts_and_marks_are_transformers_own(tmp_path: Path) -> None:
    folders = {
        name: write_vocabulary(
            tmp_path / name, template=template, special=SPECIAL, bos="<s>", eos="</s>", adds_bos=name == "mistral"
        )
        for name, template in TEMPLATES.items()
    }
    # What tokenizer_config.json says of the BOS token where tokenizer.json says otherwise.
    for built in (True, False):
        name = f"{'built' if built else 'bare'}, and add_bos_token {not built}"
        folders[name] = write_vocabulary(
            tmp_path / f"bos-{built}", special=SPECIAL, bos="<s>", eos="</s>", adds_bos=built, add_bos_token=not built
        )
    found = run_python(BY_TRANSFORMERS, json.dumps(CHATS), *map(str, folders.values()))
    for name, folder in folders.items():
        theirs = found[str(folder)]
        dataset = load(tmp_path / f"{name}.jsonl", [{"messages": chat} for chat in CHATS], folder)
        for i, chat in enumerate(theirs["chats"]):
            ids, mask = dataset.tokens(i)
            assert ids.tolist() == chat["input_ids"], name
            # Where tokens have their blanks trimmed off, Transformers finds no token for an answer that starts with
            # one and masks the answer out; ours is compared where theirs is whole.
            if name == "marks" and not CHATS[i][1]["content"].startswith(" "):
                assert mask == [bool(trained) for trained in chat["assistant_masks"]]
            assert dataset.prompt_ids(i) == theirs["prompts"][i], name
        text = load(tmp_path / f"{name}-text.jsonl", [{"text": "Hello there."}], folder)
        assert text.tokens(0)[0].tolist() == [*theirs["text"], theirs["eos"]], name


BY_TRL = """
import json, sys, logging, warnings
from datasets import Dataset
from trl import SFTConfig, SFTTrainer
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, rows, packing, where = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] == "packed", sys.argv[4]
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
    processing_class=AutoTokenizer.from_pretrained(folder),
    args=SFTConfig(output_dir=where, max_length=64, packing=packing, packing_strategy="bfd", bf16=False, use_cpu=True,
                   report_to=[], per_device_train_batch_size=len(rows), max_steps=1, shuffle_dataset=False),
    train_dataset=Dataset.from_list(rows),
)
batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(trainer.train_dataset))])
print(json.dumps({key: value.tolist() for key, value in batch.items() if hasattr(value, "tolist")}))
"""


@pytest.mark.parametrize("packing", ["padded", "packed"])
def test_the_collator_hands_the_model_what_was_shown(tmp_path: Path, packing: str) -> None:
    model = build_tiny_llama(tmp_path / "model")
    chats = [
        {
            "messages": [
                {"role": "user", "content": "Give three tips " * n},
                {"role": "assistant", "content": "Sleep. " * n},
            ]
        }
        for n in (1, 2, 3, 9)
    ]
    dataset = load(tmp_path / "rows.jsonl", chats, model)
    rows = list(dataset.training_rows(range(len(dataset)), 64))
    assert max(len(row["input_ids"]) for row in rows) == 64
    batch = run_python(BY_TRL, str(model), json.dumps(rows), packing, str(tmp_path / "out"))
    if packing == "padded":
        got = [
            (ids[: sum(mask)], labels[: sum(mask)])
            for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True)
        ]
    else:
        got = by_position(batch["input_ids"][0], batch["labels"][0], batch["position_ids"][0])
    shown = [(row["input_ids"], row["labels"]) for row in rows]
    assert sorted(got) == sorted(shown)


def by_position(ids: list[int], labels: list[int], positions: list[int]) -> list[tuple[list[int], list[int]]]:
    """Cut one packed sequence where its positions start again."""
    starts = [place for place, position in enumerate(positions) if position == 0] + [len(ids)]
    return [(ids[a:b], labels[a:b]) for a, b in pairwise(starts)]
