"""DataSet: rows that can be read one by one, and handed to the trainer exactly as they were shown."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from presets.errors import InputError
from recommender.data.formats.examples import Chat, Example, Pair, RowProblem, Text
from recommender.data.open_file import OpenFile
from recommender.data.profile.profile import DataProfile, NearRows
from recommender.data.stages.base import RowReader, measure_rows
from recommender.data.templates.choose import ChatTemplate
from recommender.data.tokens.answer_spans import TurnFinder
from recommender.data.tokens.estimated_lengths import estimated_sample, measure_without_tokenizer
from recommender.data.tokens.tokenise import Measured, Piece, TokenisedRow, Tokeniser, TrainOn, pieces_of
from recommender.data.tokens.trained_answers import Answers

_BATCH = 256
_ASKED_EVERY = 4096
"""Rows between two questions whether a search should end."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A row as the model will see it."""

    row: int
    """0-based position among the usable rows."""
    file: str
    line: int
    pieces: tuple[Piece, ...]
    """In order; their texts put together are what the model reads."""
    length: int
    """Tokens, uncut."""
    trained: int
    """Trained tokens that are kept."""
    trained_cut: int
    """Trained tokens that the limit cuts."""
    findings: tuple[str, ...] = ()
    """Its flags and near-duplicates, in words."""

    @property
    def text(self) -> str:
        """The whole, special tokens shown."""
        return "".join(piece.text for piece in self.pieces)


class RowIndex:
    """The position and the flags of each usable row: 38 bytes a row instead of the row."""

    def __init__(self) -> None:
        self.file = array("I")
        self.line = array("I")
        self.start = array("Q")
        self.end = array("Q")
        self.digest = array("Q")
        self.flags = array("I")
        self.part = array("H")

    def __len__(self) -> int:
        return len(self.file)

    def add(self, file: int, line: int, start: int, end: int, digest: int, flags: int = 0, part: int = 0) -> None:
        """Append a row; `part` tells the rows of one conversation apart, where each answer has one."""
        self.file.append(file)
        self.line.append(line)
        self.start.append(start)
        self.end.append(end)
        self.digest.append(digest)
        self.flags.append(flags)
        self.part.append(min(part, 65535))


