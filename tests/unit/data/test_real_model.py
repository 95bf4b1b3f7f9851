"""The shipped data under the real tokenizer of SmolLM2, against Transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import presets
from recommender.config.schema import Data
from recommender.data.load import profile_data
from recommender.model.reader import read_model
from tests.fixtures.child import run_python

pytestmark = [pytest.mark.model, pytest.mark.torch]

BY_TRANSFORMERS = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
chats = json.loads(sys.argv[2])
print(json.dumps([tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False) for chat in chats]))
"""


def test_the_demo_is_tokenised_as_transformers_does_and_trained_on_its_answers(demo_model: Path) -> None:
    path = Path(presets.__file__).parent / "demo" / "lora-house-style.jsonl"
    dataset = profile_data(Data(train=[str(path)]), model=read_model(str(demo_model)))
    assert (dataset.profile.tokenizer, dataset.profile.template) == ("exact", "model")
    assert dataset.profile.stops == ()
    # SmolLM2's template introduces the model; nothing else is to be said.
    (said,) = dataset.profile.warnings
    assert "'You are a helpful AI assistant named SmolLM, trained by Hugging Face'" in said.text
    rows = range(0, len(dataset), 10)
    chats = [
        [
            {"role": "user", "content": dataset.question_text(i)},
            {"role": "assistant", "content": dataset.answer_text(i)},
        ]
        for i in rows
    ]
    theirs = run_python(BY_TRANSFORMERS, str(demo_model), json.dumps(chats))
    for i, ids in zip(rows, theirs, strict=True):
        assert dataset.tokens(i)[0].tolist() == ids
        trained = "".join(piece.text for piece in dataset.sample(i, 10_000).pieces if piece.trained)
        assert trained == dataset.answer_text(i) + "<|im_end|>"
