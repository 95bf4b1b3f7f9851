from __future__ import annotations

from array import array
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.profile.document import document, histogram
from recommender.data.profile.profile import DataProfile
from recommender.data.profile.tally import Runs, Tally, WholeRows

ROWS = st.lists(
    st.lists(st.integers(0, 60), min_size=0, max_size=6).map(sorted).map(lambda ends: ends[: len(ends) // 2 * 2]),
    min_size=1,
    max_size=30,
)


def profile_of(rows: list[list[int]], extra: int = 5) -> DataProfile:
    lengths, spans, starts = array("I"), array("I"), array("Q", [0])
    for row in rows:
        lengths.append((row[-1] if row else 0) + extra)
        spans.extend(row)
        starts.append(len(spans) // 2)
    return DataProfile(
        files=(), shape="text", shape_reason="", columns={}, lengths=lengths, spans=spans, span_start=starts
    )


def trained_positions(row: list[int], limit: int) -> int:
    return sum(start <= place < end for start, end in zip(row[0::2], row[1::2], strict=True) for place in range(limit))


@given(ROWS, st.integers(0, 70))
def test_what_a_limit_leaves_is_what_counting_token_by_token_gives(rows: list[list[int]], limit: int) -> None:
    profile = profile_of(rows)
    assert profile.tokens_at(limit) == sum(min(length, limit) for length in profile.lengths)
    assert profile.rows_cut(limit) == sum(length > limit for length in profile.lengths)
    assert profile.trained_at(limit) == sum(trained_positions(row, limit) for row in rows)
    assert profile.trained_tokens == sum(trained_positions(row, 100) for row in rows)
    assert profile.total_tokens == sum(profile.lengths)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=200), st.sampled_from([0, 0.01, 0.5, 0.9, 0.95, 0.99, 1]))
def test_a_quantile_is_the_nearest_rank(lengths: list[int], q: float) -> None:
    profile = profile_of([[] for _ in lengths])
    profile = DataProfile(**{**vars(profile), "lengths": lengths})
    from fractions import Fraction

    rank = max(1, ceil(Fraction(str(q)) * len(lengths)))
    assert profile.quantile(q) == sorted(lengths)[rank - 1]


def test_a_quantile_covers_its_share_of_rows_and_no_more() -> None:
    profile = DataProfile(**{**vars(profile_of([[]])), "lengths": list(range(1, 101))})
    assert [profile.quantile(q) for q in (0.5, 0.9, 0.95, 0.99, 1.0)] == [50, 90, 95, 99, 100]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=12))
def test_runs_are_the_sequence_they_stand_for(runs: list[tuple[int, int]]) -> None:
    plain = [value for value, count in runs for _ in range(count)]
    short = Runs([value for value, _ in runs], [count for _, count in runs])
    assert list(short) == plain
    assert len(short) == len(plain)
    assert [short[i] for i in range(-len(plain), len(plain))] == plain + plain
    assert short[1:4] == plain[1:4]
    assert Tally.of(short) == Tally.of(plain)
    assert list(WholeRows(short)) == [part for value in plain for part in (0, value)]
    with pytest.raises(IndexError):
        short[len(plain)]


def test_no_rows_are_no_tokens() -> None:
    profile = DataProfile(files=(), shape="text", shape_reason="", columns={}, lengths=[], spans=[], span_start=[0])
    assert (profile.total_tokens, profile.longest, profile.quantile(0.5), profile.trained_share) == (0, 0, 0, 0.0)
    assert document(profile, 100)["tokens"]["total"] == 0


def test_every_row_cut_before_its_answer_is_a_stop_only_at_that_limit() -> None:
    profile = profile_of([[20, 30], [25, 40]])
    assert profile.stops == ()
    assert profile.stops_at(20)[0].code == "every_answer_cut"
    assert profile.stops_at(21) == ()


def test_a_cut_of_more_than_one_percent_of_the_trained_tokens_is_a_warning_with_the_length_that_helps() -> None:
    profile = profile_of([[0, 10]] * 99 + [[0, 50]], extra=0)
    assert profile.warnings_at(50) == ()
    assert profile.warnings_at(49) == ()
    (warning,) = profile.warnings_at(20)
    assert "2.9 % of the trained tokens (rows cut: 1)" in warning.text


def test_a_histogram_counts_every_row_once() -> None:
    profile = DataProfile(**{**vars(profile_of([[]])), "lengths": [1, 10, 11, 20, 20, 100]})
    assert histogram(profile, 10) == [2, 3, 0, 0, 0, 0, 0, 0, 0, 1]
    assert histogram(profile, 2, upto=20) == [2, 4]
    with pytest.raises(ValueError, match="one bin"):
        histogram(profile, 0)


def test_the_document_adds_up() -> None:
    profile = profile_of([[5, 10], [5, 20]])
    found = document(profile, 12)
    assert found["tokens"] == {"p50": 15, "p90": 25, "p95": 25, "p99": 25, "max": 25, "mean": 20.0, "total": 40}
    assert (found["rows_cut"], found["trained_tokens"], found["trained_share"]) == (2, 20, 0.5)
    assert found["tokens_cut_share"] == pytest.approx(1 - 24 / 40)
    assert found["trained_cut_share"] == pytest.approx(1 - 12 / 20)
