"""Loading of a configuration's data set: one pass over the rows, in batches, cancellable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from presets.templates import tokens_around
from recommender.config.schema import Data, Source
from recommender.data.dataset import DataSet, Sample
from recommender.data.held_out import with_held_out
from recommender.data.open_file import OpenFile
from recommender.data.profile import cache
from recommender.data.profile.assemble import dataset_of
from recommender.data.profile.collect import Cancelled, Profiler, RowStats
from recommender.data.profile.document import document, histogram
from recommender.data.profile.first_look import WORTH_IT, FirstLook, first_look
from recommender.data.profile.refine import refining
from recommender.data.profile.synthetic import synthetic_profile
from recommender.data.sources.opening import bytes_on_disk, fetch, nothing_usable, open_sources
from recommender.data.split import split
from recommender.data.stages import RowReader, row_reader
from recommender.data.templates.choose import ChatTemplate, choose_template
from recommender.data.templates.effects import refused_remedy, settle
from recommender.data.tokens.answer_spans import TurnFinder
from recommender.data.tokens.tokenise import Tokeniser
from recommender.data.tokens.vocabulary import load_vocabulary
from recommender.model.spec import ModelSpec
from recommender.stages import Stage
from recommender.stages.sft import SFT

__all__ = [
    "Cancelled",
    "DataSet",
    "FirstLook",
    "OnProgress",
    "Sample",
    "document",
    "histogram",
    "profile_data",
    "profile_eval",
    "split",
    "synthetic_profile",
]

OnProgress = Callable[[int, int], None]
"""Called with rows done and rows in all; the second is extrapolated from bytes until the end is reached."""

PACKED_WORTH_IT = 1024 * 1024
"""Bytes of packed files; less is unpacked and read as quickly as a part of it."""
UNPACKED_AT_FIRST = 8 * 1024 * 1024
HASHED_QUICKLY = 256 * 1024 * 1024
"""Bytes of data that are compared with what is kept before anything else is done."""


def profile_data(
    data: Data,
    *,
    model: ModelSpec | None,
    stage: Stage = SFT,
    base: Path | None = None,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    on_first_look: Callable[[FirstLook], None] | None = None,
    on_refined: Callable[[FirstLook], None] | None = None,
    on_bytes: Callable[[str, int, int], None] | None = None,
) -> DataSet:
    """Read, recognise and tokenise the training rows of a configuration.

    Args:
        data: The `data` section: train, format, columns, template, train_on, skip_bad_rows, max_length.
        model: Whose tokenizer and chat template are used; without one, or without its tokenizer on this disk,
            lengths are estimated from the text and the profile says so.
        stage: What is trained, by which rows are recognised and measured.
        base: Where relative paths start; the current folder when None.
        on_progress: Told rows done and rows in all, once a batch.
        cancelled: Asked once a batch.
        on_first_look: Told what some rows say of all, within a second or two, where reading all takes longer.
        on_refined: Told the same with what has been read since, once a second.
        on_bytes: Told what comes from the hub: file, bytes done and bytes in all (0 where not known yet).

    Raises:
        InputError: A file cannot be read, is not recognised, or has no usable row.
        Cancelled: `cancelled` said so.
    """
    reading = _Reading(
        data.sources, data, model, base, row_reader(stage), cancelled, on_progress, on_first_look, on_refined
    )
    if on_bytes is not None:
        fetch([*data.sources, *data.eval_sources], base, reading.check_cancelled, on_bytes)
    dataset = reading.run()
    return with_held_out(dataset, data, base, reading.check_cancelled) if data.eval else dataset


def profile_eval(
    data: Data,
    *,
    model: ModelSpec | None,
    stage: Stage = SFT,
    base: Path | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> DataSet | None:
    """The held-out files of `data.eval`, read as the training rows are; None when there are none.

    Raises:
        InputError: As `profile_data`.
        Cancelled: `cancelled` said so.
    """
    if not data.eval:
        return None
    return _Reading(data.eval_sources, data, model, base, row_reader(stage), cancelled).run()


@dataclass
class _Reading:
    """One reading of some data sets, and whom it tells."""

    sources: Sequence[Source]
    data: Data
    model: ModelSpec | None
    base: Path | None
    rows: RowReader
    cancelled: Callable[[], bool] | None = None
    on_progress: OnProgress | None = None
    on_first_look: Callable[[FirstLook], None] | None = None
    on_refined: Callable[[FirstLook], None] | None = None
    latest: FirstLook | None = None
    """The last first look that was told."""
    tokeniser: Tokeniser | None = field(init=False)
    template: ChatTemplate | None = field(init=False)

    def __post_init__(self) -> None:
        self.tokeniser, self.template = tokeniser_of(self.data, self.model, self.base)

    def check_cancelled(self) -> None:
        """Raise Cancelled once `cancelled` says so: a callback for long work to call now and then."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled

    def run(self) -> DataSet:
        """Read, recognise and tokenise every row, or take the statistics that the cache has of them."""
        on_disk = bytes_on_disk(self.sources, self.base, self.check_cancelled)
        looked = on_disk.packed > PACKED_WORTH_IT
        if looked:
            self._look(*self._opened(UNPACKED_AT_FIRST))
        files, weights = self._opened()
        # To read a file only to know whether it is the same takes a second a gigabyte.
        if not looked and on_disk.total > HASHED_QUICKLY:
            looked = True
            self._look(files, weights)
        key = cache.key_of(files, weights, self.tokeniser, self.template, self.data)
        kept = cache.load(key, self.tokeniser) if key else None
        if kept is None:
            if not looked and on_disk.total > WORTH_IT:
                self._look(files, weights)
            kept = self._collected(files, weights)
            if key:
                cache.save(key, kept, self.tokeniser)
        if kept.bad and not kept.lengths:
            raise nothing_usable(kept.bad[0], refused_remedy(files, kept.bad, self.data, self.tokeniser))
        return settle(self._dataset(kept, files, self.sources), kept.found, self.data, self.tokeniser)

    def _opened(self, upto: int | None = None) -> tuple[list[OpenFile], list[float]]:
        """The files, and how often each one's rows are taken; of packed ones no more than `upto` bytes, where given."""
        around = tokens_around(self.model.model_type) if self.tokeniser is None and self.model is not None else 0
        files, weights = open_sources(self.sources, self.data, self.base, self.rows, self.check_cancelled, upto)
        return [replace(file, around=around) for file in files], weights

    def _look(self, files: list[OpenFile], weights: list[float]) -> None:
        """Tell a first look at some rows, where somebody wants one and they say enough."""
        if self.on_first_look is None:
            return
        stopped = self.cancelled or (lambda: False)
        self.latest = first_look(files, weights, self.tokeniser, self.data, self._dataset, cancelled=stopped)
        if self.latest is not None:
            self.on_first_look(self.latest)

    def _collected(self, files: list[OpenFile], weights: list[float]) -> RowStats:
        """The statistics of every row."""
        profiler = Profiler(files, weights, self.tokeniser, self.data.train_on, self.data.answers)
        on_rows = self.on_progress or (lambda _done, _total: None)
        if self.latest is not None and self.on_refined is not None:
            sizes = [file.reader.size for file in files]
            on_rows = refining(self.latest, profiler.stats, sizes, self.on_refined, on_rows)
        return profiler.run(on_rows, self.cancelled or (lambda: False))

    def _dataset(self, some: RowStats, files: list[OpenFile], sources: Sequence[Source] = ()) -> DataSet:
        return dataset_of(some, self.data, sources, files, self.tokeniser, self.template)


def tokeniser_of(
    data: Data, model: ModelSpec | None, base: Path | None
) -> tuple[Tokeniser | None, ChatTemplate | None]:
    """The tokeniser of a model for this data, and its chat template; none where its tokenizer is not on this disk."""
    vocabulary = load_vocabulary(model.path) if model else None
    if vocabulary is None or model is None:
        return None, None
    template = choose_template(data.template, vocabulary, model_type=model.model_type, base=base)
    turns = TurnFinder(template, vocabulary, data.chat_template_kwargs, data.reasoning)
    return Tokeniser(vocabulary, turns, data.train_on, model.vocab_size), template
