"""The profile as a document (`lora-wizard data --json`) and as the bars of a histogram."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from recommender.data.profile.profile import DataProfile, NearRows, SourceFacts
from recommender.warning import findings, texts

if TYPE_CHECKING:
    from recommender.data.dataset import Sample


def document(profile: DataProfile, max_length: int, *, split: bool = False) -> dict[str, Any]:
    """The document of `data --json`. Tokens are whole numbers, shares 0 to 1; `trained_share` is of the kept tokens.

    Args:
        profile: The data set.
        max_length: The limit at which cuts, stops and warnings are judged.
        split: Rows are packed and split where they are too long: no warning tells of a cut.
    """
    stops, warnings = profile.stops_at(max_length), profile.warnings_at(max_length, split=split)
    kept, kept_trained = profile.tokens_at(max_length), profile.trained_at(max_length)
    return {
        "files": [str(path) for path in profile.files],
        "shape": profile.shape,
        "shape_reason": profile.shape_reason,
        "columns": profile.columns,
        "columns_seen": list(profile.columns_seen),
        "columns_unread": list(profile.unread),
        "rows": profile.rows,
        "bad_row_count": profile.bad_row_count,
        "bad_rows": [asdict(row) for row in profile.bad_rows],
        "skipped_rows": profile.skipped_rows,
        "tokens": {
            "p50": profile.quantile(0.50),
            "p90": profile.quantile(0.90),
            "p95": profile.quantile(0.95),
            "p99": profile.quantile(0.99),
            "max": profile.longest,
            "mean": round(profile.total_tokens / profile.rows, 1) if profile.rows else 0,
            "total": profile.total_tokens,
        },
        "trained_tokens": profile.trained_tokens,
        "trained_share": profile.trained_share if split else kept_trained / kept if kept else 0.0,
        "max_length": max_length,
        "rows_cut": profile.rows_cut(max_length),
        "rows_cut_share": profile.rows_cut(max_length) / profile.rows if profile.rows else 0.0,
        "tokens_cut_share": 1 - kept / profile.total_tokens if profile.total_tokens else 0.0,
        "trained_cut_share": 1 - kept_trained / profile.trained_tokens if profile.trained_tokens else 0.0,
        "trains_end_of_turn": profile.trains_end_of_turn,
        "end_of_turn": profile.end_of_turn,
        "end_of_turn_rows": profile.ended_rows,
        "answers_lost_share": profile.answers_lost,
        "mask_method": profile.mask_method,
        "duplicates": profile.duplicates,
        "empty_answers": profile.empty_answers,
        "held_out": _held_out(profile),
        "template": profile.template,
        "turns": {"p50": profile.turns_median, "max": profile.turns_most},
        "sources": [_source(source) for source in profile.sources],
        "tokenizer": profile.tokenizer,
        "stops": texts(stops),
        "warnings": texts(warnings),
        "findings": findings(stops, warnings),
    }


def _source(source: SourceFacts) -> dict[str, Any]:
    kept = ("name", "shape", "rows", "weight", "tokens", "columns", "unconfirmed")
    return {key: getattr(source, key) for key in kept}


def _held_out(profile: DataProfile) -> dict[str, int] | None:
    facts = profile.held_out
    if facts is None:
        return None
    return {
        "rows": facts.rows,
        "duplicates": facts.copies,
        "also_trained": facts.also_trained,
        "bad_row_count": facts.bad_row_count,
    }


def near_document(near: NearRows) -> dict[str, int]:
    """The figures that the near-duplicate search adds to `data --json`: numbers of rows."""
    return {
        "near_duplicates": len(near.earlier),
        "near_held_out": near.leaked,
        "near_held_out_duplicates": near.held_out_copies,
        "held_out_rows": near.held_out_rows,
    }


def row_document(sample: Sample) -> dict[str, Any]:
    """One row token by token, as the model will see it."""
    return {
        "number": sample.row + 1,
        "file": sample.file,
        "line": sample.line,
        "tokens": sample.length,
        "trained": sample.trained,
        "trained_cut": sample.trained_cut,
        "findings": list(sample.findings),
        "pieces": [piece._asdict() for piece in sample.pieces],
    }


def histogram(profile: DataProfile, bins: int, *, upto: int | None = None) -> list[int]:
    """Rows by length in `bins` equal steps from 0 to `upto` tokens (the longest row when None).

    A row of length n falls into bin ceil(n × bins / upto) - 1; what is longer than `upto` into the last one.

    Raises:
        ValueError: Less than one bin.
    """
    if bins < 1:
        raise ValueError("a histogram needs at least one bin")
    top = max(1, profile.longest if upto is None else upto)
    counts = [0] * bins
    tally = profile.length_tally
    for position, length in enumerate(tally.values):
        place = min(bins - 1, max(0, -(-length * bins // top) - 1))
        counts[place] += tally.counts[position + 1] - tally.counts[position]
    return counts
