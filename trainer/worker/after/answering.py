"""Base and tuned model of a run in one object: the adapter is switched off for the base's turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from recommender.config.io import load_config
from trainer.models.own_code import agreed_code
from trainer.run.adapter import require_adapter
from trainer.run.base_model import find_base
from trainer.run.folder import RunFolder
from trainer.worker.output.adapter import adapter_for_trained
from trainer.worker.setup.experts.adapter import with_adapter
from trainer.worker.setup.model import load_model, load_text

Side = Literal["base", "tuned"]


@dataclass
class Answerer:
    """A loaded pair with its tokenizer and the conversation of each side."""

    base: Any
    tuned: Any
    """The same object with its adapter, or another model after a full fine-tune."""
    tokenizer: Any
    variables: dict[str, Any] = field(default_factory=dict)
    """`data.chat_template_kwargs` of the run: it is asked as it was trained."""
    turns: dict[Side, list[dict[str, str]]] = field(default_factory=lambda: {"base": [], "tuned": []})

    @classmethod
    def of(cls, folder: RunFolder, base_place: str | None = None) -> Answerer:
        """Load the pair of a run.

        Args:
            folder: The run.
            base_place: Where its base lies now, where that is not what the configuration names.

        Raises:
            InputError: There is no adapter, or no weights of the base.
        """
        from transformers import AutoTokenizer

        require_adapter(folder)
        config = load_config(folder.effective_config)
        spec = find_base(folder, config, base_place)
        cuda = torch.cuda.is_available()
        trust = agreed_code(folder, config, spec) is not None
        base = load_model(config, spec, cuda=cuda)
        base.config.use_cache = True
        tokenizer = AutoTokenizer.from_pretrained(str(folder.adapter), trust_remote_code=trust)
        if config.method == "full":
            tuned = load_text(folder.adapter, trust=trust, dtype=base.dtype, device=0 if cuda else "cpu")
        else:
            base = tuned = with_adapter(base, adapter_for_trained(folder.adapter))
        return cls(base.eval(), tuned.eval(), tokenizer, config.data.chat_template_kwargs)

    def forget(self) -> None:
        """Begin a new conversation."""
        self.turns = {"base": [], "tuned": []}

    def answers(self, prompt: str, most: int) -> Iterator[tuple[Side, str]]:
        """Yield both answers to one prompt, greedy, token by token in turn.

        Args:
            prompt: What the person typed.
            most: Tokens of an answer at most.

        Yields:
            The side and the next piece of its text.
        """
        sides: tuple[Side, ...] = ("base", "tuned")
        running = {side: self._answer(side, prompt, most) for side in sides}
        while running:
            for side in [*running]:
                piece = next(running[side], None)
                if piece is None:
                    del running[side]
                elif piece:
                    yield side, piece

    def _answer(self, side: Side, prompt: str, most: int) -> Iterator[str]:
        """Yield one side's pieces of text; an empty one where a token completes no character."""
        turns = [*self.turns[side], {"role": "user", "content": prompt}]
        ids = self._ids(turns, prompt)
        said: list[int] = []
        shown, cache, fed = "", None, ids
        for _ in range(most):
            with torch.no_grad(), self._as(side):
                model = self.base if side == "base" else self.tuned
                out = model(input_ids=fed, past_key_values=cache, use_cache=True)
            cache, token = out.past_key_values, int(out.logits[0, -1].argmax())
            if token in self._stops:
                break
            said.append(token)
            fed = torch.tensor([[token]], device=ids.device)
            text = self.tokenizer.decode(said, skip_special_tokens=True)
            # A character of several tokens shows as U+FFFD until its last one is there.
            fresh = "" if text.endswith("\ufffd") else text[len(shown) :]
            shown += fresh
            yield fresh
        self.turns[side] = [*turns, {"role": "assistant", "content": shown}]

    def _ids(self, turns: list[dict[str, str]], prompt: str) -> Any:
        device = self.tuned.device
        if self.tokenizer.chat_template is None:
            return self.tokenizer(prompt, return_tensors="pt").input_ids.to(device)
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **self.variables)
        return self.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids.to(device)

    def _as(self, side: Side) -> AbstractContextManager[Any]:
        switched = side == "base" and self.base is self.tuned
        return self.tuned.disable_adapter() if switched else nullcontext()

    @property
    def _stops(self) -> set[int]:
        configured = self.tuned.generation_config.eos_token_id
        found = {configured} if isinstance(configured, int) else set(configured or ())
        found.add(self.tokenizer.eos_token_id)
        # The end of a turn in the templates of the catalogue's families.
        for name in ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"):
            number = self.tokenizer.convert_tokens_to_ids(name)
            if isinstance(number, int) and number != self.tokenizer.unk_token_id:
                found.add(number)
        return {stop for stop in found if stop is not None}
