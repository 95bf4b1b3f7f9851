"""The processes of a run on the dashboard: read from the ends of their records, drawn in one row, the slowest named."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.history import ranks
from trainer.history.ranks import RankNow, RankReader, lagging
from trainer.history.reader import RunReader
from trainer.history.tail import last_lines
from trainer.run.folder import RunFolder, append_event
from trainer.run.ranks import clear, of_rank
from trainer.run.state import RunState, write_state
from tui.dashboard.now import _ranks


def record(folder: RunFolder, seconds: dict[int, list[float]]) -> None:
    """Write a step event of each rank for each of its times."""
    clear(folder, len(seconds))
    for rank, times in seconds.items():
        for step, taken in enumerate(times, 1):
            event = {"step": step, "loss": 1.0, "forward_seconds": taken, "memory_bytes": 1000 * (rank + 1)}
            append_event(of_rank(folder, rank), "step", **event)


def test_each_rank_is_read_from_the_end_of_its_record(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    record(folder, {0: [0.1, 0.2, 0.3], 1: [0.4, 0.4, 0.8]})
    assert RankReader(folder).poll(2) == (RankNow(0, 0.2, 1000), RankNow(1, 0.4, 2000))


def test_a_record_is_read_anew_only_once_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = RunFolder(tmp_path), []
    record(folder, {rank: [0.1] for rank in range(64)})

    def lines(path: Path, count: int) -> tuple[str, ...]:
        read.append(path)
        return last_lines(path, count)

    monkeypatch.setattr(ranks, "last_lines", lines)
    reader = RankReader(folder)
    assert len(reader.poll(64)) == 64 and len(read) == 64
    reader.poll(64)
    assert len(read) == 64
    append_event(of_rank(folder, 7), "step", step=2, forward_seconds=0.3)
    assert reader.poll(64)[7].forward_seconds == pytest.approx(0.2)
    assert len(read) == 65


@pytest.mark.parametrize("size", [None, 1])
def test_a_run_of_one_process_has_none(tmp_path: Path, size: int | None) -> None:
    folder = RunFolder(tmp_path)
    record(folder, {0: [0.1]})
    assert RankReader(folder).poll(size) == ()


def test_the_slowest_is_named_with_its_distance_from_the_middle_of_the_others() -> None:
    known = tuple(RankNow(rank, seconds, None) for rank, seconds in enumerate((0.1, 0.1, 0.2, 0.1)))
    found = lagging(known)
    assert found is not None and found[0].rank == 2 and found[1] == pytest.approx(2.0)
    assert lagging(known[:1]) is None
    assert lagging((RankNow(0, None, None), RankNow(1, 0.1, None))) is None


def row_text(tmp_path: Path, seconds: dict[int, list[float]]) -> str:
    folder = RunFolder(tmp_path)
    record(folder, seconds)
    write_state(folder, RunState(status="training", world_size=len(seconds), strategy="ddp"))
    row = _ranks(RunReader(tmp_path).poll())
    return "" if row is None else "".join(text for text, _ in row.parts)


def test_the_row_has_a_bar_for_each_process_and_says_which_one_lags(tmp_path: Path) -> None:
    said = row_text(tmp_path, {0: [0.1], 1: [0.1], 2: [0.1], 3: [0.2]})
    assert "4 ddp  ▄▄▄█" in said
    assert "3 is slowest: 2.0 × the others" in said


def test_equal_processes_are_drawn_without_a_word(tmp_path: Path) -> None:
    said = row_text(tmp_path, {0: [0.1], 1: [0.104]})
    assert "2 ddp" in said and "slowest" not in said


def test_a_run_of_one_has_no_row(tmp_path: Path) -> None:
    assert row_text(tmp_path, {0: [0.1]}) == ""
