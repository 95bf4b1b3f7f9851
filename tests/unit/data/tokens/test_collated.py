"""What the preview shows is what TRL's own collator hands to the model: ids and labels, bit for bit, packed or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recommender.config.schema import Data
from recommender.data.load import profile_data
from tests.fixtures.child import run_python
from tests.fixtures.tiny_model import build_tiny_llama
from tests.fixtures.vocabularies import CHATML, spec_for
from tests.unit.data.templates.test_transformers_agree import by_position
from tests.unit.data.tokens.test_turns import FORGETFUL, MARKED

pytestmark = pytest.mark.torch

LIMIT = 48
ASKED = ["Why is the sky blue?", "Grüße, 你好 😀", "One\n\nTwo  "]
FORMATS: dict[str, list[dict[str, Any]]] = {
    "alpaca": [{"instruction": asked, "input": "", "output": f"Answer {asked}"} for asked in ASKED],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": "Yes. " * 9}]} for asked in ASKED
    ],
    "messages": [
        {
            "messages": [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": [{"type": "text", "text": "No."}]},
            ]
        }
        for asked in ASKED
    ],
    "prompt-completion": [{"prompt": asked, "completion": " Done."} for asked in ASKED],
    "text": [{"text": asked * 9} for asked in ASKED],
    "preference": [{"prompt": asked, "chosen": "Good.", "rejected": "Bad."} for asked in ASKED],
}
TEMPLATES = {"chatml": CHATML, "marks": MARKED, "forgetful": FORGETFUL}

COLLATED = """
import json, sys
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTTrainer
from recommender.config.schema import FinetuneConfig
from recommender.model.reader import read_model
from recommender.steps import count_steps
from trainer.worker.stages.sft import training_arguments
from trainer.worker.stages.rows import read_rows

found = []
for case in json.loads(Path(sys.argv[1]).read_text()):
    config = FinetuneConfig.model_validate(case)
    rows = read_rows(config, read_model(config.model))
    steps = count_steps(config, len(rows.train), 0)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(config.model, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(config.model),
        args=training_arguments(
            config, Path(sys.argv[2]), steps, evaluates=False, cuda=False, packing_strategy=rows.packing_strategy
        ),
        train_dataset=rows.train,
    )
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(trainer.train_dataset))])
    found.append({key: value.tolist() for key, value in batch.items() if hasattr(value, "tolist")})
print(json.dumps(found))
"""


def previewed(data: Data, folder: Path) -> list[tuple[list[int], list[int]]]:
    """Ids and labels of each row as the sample view's pieces say them, cut where they are struck through."""
    dataset = profile_data(data, model=spec_for(folder))
    found = []
    for i in range(len(dataset)):
        kept = [piece for piece in dataset.sample(i, data.max_length).pieces if not piece.cut]
        ids = [piece.token_id for piece in kept if piece.token_id is not None]
        found.append(
            (ids, [piece.token_id if piece.trained and piece.token_id is not None else -100 for piece in kept])
        )
    return found


def collated(batch: dict[str, list[list[int]]], packing: bool) -> list[tuple[list[int], list[int]]]:
    """The rows of a batch, without padding, or cut where positions start again."""
    if packing:
        return by_position(batch["input_ids"][0], batch["labels"][0], batch["position_ids"][0])
    return [
        (ids[: sum(mask)], labels[: sum(mask)])
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True)
    ]


def parts(row: tuple[list[int], list[int]]) -> list[tuple[list[int], list[int]]]:
    """A row in pieces of the limit."""
    ids, labels = row
    return [(ids[at : at + LIMIT], labels[at : at + LIMIT]) for at in range(0, len(ids), LIMIT)]


def test_every_format_and_template_is_trained_on_as_it_was_shown(tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = []
    shown: list[list[tuple[list[int], list[int]]]] = []
    names: list[tuple[str, str, bool]] = []
    for template, source in TEMPLATES.items():
        folder = build_tiny_llama(tmp_path / template)
        (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
        for name, rows in FORMATS.items():
            path = tmp_path / f"{name}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            data: dict[str, Any] = {"train": [str(path)], "max_length": LIMIT, "eval_fraction": 0.0}
            data |= {"format": name} if name == "preference" else {}
            for packing in (False, True):
                case: dict[str, Any] = {"model": str(folder), "method": "full", "quantization": {"bits": None}}
                case |= {"data": {**data, "packing": packing}, "training": {"precision": "fp32", "max_steps": 1}}
                cases.append(case)
                limit = 10**6 if packing and name == "text" else LIMIT
                shown.append(previewed(Data.model_validate({**data, "max_length": limit}), folder))
                names.append((template, name, packing))
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    batches = run_python(COLLATED, str(tmp_path / "cases.json"), str(tmp_path / "out"))
    for case_name, expected, batch in zip(names, shown, batches, strict=True):
        packing = case_name[2]
        got = collated(batch, packing)
        # TRL masks the first token of a packed document, which has nothing before it to be predicted from.
        # Text is split where it is too long, and each part is a document.
        whole = [part for row in expected for part in parts(row)]
        seen = [(ids, [-100, *labels[1:]]) for ids, labels in whole] if packing else expected
        assert sorted(got) == sorted(seen), case_name
    assert any(len(ids) == LIMIT for previews in shown for ids, _ in previews)
    assert any(len(ids) > LIMIT for previews in shown for ids, _ in previews)
