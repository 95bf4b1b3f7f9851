"""The reader of a stage's rows: what it says of sequences and columns is what is measured, shown and handed over."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from recommender.config.schema import Data
from recommender.data import stages
from recommender.data.formats.examples import Chat, Example, Message
from recommender.data.load import profile_data
from recommender.data.stages.base import TrainingRow
from recommender.data.stages.sft import SupervisedRows
from recommender.data.tokens.tokenise import Measured, TokenisedRow
from recommender.model.spec import ModelSpec
from recommender.stages.sft import SFT

ROOT = Path(__file__).parents[3]
PAIRS = replace(SFT, name="pairs")
ROWS = [{"instruction": f"Say {number}.", "output": "one two three " * number} for number in (1, 2, 30)]


class Compared(SupervisedRows):
    """Each answer beside a worse one: two sequences a row, as long as the longer one."""

    stage = PAIRS

    def sides(self, example: Example) -> Sequence[Example]:
        assert isinstance(example, Chat)
        return example, Chat((*example.messages[:-1], Message("assistant", "no")))

    def measured(self, sides: Sequence[Measured]) -> Measured:
        return max(sides, key=lambda side: side.length)

    def training_row(self, sides: Sequence[TokenisedRow], max_length: int) -> TrainingRow:
        chosen, rejected = (side.ids[:max_length].tolist() for side in sides)
        return TrainingRow({"chosen": chosen, "rejected": rejected}, len(chosen) + len(rejected), len(chosen))


@pytest.fixture
def data(tmp_path: Path) -> Data:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return Data(train=[str(path)])


@pytest.mark.parametrize("tokenizer", [True, False])
def test_a_row_of_two_sequences_is_measured_shown_and_handed_over_as_both(
    data: Data, chatml: ModelSpec, monkeypatch: pytest.MonkeyPatch, tokenizer: bool
) -> None:
    model = chatml if tokenizer else None
    one = profile_data(data, model=model)
    monkeypatch.setitem(stages.STAGES, "pairs", Compared())
    two = profile_data(data, model=model, stage=PAIRS)
    assert list(two.profile.lengths) == list(one.profile.lengths)
    assert two.sample(2, 1000).text.startswith(one.sample(2, 1000).text)
    assert two.sample(2, 1000).text.rstrip("\n").endswith(("no<|im_end|>", "no"))
    if tokenizer:
        rows = two.training_rows(range(3), 20)
        first, *_, last = list(rows)
        assert list(first) == ["chosen", "rejected"]
        assert len(last["chosen"]) == 20 == len(next(iter(one.training_rows([2], 20)))["input_ids"])
        assert rows.tokens == sum(len(row[side]) for row in rows for side in row)
        assert (rows.cut, rows.left_out) == (two.profile.rows_cut(20), 0)


def test_the_kept_profile_of_a_stage_is_not_taken_for_another(
    data: Data, chatml: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = profile_data(data, model=chatml).profile.lengths

    class Shorter(Compared):
        def measured(self, sides: Sequence[Measured]) -> Measured:
            return min(sides, key=lambda side: side.length)

    monkeypatch.setitem(stages.STAGES, "pairs", Shorter())
    shorter = profile_data(data, model=chatml, stage=PAIRS).profile.lengths
    assert max(shorter) < max(kept)


def test_whoever_reads_rows_says_of_which_stage() -> None:
    """`stage` has a default for callers of the library; the program's own never rely on it."""
    silent = []
    for room in ("recommender", "trainer", "tui"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {
                    "profile_data",
                    "profile_eval",
                    "first_row",
                }:
                    silent += [] if any(word.arg == "stage" for word in node.keywords) else [str(path)]
    assert silent == []
