"""Tokenisation of examples to token ids and label masks, the same for profile, preview and worker.

Rules:

- Conversations are encoded as rendered, nothing added: the template has written the BOS token where it wants one.
- Text and prompt-completion pairs get what the tokenizer puts before plain text (usually the BOS token), and its EOS
  token behind, so that generation learns to end.
- A row is encoded once, as a whole, so its ids are those of plain tokenisation; characters are mapped to tokens
  afterwards. A token that holds any character of an answer is trained, also when it begins in the prompt (as
  Transformers' assistant mask has it); such rows are counted and named in a warning.
- The first token of a row has nothing before it to be predicted from. Where it is marked as trained (text, or
  `train_on: all`) its label is handed over and the loss passes over it, packed or not.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from recommender.data.formats.examples import Chat, Example, Pair, RowProblem, Text
from recommender.data.templates.lost_answers import NOTHING, Lost
from recommender.data.tokens.answer_spans import RenderedChat, TurnFinder
from recommender.data.tokens.offsets import SpanEncoder, by_offsets
from recommender.data.tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Encoding

TrainOn = Literal["assistant", "all"]


class Piece(NamedTuple):
    """A token as it is shown."""

    text: str
    """Its part of the row's text; empty when another token of the same character has it already."""
    token_id: int | None
    """None where lengths are only estimated."""
    trained: bool
    special: bool
    cut: bool
    """Whether the length limit cuts it off."""


class Measured(NamedTuple):
    """Token counts of one row, as the profile keeps them."""

    length: int
    """Tokens."""
    spans: tuple[int, ...]
    """Trained tokens: start, end, start, end …, half-open, in order."""
    answers: int = 0
    """Answers that are trained."""
    ended: int = 0
    """Of these, how many with the end-of-turn token."""
    method: str = ""
    straddles: bool = False
    """Whether the first trained token also holds text of the prompt."""
    doubled_start: bool = False
    """Whether it starts with two BOS tokens."""
    highest_id: int = 0
    """Only looked for where the tokenizer has more ids than the embedding has rows."""
    imitates: bool = False
    """Whether a turn or a plain text holds the text of a special token, which becomes that token."""
    lost: Lost = NOTHING
    """Characters of its answers that are not trained."""
    unasked: int = 0
    """Answers that begin otherwise than the header ends with which generation will be asked for them."""
    inline: bool = False
    """Whether reasoning is trained as text, though the template has a place for it."""
    empty_reasoning: int = 0
    """Answers with which an empty reasoning block of the template's is trained."""
    reasoned: bool = False
    """Whether an answer is trained with reasoning of its own."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row as text, before it is encoded."""

    text: str
    spans: tuple[tuple[int, int], ...]
    answers: int
    ended: int
    method: str
    plain: bool
    """Whether BOS and EOS are still to be added."""
    imitates: bool = False
    lost: Lost = NOTHING
    unasked: int = 0
    inline: bool = False
    empty_reasoning: int = 0
    reasoned: bool = False