class DataSet:
    """The usable rows of a data set under one tokenizer, template and `train_on`.

    Rows are read again from their files and tokenised again when they are asked for, by the code that measured them
    for the profile: nothing is held but where they stand.

    For the worker: `training_rows` gives what SFTTrainer (TRL 1.16) takes as an already processed data set, recognised
    by its `input_ids` column and its `labels` column. Build a `datasets.Dataset` with these two columns and no others
    (`Dataset.from_generator` or `from_list`) and TRL neither tokenises, nor adds EOS, nor builds labels; rows are cut
    at max_length here already, so its truncation and its filter for fully masked rows find nothing to do. Without
    packing, `SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, packing=False)` skips even that; with
    packing=True preparation must run, and `packing_strategy="bfd"` packs whole rows, none of which is longer than
    max_length. Its collator pads input_ids with pad_token_id and labels with -100; when packed it sets the label of
    each document's first token to -100, which no loss ever looked at. `assistant_only_loss` and `completion_only_loss`
    stay None or False, and `max_length` is the one given here.

    Attributes:
        profile: What the data set is in tokens.
        template: The chat template in use; None for data without conversations or without a tokenizer. A tokenizer
            saved beside the adapter should carry `template.source` as its chat_template.
        index: Where rows stand, and their content digests.
        near: Rows that are nearly the same as another one, once they were looked for.
        files: Where the rows stand.
        held_out: The files of `data.eval`; none where rows are held out by the split.
    """

    def __init__(
        self,
        profile: DataProfile,
        files: Sequence[OpenFile],
        index: RowIndex,
        tokeniser: Tokeniser | None,
        template: ChatTemplate | None,
        train_on: TrainOn,
        answers: Answers = "all",
    ) -> None:
        self.profile = profile
        self.template = template
        self.index = index
        self.near = NearRows()
        self.held_out: tuple[OpenFile, ...] = ()
        self.files = tuple(files)
        self._tokeniser = tokeniser
        self._train_on = train_on
        self._answers: Answers = answers

    def __len__(self) -> int:
        return len(self.index)

    @property
    def rows(self) -> RowReader:
        """The reader of the rows of its stage."""
        return self.files[0].rows

    @property
    def digests(self) -> Sequence[int]:
        """Content digest of each row, in file order: what `split` and `overlap` take."""
        return self.index.digest

    def row(self, i: int) -> dict[str, Any]:
        """Row i as it stands in its file: column to value."""
        file = self.files[self.index.file[i]]
        return file.reader.read(self.index.start[i], self.index.end[i])

    def where(self, i: int) -> tuple[str, int]:
        """File and line (or row number) of row i."""
        return str(self.files[self.index.file[i]].reader.path), self.index.line[i]

    def example(self, i: int) -> Example:
        """Row i as a conversation, a pair or text.

        Raises:
            InputError: The file was changed after it was profiled.
        """
        try:
            example = self.rows.example(self.row(i), self.files[self.index.file[i]].shape)
            return self.rows.parts(example, self._answers)[self.index.part[i]]
        except (RowProblem, IndexError) as problem:
            raise self._changed(i) from problem

    def tokenised(self, i: int) -> TokenisedRow:
        """Row i in tokens; the first of its sequences, where it has several.

        Raises:
            InputError: There is no tokenizer, or the file was changed.
        """
        return self._sides(i)[0]

    def tokens(self, i: int) -> tuple[array[int], list[bool]]:
        """Ids of row i, uncut, and for each whether it is trained."""
        row = self.tokenised(i)
        return row.ids, row.mask

    @property
    def turns(self) -> TurnFinder | None:
        """The renderer of its conversations; None where lengths are estimated."""
        return self._tokeniser.turns if self._tokeniser else None

    def measure(self, examples: Sequence[Example]) -> list[Measured | RowProblem]:
        """Length and trained spans of other rows under the same tokenizer, or by the same estimate."""
        tokeniser, around = self._tokeniser, self.files[0].around
        if tokeniser is not None:
            return measure_rows(self.rows, examples, tokeniser.measure)
        return measure_rows(self.rows, examples, lambda sides: measure_without_tokenizer(sides, self._train_on, around))

    def sample(self, i: int, max_length: int) -> Sample:
        """Row i for the screen: tokens with their text, what is trained and what the limit cuts."""
        if self._tokeniser is None:
            around = self.files[self.index.file[i]].around
            sides = [
                estimated_sample(side, self._train_on, max_length, around) for side in self.rows.sides(self.example(i))
            ]
        else:
            sides = [pieces_of(side, self._tokeniser.vocabulary, max_length) for side in self._sides(i)]
        pieces = tuple(piece for side in sides for piece in side)
        file, line = self.where(i)
        first, last = self.profile.span_start[i], self.profile.span_start[i + 1]
        ends = [(self.profile.spans[2 * k], self.profile.spans[2 * k + 1]) for k in range(first, last)]
        trained = sum(end - start for start, end in ends)
        cut = self._trained_cut(i, max_length)
        said = (*self.findings(i), *([f"the limit cuts {cut} trained tokens"] if cut else []))
        return Sample(i, file, line, pieces, self.profile.lengths[i], trained - cut, cut, said)

    def longest(self, count: int = 1) -> list[int]:
        """The rows with most tokens, longest first: what the preflight step is run on."""
        from heapq import nlargest

        return nlargest(count, range(len(self)), key=self.profile.lengths.__getitem__)

    def findings(self, i: int) -> tuple[str, ...]:
        """The flags and near-duplicates of row i, in words."""
        from recommender.data.profile.flags import flag_texts

        return (*flag_texts(self.index.flags[i]), *self.near.of(i))

    def next_finding(
        self, i: int, by: int, max_length: int, cancelled: Callable[[], bool] = lambda: False
    ) -> int | None:
        """The next row after i (before it for by = -1) with a flag or with trained tokens that the limit cuts.

        The search goes round; None when no row has one, or `cancelled`, which is asked now and then, said so.
        """
        flags, lengths = self.index.flags, self.profile.lengths
        for step in range(1, len(self) + 1):
            place = (i + by * step) % len(self)
            if (
                flags[place]
                or place in self.near
                or (lengths[place] > max_length and self._trained_cut(place, max_length))
            ):
                return place
            if step % _ASKED_EVERY == 0 and cancelled():
                break
        return None

    def _trained_cut(self, i: int, max_length: int) -> int:
        """Trained tokens of row i that the limit cuts."""
        profile = self.profile
        first, last = profile.span_start[i], profile.span_start[i + 1]
        ends = [(profile.spans[2 * k], profile.spans[2 * k + 1]) for k in range(first, last)]
        return sum(max(0, end - max(start, max_length)) for start, end in ends)

    def training_rows(self, indices: Sequence[int], max_length: int) -> TrainingRows:
        """Rows for the trainer, cut at max_length; see the class's docstring.

        Raises:
            InputError: There is no tokenizer.
        """
        self._need_tokenizer()
        return TrainingRows(self, indices, max_length)

    def prompt_text(self, i: int) -> str:
        """The prompt for an answer to row i's last question, as text."""
        return self._prompt(i)[0]

    def prompt_ids(self, i: int) -> list[int]:
        """The prompt for an answer to row i's last question, as token ids ready for `generate`."""
        return self._prompt(i)[1]

    def answer_text(self, i: int) -> str:
        """The answer that row i has for it; the rest of the text where there is no question."""
        example = self.example(i)
        match example:
            case Chat():
                return next((turn.content for turn in reversed(example.messages) if turn.role == "assistant"), "")
            case Pair():
                return example.completion
            case Text():
                return example.text[len(self.prompt_text(i)) :]

    def question_text(self, i: int) -> str:
        """Row i's last question in plain words, for a list of samples."""
        example = self.example(i)
        match example:
            case Chat():
                return next((turn.content for turn in reversed(example.messages) if turn.role == "user"), "")
            case Pair():
                return example.prompt
            case Text():
                return self.prompt_text(i)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids at which generation stops: the model's own, and the end-of-turn token of the template."""
        vocabulary = self._need_tokenizer().vocabulary
        ends = (vocabulary.id_of(token) for token in self._need_tokenizer().turns.end_of_turn)
        return tuple(sorted({*vocabulary.stop_ids, *(index for index in ends if index is not None)}))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, without the special tokens at which generation stopped."""
        vocabulary = self._need_tokenizer().vocabulary
        return vocabulary.decode([index for index in ids if index not in vocabulary.special])

    def _prompt(self, i: int) -> tuple[str, list[int]]:
        try:
            return self._need_tokenizer().encode_prompt(self.example(i))
        except RowProblem as problem:
            raise self._changed(i) from problem

    def _sides(self, i: int) -> list[TokenisedRow]:
        """The sequences of row i in tokens."""
        return next(self._tokenise([i]))

    def _tokenise(self, indices: Sequence[int]) -> Iterator[list[TokenisedRow]]:
        """The sequences of each row in tokens."""
        tokeniser = self._need_tokenizer()
        sides = [self.rows.sides(self.example(i)) for i in indices]
        try:
            tokenised = iter(tokeniser.tokenise([side for each in sides for side in each]))
            for each in sides:
                yield [next(tokenised) for _ in each]
        except RowProblem as problem:
            raise InputError(
                f"A row that could be read before cannot be any more: it {problem.reason}.",
                remedy="The file was changed after it was profiled: open it again.",
            ) from problem

    def _need_tokenizer(self) -> Tokeniser:
        if self._tokeniser is None:
            raise InputError(
                "There is no tokenizer for this model here, so its rows cannot be turned into tokens.",
                remedy="Download the model (its tokenizer.json is enough for this step).",
            )
        return self._tokeniser

    def _changed(self, i: int) -> InputError:
        file, line = self.where(i)
        return InputError(f"{file}, line {line}, was changed after it was profiled.", remedy="Open it again.")


class TrainingRows:
    """Rows for the trainer, one at a time, tokenised in batches; can be gone through again.

    Attributes:
        left_out: Rows of which nothing is trained (after the cut), counted by the last pass.
        cut: Rows that were longer than max_length, counted by the last pass.
        read: Tokens that the last pass read, after the cut, also of rows that it left out.
        tokens: Tokens handed over by the last pass.
        trained: Tokens that the loss sees, of these.
    """

    def __init__(self, dataset: DataSet, indices: Sequence[int], max_length: int) -> None:
        self._dataset = dataset
        self._indices = indices
        self._max_length = max_length
        self._reset()

    def _reset(self) -> None:
        self.left_out = self.cut = self.read = self.tokens = self.trained = 0

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        """Give the stage's columns of each row in which something is trained.

        Raises:
            InputError: Nothing is trained in any row.
        """
        self._reset()
        given = 0
        for first in range(0, len(self._indices), _BATCH):
            for sides in self._dataset._tokenise(self._indices[first : first + _BATCH]):
                row = self._dataset.rows.training_row(sides, self._max_length)
                self.cut += any(len(side) > self._max_length for side in sides)
                self.read += row.tokens
                if not row.trained:
                    self.left_out += 1
                    continue
                given += 1
                self.tokens += row.tokens
                self.trained += row.trained
                yield row.columns
        if self._indices and not given:
            raise InputError(
                f"Nothing would be trained: no row keeps a trained token at max_length {self._max_length}.",
                remedy="Raise data.max_length, or look at the Data step for what is masked.",
            )
