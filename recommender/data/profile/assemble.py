"""Assembly of a data set and its profile from the row statistics."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from presets.errors import InputError
from recommender.config.schema import Data, Source
from recommender.data.dataset import DataSet
from recommender.data.formats.unused_columns import unread_columns
from recommender.data.open_file import OpenFile
from recommender.data.profile.collect import RowStats
from recommender.data.profile.findings import ending_template, stops, warnings
from recommender.data.profile.profile import DataProfile, SourceFacts
from recommender.data.sources.opening import nothing_usable
from recommender.data.templates.choose import ChatTemplate
from recommender.data.tokens.tokenise import Tokeniser


def dataset_of(
    kept: RowStats,
    data: Data,
    sources: Sequence[Source],
    files: list[OpenFile],
    tokeniser: Tokeniser | None,
    template: ChatTemplate | None,
) -> DataSet:
    """The data set of profiled rows.

    Raises:
        InputError: No row can be used.
    """
    if not kept.lengths:
        raise (
            nothing_usable(kept.bad[0])
            if kept.bad
            else InputError("No row is left of the training data.", remedy="Raise the weights of its sources.")
        )
    used = template if kept.found.chats else None
    profile = _profile_of(kept, data, sources, files, tokeniser, used)
    return DataSet(profile, files, kept.index, tokeniser, used, data.train_on, data.answers)


def _profile_of(
    kept: RowStats,
    data: Data,
    sources: Sequence[Source],
    files: list[OpenFile],
    tokeniser: Tokeniser | None,
    used: ChatTemplate | None,
) -> DataProfile:
    found = kept.found
    turns = tokeniser.turns if tokeniser else None
    shapes = [file.shape for file in files]
    found.nothing_trained = not kept.spans
    return DataProfile(
        files=tuple(file.reader.path for file in files),
        shape=shapes[0].name if len({shape.name for shape in shapes}) == 1 else "mixed",
        shape_reason=_reason(files),
        columns=dict(shapes[0].columns),
        lengths=kept.lengths,
        spans=kept.spans,
        span_start=kept.span_start,
        bad_rows=tuple(kept.bad),
        bad_row_count=found.bad,
        tokenizer="exact" if tokeniser else "bytes",
        template=used.name if used else "none",
        trains_end_of_turn=found.trains_end_of_turn if tokeniser else None,
        answered_rows=found.answered_rows,
        ended_rows=found.ended_rows,
        unended_answers=found.answers - found.ended,
        answers_lost=(found.lost_reasoning + found.lost_text) / max(1, found.given_characters),
        duplicates=found.duplicates,
        empty_answers=found.empty,
        stops=stops(found, data, kept.bad, tokeniser),
        warnings=warnings(found, data, used, tokeniser, files, kept.bad),
        columns_seen=tuple(dict.fromkeys(name for file in files for name in file.shape.seen)),
        unread=unread_columns(files),
        mask_method=" and ".join(sorted(found.methods)),
        end_of_turn=turns.end_of_turn[0] if turns and used and turns.end_of_turn else "",
        ending_template=ending_template(found, tokeniser),
        new_tokens=used.new_tokens if used else (),
        skipped_rows=found.bad if data.skip_bad_rows else 0,
        turns=kept.turns,
        sources=_sources(kept, sources, files),
        unconfirmed=any(file.shape.guessed for file in files),
        digests=kept.index.digest,
    )


def _reason(files: list[OpenFile]) -> str:
    """The reason for the formats taken, file by file where they differ."""
    reasons = dict.fromkeys(
        f"{file.shape.reason}; {file.reader.note}" if file.reader.note else file.shape.reason for file in files
    )
    return " · ".join(reasons)


def _sources(kept: RowStats, sources: Sequence[Source], files: list[OpenFile]) -> tuple[SourceFacts, ...]:
    """The facts of each data set; rows stand in the order of their files."""
    found = []
    for number, source in enumerate(sources):
        own = [place for place, file in enumerate(files) if file.source == number]
        first, last = bisect_left(kept.index.file, own[0]), bisect_right(kept.index.file, own[-1])
        shapes = {files[place].shape.name for place in own}
        found.append(
            SourceFacts(
                name=source.path,
                shape=shapes.pop() if len(shapes) == 1 else "mixed",
                rows=last - first,
                weight=source.weight,
                tokens=sum(kept.lengths[first:last]),
                columns=dict(files[own[0]].shape.columns),
                unconfirmed=any(files[place].shape.guessed for place in own),
                columns_seen=tuple(dict.fromkeys(name for place in own for name in files[place].shape.seen)),
                turns_seen=files[own[0]].shape.turns,
                role_mapping=files[own[0]].shape.role_mapping,
            )
        )
    return tuple(found)
