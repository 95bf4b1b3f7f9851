"""Names and texts that others chose cannot alter the screen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.dashboard.made import MadeRun
from tests.functional.dashboard.seen import Seen, opened

EVIL = "[bold red]evil[/] \x1b[2J\x1b]0;title\x07\u202e[@click=app.quit]x[/]"
NAME = "20261121-[red]evil\x1b[31m"
Make = Callable[..., MadeRun]


@pytest.fixture
def hostile(tmp_path: Path) -> MadeRun:
    made = MadeRun(tmp_path / NAME)
    made.folder.config.write_text("model: '[reverse]m'\ndata: {train: ['[blink]d[/].jsonl']}\n")
    made.begin()
    made.train(120)
    made.say("start", 0, model=EVIL, method=EVIL, device=EVIL, total_steps=400, resumed_from=120)
    made.say("warning", 0, message=EVIL, remedy=EVIL)
    made.say("sample", 0, step=100, when="during", prompt=EVIL, answer=EVIL, expected=EVIL)
    made.log(EVIL)
    return made


def plain(seen: Seen) -> str:
    """The screen, once it is sure that nothing on it is a control or a direction mark."""
    text = seen.text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    return text


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_on_the_dashboard(hostile: MadeRun, size: tuple[int, int]) -> None:
    async with opened(hostile, size) as seen:
        await seen.sees("[red]evil" if size[0] == 80 else "[bold red]evil")
        for _ in range(5):
            assert "evil" in plain(seen)
            await seen.press("l")
        await seen.press("slash", *"[bold", "enter")
        await seen.settled()
        plain(seen)


async def test_at_the_end(hostile: MadeRun) -> None:
    hostile.fail(EVIL, remedy=EVIL)
    async with opened(hostile) as seen:
        await seen.sees("failed", "[bold red]evil[/]")
        plain(seen)
        await seen.press("ctrl+p")
        await seen.sees("Search for commands")
        plain(seen)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_in_the_list_of_runs(hostile: MadeRun, size: tuple[int, int]) -> None:
    async with opened(None, size, runs=hostile.path.parent) as seen:
        await seen.sees("[red]evil", "[reverse]m")
        plain(seen)
