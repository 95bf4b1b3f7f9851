"""Sample answers to a few held-out questions, before training, at every evaluation and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from recommender.data.dataset import DataSet
from trainer.run.folder import RunFolder
from trainer.worker.output.disk_space import record
from trainer.worker.setup.sharding import sharded_parameters
from trainer.worker.world import object_of_the_first, of_the_first

NEW_TOKENS: Final = 64
MOST_SECONDS: Final = 30.0
"""Time limit in seconds of all answers before and after training together."""


class _Looks(StoppingCriteria):  # type: ignore[misc]
    """Stopping criterion that calls a function, which may raise, at each new token and never ends an answer.

    Args:
        look: The function.
        until: The clock in seconds at which all ranks end their answers, by the first one's; None where each ends
            by itself.
    """

    def __init__(self, look: Callable[[], None], until: float | None = None) -> None:
        self._look, self._until = look, until

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> Any:
        """Call the function, and say whether time is up."""
        del scores
        self._look()
        over = self._until is not None and of_the_first([time.monotonic() > self._until])[0]
        return torch.full((input_ids.shape[0],), over, dtype=torch.bool, device=input_ids.device)


@dataclass(frozen=True)
class Questions:
    """Rows of a data set whose last question is asked again and again.

    Attributes:
        source: The data set.
        rows: Which rows, the same for the whole run.
    """

    source: DataSet
    rows: Sequence[int]

    def answers(
        self,
        model: Any,
        *,
        most: int = NEW_TOKENS,
        seconds: float | None = None,
        look: Callable[[], None] | None = None,
    ) -> list[str]:
        """The model's greedy answers, all in one batch.

        Args:
            model: Which answers; its mode is put back.
            most: Tokens of an answer at most.
            seconds: After which all of them end where they are.
            look: Called at each token; may raise.
        """
        prompts = [self.source.prompt_ids(row) for row in self.rows]
        stops = list(self.source.stop_ids)
        looks = look or (lambda: None)
        if sharded_parameters(model):
            out = _together(model, prompts, stops, most, MOST_SECONDS if seconds is None else seconds, looks)
        else:
            out = _generate(model, prompts, stops, most, seconds, _Looks(looks))
        return [self.source.decode(_until(row, stops)).strip() for row in out]

    def record(
        self,
        folder: RunFolder,
        model: Any,
        *,
        when: str,
        step: int,
        seconds: float = MOST_SECONDS,
        look: Callable[[], None] | None = None,
    ) -> None:
        """Answer and record; questions that cannot be answered are a warning and stop nothing.

        Args:
            folder: The run.
            model: Which answers.
            when: 'before', 'during' or 'after' training.
            step: After which optimizer step.
            seconds: After which all answers end where they are.
            look: Called at each token; may raise.
        """
        try:
            said = self.answers(model, seconds=seconds, look=look)
        except (RuntimeError, ValueError) as problem:
            record(folder, "warning", message=f"The samples could not be answered: {problem}".splitlines()[0][:300])
            return
        for row, answer in zip(self.rows, said, strict=True):
            record(
                folder,
                "sample",
                step=step,
                when=when,
                prompt=self.source.question_text(row),
                answer=answer,
                expected=self.source.answer_text(row),
            )


def ask(questions: Questions | None, folder: RunFolder, model: Any, *, when: str, step: int, **options: Any) -> None:
    """Answer and record the questions; every rank must come here, and helps where the model is sharded.

    Args:
        questions: None in a rank that asks none.
        folder: The run.
        model: Which answers.
        when: 'before', 'during' or 'after' training.
        step: After which optimizer step.
        **options: As of `Questions.record`.
    """
    if questions is not None:
        questions.record(folder, model, when=when, step=step, **options)
    elif sharded_parameters(model):
        with suppress(RuntimeError, ValueError):
            # What fails here fails in the first rank too, which says so.
            _together(model, [], [], 0, 0.0, lambda: None)


def _together(
    model: Any, prompts: Sequence[Sequence[int]], stops: list[int], most: int, seconds: float, look: Callable[[], None]
) -> list[list[int]]:
    """Answer in all ranks at once, which gather each layer for each other: the first one's prompts, within its time."""
    prompts, stops, most, seconds = object_of_the_first((prompts, stops, most, seconds))
    return _generate(model, prompts, stops, most, None, _Looks(look, time.monotonic() + seconds))


def _generate(
    model: Any, prompts: Sequence[Sequence[int]], stops: list[int], most: int, seconds: float | None, looks: _Looks
) -> list[list[int]]:
    """Return the greedy answers' tokens, all in one batch."""
    ids, mask = _left_padded(prompts, stops[0] if stops else 0, model.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=most,
                max_time=seconds,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                use_cache=True,
                eos_token_id=stops or None,
                pad_token_id=stops[0] if stops else 0,
                stopping_criteria=StoppingCriteriaList([looks]),
            )
    finally:
        model.train(was_training)
    answers: list[list[int]] = out[:, ids.shape[1] :].tolist()
    return answers


def _left_padded(prompts: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask, (prompts, longest prompt): answers begin in the same column."""
    longest = max(len(prompt) for prompt in prompts)
    ids = [[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _until(ids: Sequence[int], stops: Sequence[int]) -> Sequence[int]:
    """Return the tokens before the end of the turn; a shorter answer of a batch is padded after it."""
    end = next((index for index, token in enumerate(ids) if token in stops), len(ids))
    return ids[:end]
