"""Which row `lora-wizard data --row` shows."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from presets.errors import InputError
from recommender.config.schema import FinetuneConfig
from recommender.data.dataset import DataSet
from recommender.data.profile.document import row_document
from tests.unit.data.conftest import Profile
from tui.commands.output.data import MOST, chosen_row, sample_text, show_data

ROWS = [
    {"instruction": "Q", "output": "A"},
    {"instruction": "Q", "output": "long " * 30},
    {"instruction": "Q\x07", "output": "B"},
]


def test_rows_are_chosen_by_number_and_by_what_they_are(profile: Profile) -> None:
    dataset = profile(ROWS)
    assert [chosen_row(dataset, which, 1000) for which in ("1", "3", "longest", "finding")] == [0, 2, 1, 2]
    assert chosen_row(dataset, "random", 1000) in range(3)


@pytest.mark.parametrize("which", ["0", "4", "-1", "last", ""])
def test_a_row_that_is_not_there_is_refused(profile: Profile, which: str) -> None:
    with pytest.raises(InputError, match="no row"):
        chosen_row(profile(ROWS), which, 1000)


def test_packed_text_is_shown_whole_and_its_packing_is_told(profile: Profile) -> None:
    dataset = profile([{"text": f"{i} " + "word " * 90} for i in range(30)])
    data = {"train": ["a"], "packing": True, "max_length": 64}
    said = {
        packing: shown(dataset, FinetuneConfig(model="m", quantization={"bits": 4}, data={**data, "packing": packing}))
        for packing in (True, False)
    }
    assert "split at 64: 30 rows, packed in parts: nothing is cut" in said[True]
    # TRL joins what it packs without padding; what a sequence does not hold is only not used.
    assert "packed (batch 1 × 16): padding 0 % → 0 %, sequences 9" in said[True] and "bfd_split" in said[True]
    assert "the limit cuts" not in said[True] and "of the trained tokens" not in said[True]
    assert "cut at 64: 30 rows (100 %)" in said[False] and "if packed" in said[False]
    assert "this row: the limit cuts" in said[False] and "found by" not in said[False]


def test_one_duplicate_is_one_and_a_search_that_finds_nothing_says_so(profile: Profile) -> None:
    dataset = profile([*ROWS, ROWS[0]])
    console = Console(record=True, width=500, file=None)
    with console.capture() as captured:
        show_data(dataset, 1000, 0, console, near=True)
    said = captured.get().splitlines()
    assert "! 1 exact duplicate" in said and "✓ no near-identical rows" in said


def test_control_characters_of_a_row_are_seen_and_do_nothing_to_the_terminal(profile: Profile) -> None:
    dataset = profile([{"instruction": "a\x1b[31mb\r\nc\x00\x9b\u202e", "output": "\x1b]0;title\x07\td"}])
    console = Console(record=True, width=500, file=None)
    with console.capture() as captured:
        show_data(dataset, 1000, 0, console)
    said = captured.get()
    assert "a␛[31mb␍\nc␀\\x9b<|im_end|>" in said and "␛]0;title␇    d<|im_end|>" in said
    assert not set(said) & {"\x1b", "\x00", "\r", "\x07", "\x9b", "\u202e"}


def shown(dataset: DataSet, config: FinetuneConfig) -> str:
    console = Console(record=True, width=500, file=None)
    with console.capture() as captured:
        show_data(dataset, config.data.max_length, 0, console, config=config)
    return captured.get()


def test_a_row_is_shown_with_its_findings_and_ids(profile: Profile) -> None:
    dataset = profile(ROWS)
    console = Console(record=True, width=500, file=None)
    with console.capture() as shown:
        show_data(dataset, 1000, 2, console, ids=True)
    assert "this row: it holds control characters" in shown.get()
    assert " ".join(map(str, dataset.tokenised(2).ids)) in shown.get()


def test_without_styles_signs_say_what_is_trained_and_what_is_cut(profile: Profile) -> None:
    dataset = profile(ROWS)
    assert sample_text(dataset.sample(0, 1000), marks=True).plain == (
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n▓A<|im_end|>▓\n"
    )
    length = len(dataset.tokenised(1).ids)
    cut = sample_text(dataset.sample(1, length - 10), marks=True).plain
    assert cut.count("▓") == 2 and cut.index("✂") == cut.rindex("▓") + 1
    assert cut.replace("▓", "").replace("✂", "") == dataset.sample(1, 1000).text
    plain, styled = io.StringIO(), io.StringIO()
    show_data(dataset, 1000, 0, Console(file=plain, width=500))
    assert "between ▓: what the loss sees" in plain.getvalue()
    show_data(dataset, 1000, 0, Console(file=styled, width=500, force_terminal=True, color_system="standard"))
    assert "reversed: what the loss sees" in styled.getvalue()
    assert "▓" not in styled.getvalue()


def test_a_long_row_that_nobody_asked_for_is_shown_where_it_tells_something(profile: Profile) -> None:
    dataset = profile([{"instruction": "Q", "output": "word " * 2 * MOST}])
    short, whole = io.StringIO(), io.StringIO()
    show_data(dataset, 10**6, 0, Console(file=short, width=500), whole=False)
    show_data(dataset, 10**6, 0, Console(file=whole, width=500))
    assert "tokens that are not drawn" in short.getvalue()
    assert short.getvalue().rstrip().endswith("(the whole row: --row 1)")
    assert dataset.sample(0, 10**6).text in whole.getvalue().replace("▓", "")


def test_the_row_is_a_document_too(profile: Profile) -> None:
    dataset = profile(ROWS)
    length = len(dataset.tokenised(1).ids)
    row = row_document(dataset.sample(1, length - 3))
    assert (row["number"], row["tokens"]) == (2, length)
    assert [piece["token_id"] for piece in row["pieces"]] == list(dataset.tokenised(1).ids)
    assert [piece["cut"] for piece in row["pieces"]].count(True) == 3
    assert sum(piece["trained"] and not piece["cut"] for piece in row["pieces"]) == row["trained"]
