import pytest

from presets.errors import InputError
from tui.commands.planning import assignments


def test_a_key_may_be_given_twice_only_with_one_value() -> None:
    assert assignments(["lora.r=8", "r=8"]) == {"lora.r": 8}
    with pytest.raises(InputError, match=r"lora\.r twice"):
        assignments(["lora.r=8", "r=16"])
