"""Sample answers to a few held-out questions, before training, at every evaluation and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from recommender.data.dataset import DataSet
from trainer.run.folder import RunFolder
from trainer.worker.output.disk_space import record

NEW_TOKENS: Final = 64
MOST_SECONDS: Final = 30.0
"""Time limit in seconds of all answers before and after training together."""


class _Looks(StoppingCriteria):  # type: ignore[misc]
    """Stopping criterion that calls a function, which may raise, at each new token and never ends an answer."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> Any:
        """Call the function; stop nothing."""
        del scores
        self._look()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


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
                    stopping_criteria=StoppingCriteriaList([_Looks(look)]) if look else None,
                )
        finally:
            model.train(was_training)
        return [self.source.decode(_until(row.tolist(), stops)).strip() for row in out[:, ids.shape[1] :]]

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