@dataclass(frozen=True)
class TokenisedRow:
    """One row's tokens."""

    text: str
    """The encoded text, without the special tokens around plain text."""
    ids: array[int]
    spans: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    """Characters of each token in `text`; empty ranges for tokens that were put around it."""
    before: int = 0
    """Tokens that were put before the text."""
    behind: int = 0
    """Tokens that were put behind it."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mask(self) -> list[bool]:
        """The loss mask: for each token, whether it is trained."""
        return mask_of(self.spans, len(self.ids))

    def labels(self, max_length: int) -> list[int]:
        """Ids where trained, -100 (what PyTorch's cross entropy ignores) where not, cut at max_length."""
        kept = self.ids[:max_length]
        return [index if trained else -100 for index, trained in zip(kept, self.mask, strict=False)]


class Tokeniser:
    """Tokenises examples for one model, template and `train_on`."""

    def __init__(self, vocabulary: Vocabulary, turns: TurnFinder, train_on: TrainOn, embedding_rows: int = 0) -> None:
        self.vocabulary = vocabulary
        self.turns = turns
        self.train_on = train_on
        self.embedding_rows = embedding_rows
        self._span_encoder = SpanEncoder(vocabulary)
        # Only ids that the embedding may lack are worth looking for.
        tokens = sorted((vocabulary.added[index] for index in vocabulary.special & vocabulary.added.keys()), key=len)
        self._special_text = re.compile("|".join(map(re.escape, reversed(tokens))) or "(?!)")
        self._check_ids = bool(embedding_rows) and vocabulary.size > embedding_rows

    def measure(self, examples: Sequence[Example]) -> list[Measured | RowProblem]:
        """Length and trained spans of each example, or why it cannot be used; encoded in one batch."""
        rendered = self.render(examples)
        return self.measured(rendered, self.encode(rendered))

    def render(self, examples: Sequence[Example]) -> list[Rendered | RowProblem]:
        """Each example as text with the characters that are trained, or why it cannot be used."""
        return [self._rendered(example) for example in examples]

    def encode(self, rendered: Sequence[Rendered | RowProblem]) -> list[Encoding]:
        """The encodings of rows' texts, for `measured`; releases the GIL, so that a thread can do it."""
        return self._span_encoder.encode([row.text for row in rendered if isinstance(row, Rendered)])

    def measured(
        self, rendered: Sequence[Rendered | RowProblem], encodings: Sequence[Encoding]
    ) -> list[Measured | RowProblem]:
        """Length and trained spans of rows whose texts `encode` has encoded, in the same order."""
        encoded = iter(encodings)
        return [row if isinstance(row, RowProblem) else self._measured(row, next(encoded)) for row in rendered]

    def tokenise(self, examples: Sequence[Example]) -> Iterator[TokenisedRow]:
        """The tokens of each example, encoded in one batch.

        Raises:
            RowProblem: One cannot be rendered; rows of a profile all can.
        """
        rendered = []
        for example in examples:
            row = self._rendered(example)
            if isinstance(row, RowProblem):
                raise row
            rendered.append(row)
        for row, encoding in zip(rendered, self.vocabulary.encode([row.text for row in rendered]), strict=True):
            yield self._row(row, encoding)

    def encode_prompt(self, example: Example) -> tuple[str, list[int]]:
        """The prompt for this example's last question: text and ids.

        For text without a question, its first half up to 32 tokens.

        Raises:
            RowProblem: The template does not take it.
        """
        match example:
            case Chat():
                text = self.turns.prompt(example)
                return text, list(self.vocabulary.encode([text])[0].ids)
            case Pair():
                ids = self.vocabulary.encode([example.prompt])[0].ids
                return example.prompt, [*self.vocabulary.prefix, *ids]
            case Text():
                encoding = self.vocabulary.encode([example.text])[0]
                kept = min(32, len(encoding.ids) // 2)
                text = example.text[: encoding.offsets[kept - 1][1]] if kept else ""
                return text, [*self.vocabulary.prefix, *encoding.ids[:kept]]

    def _rendered(self, example: Example) -> Rendered | RowProblem:
        try:
            match example:
                case Chat():
                    return self._chat(example)
                case Pair():
                    text = example.prompt + example.completion
                    if not example.completion.strip():
                        return Rendered(text, (), 0, 0, "columns", True)
                    start = 0 if self.train_on == "all" else len(example.prompt)
                    return Rendered(text, ((start, len(text)),), 1, 1, "columns", True)
                case Text():
                    spans = ((0, len(example.text)),) if example.text.strip() else ()
                    imitates = self._special_text.search(example.text) is not None
                    return Rendered(example.text, spans, len(spans), len(spans), "all", True, imitates)
        except RowProblem as problem:
            return problem

    def _chat(self, chat: Chat) -> Rendered:
        found = self.turns.render(chat)
        spans = ((0, len(found.text)),) if self.train_on == "all" and found.spans else found.spans
        ended = _ends_anywhere(found, self.turns.end_of_turn) if self.train_on == "all" else found.ended
        imitates = any(self._special_text.search(turn.content) for turn in chat.messages)
        return Rendered(
            found.text,
            spans,
            found.answers,
            ended,
            found.method,
            False,
            imitates,
            found.lost,
            found.unasked,
            found.inline,
            found.empty_reasoning,
            found.reasoned,
        )

    def _around(self, row: Rendered, first: int | None, last: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids before and behind plain text, left out where the text has them itself."""
        if not row.plain:
            return (), ()
        prefix = self.vocabulary.prefix if first is None or first not in self.vocabulary.prefix else ()
        eos = self.vocabulary.eos
        return prefix, () if eos is None or last == eos else (eos,)

    def _measured(self, row: Rendered, encoding: Encoding) -> Measured:
        ids = encoding.ids
        prefix, suffix = self._around(row, ids[0] if ids else None, ids[-1] if ids else None)
        found = self._span_encoder.of(row.text, encoding, row.spans)
        bos = self.vocabulary.bos
        started = [*prefix, *ids[:2]]
        return Measured(
            length=len(prefix) + len(ids) + len(suffix),
            spans=self._shifted(row, found.spans, len(ids), prefix, suffix),
            answers=row.answers,
            ended=row.ended if not row.plain or suffix or (ids and ids[-1] == self.vocabulary.eos) else 0,
            method=row.method,
            straddles=found.straddles,
            doubled_start=bos is not None and started[:2] == [bos, bos],
            highest_id=max(ids, default=0) if self._check_ids else 0,
            imitates=row.imitates,
            lost=row.lost,
            unasked=row.unasked,
            inline=row.inline,
            empty_reasoning=row.empty_reasoning,
            reasoned=row.reasoned,
        )

    def _row(self, row: Rendered, encoding: Encoding) -> TokenisedRow:
        ids = encoding.ids
        prefix, suffix = self._around(row, ids[0] if ids else None, ids[-1] if ids else None)
        spans = by_offsets(encoding, row.spans).spans
        end = len(row.text)
        return TokenisedRow(
            text=row.text,
            ids=array("I", (*prefix, *ids, *suffix)),
            spans=self._shifted(row, spans, len(ids), prefix, suffix),
            offsets=(*((0, 0) for _ in prefix), *encoding.offsets, *((end, end) for _ in suffix)),
            before=len(prefix),
            behind=len(suffix),
        )

    def _shifted(
        self, row: Rendered, spans: list[int], length: int, prefix: tuple[int, ...], suffix: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Token spans moved behind the prefix, the last one over the suffix, the first over the prefix of text."""
        moved = [position + len(prefix) for position in spans]
        if not moved:
            return ()
        if suffix and moved[-1] == len(prefix) + length:
            moved[-1] += len(suffix)
        if row.plain and row.spans[0][0] == 0 and (row.method == "all" or self.train_on == "all"):
            moved[0] = 0
        return tuple(moved)


def _ends_anywhere(found: RenderedChat, ends: tuple[str, ...]) -> int:
    """Number of answers with an end where every token is trained: all, if the text has an end-of-turn token."""
    return found.answers if any(token in found.text for token in ends) else 0


def mask_of(spans: Sequence[int], length: int) -> list[bool]:
    """Spans as one flag for each token."""
    mask = [False] * length
    for start, end in zip(spans[0::2], spans[1::2], strict=True):
        mask[start:end] = [True] * (end - start)
    return mask


def pieces_of(row: TokenisedRow, vocabulary: Vocabulary, max_length: int) -> tuple[Piece, ...]:
    """Each token with its text; the texts put together are the row's text and the special tokens around it."""
    found = []
    done = 0
    for position, (index, (_, end), trained) in enumerate(zip(row.ids, row.offsets, row.mask, strict=True)):
        if position < row.before or position >= len(row) - row.behind:
            text = vocabulary.added.get(index, "")
        else:
            text, done = row.text[done : max(done, end)], max(done, end)
        found.append(Piece(text, index, trained, index in vocabulary.special, position >= max_length))
    return tuple(found)
