"""Loading of a configuration's data set: one pass over the rows, in batches, cancellable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
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
from recommender.data.templates.choose import ChatTemplate, choose_template
from recommender.data.templates.effects import refused_remedy, settle
from recommender.data.tokens.answer_spans import TurnFinder
from recommender.data.tokens.tokenise import Tokeniser
from recommender.data.tokens.vocabulary import load_vocabulary
from recommender.model.spec import ModelSpec

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
    if on_bytes is not None:
        fetch([*data.sources, *data.eval_sources], base, _cancel_check(cancelled), on_bytes)
    dataset = _profile(data.sources, data, model, base, on_progress, cancelled, on_first_look, on_refined)
    return with_held_out(dataset, data, base, _cancel_check(cancelled)) if data.eval else dataset


def profile_eval(
    data: Data, *, model: ModelSpec | None, base: Path | None = None, cancelled: Callable[[], bool] | None = None
) -> DataSet | None:
    """The held-out files of `data.eval`, read as the training rows are; None when there are none.

    Raises:
        InputError: As `profile_data`.
        Cancelled: `cancelled` said so.
    """
    if not data.eval:
        return None
    return _profile(data.eval_sources, data, model, base, None, cancelled)


def _profile(
    sources: Sequence[Source],
    data: Data,
    model: ModelSpec | None,
    base: Path | None,
    on_progress: OnProgress | None,
    cancelled: Callable[[], bool] | None,
    on_first_look: Callable[[FirstLook], None] | None = None,
    on_refined: Callable[[FirstLook], None] | None = None,
) -> DataSet:
    stopped = cancelled or (lambda: False)
    latest: FirstLook | None = None
    check_cancelled = _cancel_check(cancelled)
    tokeniser, template = tokeniser_of(data, model, base)

    around = tokens_around(model.model_type) if tokeniser is None and model is not None else 0

    def opened(upto: int | None = None) -> tuple[list[OpenFile], list[float]]:
        found, often = open_sources(sources, data, base, check_cancelled, upto)
        return [replace(file, around=around) for file in found], often

    def build(some: RowStats, of: list[OpenFile]) -> DataSet:
        return dataset_of(some, data, (), of, tokeniser, template)

    def report_first_look(upto: int | None = None) -> None:
        """Report a first look; of packed files before they are unpacked."""
        nonlocal latest
        if on_first_look is None:
            return
        some, their_weights = opened(upto) if upto else (files, weights)
        latest = first_look(some, their_weights, tokeniser, data, build, cancelled=stopped)
        if latest is not None:
            on_first_look(latest)

    on_disk = bytes_on_disk(sources, base, check_cancelled)
    looked = on_disk.packed > PACKED_WORTH_IT
    if looked:
        report_first_look(UNPACKED_AT_FIRST)
    files, weights = opened()
    # To read a file only to know whether it is the same takes a second a gigabyte.
    if not looked and on_disk.total > HASHED_QUICKLY:
        looked = True
        report_first_look()
    key = cache.key_of(files, weights, tokeniser, template, data)
    kept = cache.load(key, tokeniser) if key else None
    if kept is None:
        if not looked and on_disk.total > WORTH_IT:
            report_first_look()
        profiler = Profiler(files, weights, tokeniser, data.train_on, data.answers)
        on_rows = on_progress or (lambda _done, _total: None)
        if latest is not None and on_refined is not None:
            on_rows = refining(latest, profiler.stats, [file.reader.size for file in files], on_refined, on_rows)
        kept = profiler.run(on_rows, stopped)
        if key:
            cache.save(key, kept, tokeniser)
    if kept.bad and not kept.lengths:
        raise nothing_usable(kept.bad[0], refused_remedy(files, kept.bad, data, tokeniser))
    return settle(dataset_of(kept, data, sources, files, tokeniser, template), kept.found, data, tokeniser)


def _cancel_check(cancelled: Callable[[], bool] | None) -> Callable[[], None]:
    """A callback for long work to call now and then: it raises Cancelled once `cancelled` says so."""

    def check() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled

    return check


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
