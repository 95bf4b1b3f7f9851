"""One held-out question, answered before training and after: what the numbers mean."""

from __future__ import annotations

from typing import Any

import torch

from recommender.data.dataset import DataSet
from trainer.runfolder import RunFolder
from trainer.worker.room import record

NEW_TOKENS = 64


def answer(model: Any, source: DataSet, row: int, *, most: int = NEW_TOKENS) -> str:
    """The model's greedy answer to a row's last question."""
    prompt = source.prompt_ids(row)
    ids = torch.tensor([prompt], device=model.device)
    was_training = model.training
    model.eval()
    stops = list(source.stop_ids)
    with torch.no_grad():
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=most,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            use_cache=True,
            eos_token_id=stops or None,
            pad_token_id=stops[0] if stops else 0,
        )
    model.train(was_training)
    return source.decode(out[0, len(prompt) :].tolist()).strip()


def record_sample(folder: RunFolder, model: Any, source: DataSet, row: int, *, when: str, step: int) -> None:
    """Answer and record; a question that cannot be answered is a warning and stops nothing."""
    try:
        said = answer(model, source, row)
    except (RuntimeError, ValueError) as problem:
        record(folder, "warning", message=f"The sample could not be answered: {problem}".splitlines()[0][:300])
        return
    record(
        folder,
        "sample",
        step=step,
        when=when,
        prompt=source.question_text(row),
        answer=said,
        expected=source.answer_text(row),
    )
