"""The command line before Typer sees it: options that hold everywhere, and the wizard as the default."""

import pytest

from presets.errors import InputError
from tui.cli import hoist, with_command
from tui.commands.names import WIZARD

COMMANDS = ("probe", "train", WIZARD)


@pytest.mark.parametrize(
    ("line", "front", "rest"),
    [
        (["probe", "--json", "--runs", "/r"], ["--runs", "/r"], ["probe", "--json"]),
        (["probe", "--runs=/r", "-v"], ["--runs=/r", "-v"], ["probe"]),
        (["--no-unicode", "train", "c.yaml"], ["--no-unicode"], ["train", "c.yaml"]),
        (["train", "--", "--runs", "x"], [], ["train", "--", "--runs", "x"]),
        (["probe", "--theme"], ["--theme"], ["probe"]),
        ([], [], []),
    ],
)
def test_options_that_hold_everywhere_move_to_the_front(line: list[str], front: list[str], rest: list[str]) -> None:
    assert hoist(line) == (front, rest)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ([], [WIZARD]),
        (["my-model"], [WIZARD, "my-model"]),
        (["./probe"], [WIZARD, "./probe"]),
        (["probe"], ["probe"]),
        (["probe", "--json"], ["probe", "--json"]),
        (["--help"], ["--help"]),
        (["-h"], ["-h"]),
        (["my-model", "--help"], [WIZARD, "my-model", "--help"]),
    ],
)
def test_a_commands_name_wins_and_everything_else_is_the_wizard(rest: list[str], expected: list[str]) -> None:
    assert with_command(rest, COMMANDS) == expected


def test_a_misspelt_command_is_named() -> None:
    from tui.commands.wizard import refuse_misspelt_command

    with pytest.raises(InputError, match="recomend") as caught:
        refuse_misspelt_command("recomend", ("recommend", "probe"))
    assert "recommend" in caught.value.remedy
    refuse_misspelt_command("SmolLM2-135M", ("recommend", "probe"))
