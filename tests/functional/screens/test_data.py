import json
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.functional.screens.made import LLAMA, MadeServices
from tests.functional.screens.seen import NARROW, WIDE, Seen, wizard
from tui.widgets.rows import Rows
from tui.widgets.top_bar import Step


def opened(path: str) -> dict[str, object]:
    return {"model_name": LLAMA, "data": {"train": [path]}}


async def until_profiled(seen: Seen) -> None:
    await seen.until(lambda: seen.app.state.dataset is not None)
    await seen.sees("rows", "sample 1 of")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_it_answers_whether_the_file_was_understood(
    services: MadeServices, rows: str, size: tuple[int, int]
) -> None:
    async with wizard(services, start=Step.DATA, state=opened(rows), size=size) as seen:
        await until_profiled(seen)
        text = seen.text
        shape = seen.line("alpaca (")
        assert "60 rows" in shape and "instruction" in shape and "output" in shape
        profile = seen.app.state.dataset.profile if seen.app.state.dataset else None
        assert profile is not None
        assert f"p50 {profile.quantile(0.5)} · p90 {profile.quantile(0.9)}" in text
        assert "estimated from the text" in " ".join(text.split())
        assert "Name 0 things." in text
        assert "max_length 1 024" in text


async def test_what_the_limit_cuts_changes_at_once(services: MadeServices, rows: str) -> None:
    async with wizard(services, start=Step.DATA, state=opened(rows)) as seen:
        await until_profiled(seen)
        assert "cut at 1 024: nothing" in seen.text
        await seen.press("minus", "minus", "minus")
        profile = seen.app.state.dataset.profile if seen.app.state.dataset else None
        assert profile is not None
        await seen.sees(f"cut at 384: {profile.rows_cut(384)} rows")
        await seen.press("plus")
        await seen.sees(f"cut at 512: {profile.rows_cut(512)} rows")
        await seen.press("e", *["backspace"] * 4, *"nine", "enter")
        await seen.sees("'nine' is not a whole number")
        await seen.press(*["backspace"] * 4, *"100", "enter")
        await seen.sees(f"cut at 100: {profile.rows_cut(100)} rows")


async def test_rows_are_seen_as_the_model_sees_them(services: MadeServices, rows: str) -> None:
    async with wizard(services, start=Step.DATA, state=opened(rows)) as seen:
        await until_profiled(seen)
        await seen.press("right_square_bracket")
        await seen.sees("sample 2 of 60, line 2", "Name 1 things.")
        await seen.press("left_square_bracket", "left_square_bracket")
        await seen.sees("sample 60 of 60, line 60")
        await seen.press("right_square_bracket", "L")
        await seen.sees("sample 60 of 60")
        await seen.press("minus", "minus", "minus")
        await seen.sees("struck: cut (")


async def test_a_path_can_be_typed_and_an_error_says_what_to_do(
    services: MadeServices, rows: str, tmp_path: Path
) -> None:
    async with wizard(services, start=Step.DATA, state={"model_name": LLAMA}) as seen:
        await seen.sees("no data yet")
        await seen.fill("#path", str(tmp_path / "nothing.jsonl"))
        await seen.sees("this did not work", "nothing.jsonl")
        await seen.fill("#path", rows)
        await until_profiled(seen)
        await seen.loses("this did not work")


async def test_the_path_completes(services: MadeServices, rows: str) -> None:
    async with wizard(services, start=Step.DATA, state={"model_name": LLAMA}) as seen:
        await seen.sees("no data yet")
        seen.app.screen.query_one("#path", Input).value = rows[:-9]
        await seen.press("end", *rows[-9:-7])
        await seen.sees("train.jsonl")
        await seen.press("right", "enter")
        await until_profiled(seen)


async def test_bad_rows_are_listed_and_left_out_only_on_demand(services: MadeServices, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    good = '{"instruction": "a question", "output": "an answer"}\n'
    path.write_text(good * 3 + '{"instruction": "no answer"}\n' + good, encoding="utf-8")
    async with wizard(services, start=Step.DATA, state=opened(str(path))) as seen:
        await until_profiled(seen)
        await seen.sees("✗", "b lists them")
        await seen.press("b")
        await seen.sees("bad.jsonl:4", "leave 1 bad row out")
        await seen.press("enter")
        await seen.sees("1 bad row, left out")
        assert seen.app.state.data["skip_bad_rows"] is True


async def test_columns_can_be_named_by_hand(services: MadeServices, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text('{"output": "an answer", "instruction": "asked", "other": "text"}\n' * 20, encoding="utf-8")
    async with wizard(services, start=Step.DATA, state=opened(str(path))) as seen:
        await until_profiled(seen)
        await seen.press("f")
        await seen.sees("recognised by its columns")
        await seen.press("end", "enter")
        await seen.sees("text: enter changes a line", "an answer")
        await seen.press("down", "enter")
        await seen.sees("which column is 'text'")
        await seen.press("end", "enter")
        await seen.sees("text: enter changes a line")
        await seen.press("home", "enter")
        await seen.sees("text (text=other)")


async def test_text_of_others_is_shown_and_not_obeyed(services: MadeServices, tmp_path: Path) -> None:
    path = tmp_path / "odd[x].jsonl"
    line = '{"instruction": "[bold]hi[/bold] \\u001b[31mred", "output": "[@click=app.quit]x[/]"}\n'
    path.write_text(line * 5, encoding="utf-8")
    async with wizard(services, start=Step.DATA, state=opened(str(path))) as seen:
        await until_profiled(seen)
        await seen.sees("[bold]hi[/bold] ␛[31mred", "[@click=app.quit]x[/]", "odd[x].jsonl")
        assert "\x1b" not in seen.text


async def test_without_colour_what_is_trained_stands_between_marks(
    services: MadeServices, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with wizard(services, start=Step.DATA, state=opened(rows)) as seen:
        await until_profiled(seen)
        await seen.sees("▓word word")


async def test_the_next_row_with_a_finding_is_shown(services: MadeServices, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    lines = [{"instruction": f"Ask {i}", "output": "nan" if i in {7, 30} else f"Say {i}"} for i in range(40)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    async with wizard(services, start=Step.DATA, state=opened(str(path))) as seen:
        await until_profiled(seen)
        await seen.press("x")
        await seen.sees("sample 8 of 40", "nothing but 'nan'")
        await seen.press("x")
        await seen.sees("sample 31 of 40")
        await seen.press("X")
        await seen.sees("sample 8 of 40")


async def test_the_summary_takes_the_colours_of_a_new_theme(services: MadeServices, rows: str) -> None:
    async with wizard(services, start=Step.DATA, state=opened(rows)) as seen:
        await until_profiled(seen)
        summary = seen.app.screen.query_one("#profile-rows", Rows)

        def colours() -> set[str]:
            strips = [summary.render_line(y) for y in range(6)]
            return {str(part.style.color) for strip in strips for part in strip if part.text.strip() and part.style}

        dark = colours()
        seen.app.theme = "light"
        await seen.until(lambda: not dark & colours())
