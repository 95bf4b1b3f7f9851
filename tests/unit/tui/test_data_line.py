"""What is said on stderr while `lora-wizard data` reads."""

from __future__ import annotations

import io

from tui.commands.output.progress import DataLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_terminal_one_line_is_rewritten_and_taken_away() -> None:
    now = [0.0]
    stream = Terminal()
    with DataLine(stream, lambda: now[0]) as line:
        line.fetched("", 0, 0)
        line.fetched("a.parquet", 0, 3 * 2**20)
        line.fetched("a.parquet", 2**20, 3 * 2**20)
        now[0] = 1.0
        line.fetched("a.parquet", 2 * 2**20, 3 * 2**20)
        now[0] = 2.0
        line.read(1200, 50_000)
        now[0] = 3.0
        line.compared(256, 1200)
    assert stream.getvalue().split("\r\x1b[K") == [
        "",
        "fetching a.parquet  0 GiB of 3 MiB",
        "fetching a.parquet  2 MiB of 3 MiB",
        "1 200 of about 50 000 rows",
        "looking for near-duplicates: 256 of 1 200 rows",
        "",
    ]


def test_elsewhere_only_files_are_named() -> None:
    stream = io.StringIO()
    with DataLine(stream) as line:
        line.fetched("a.parquet", 0, 10)
        line.fetched("a.parquet", 5, 10)
        line.fetched("b.parquet", 7, 10)
        line.read(1, 2)
    assert stream.getvalue() == "fetching a.parquet\nfetching b.parquet\n"
