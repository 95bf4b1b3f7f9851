"""The Data screen where data is large, several, guessed, refused, repeated, or ends its answers with nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest
from textual.widgets import Input

from recommender.config.schema import Data, FinetuneConfig
from recommender.data import load
from recommender.data.dataset import DataSet
from recommender.data.profile import cache, first_look, refine
from recommender.model.spec import ModelSpec
from recommender.stages import Stage
from recommender.units import gib
from tests.fixtures.fake_datasets import fake_datasets
from tests.fixtures.vocabularies import spec_for, write_vocabulary
from tests.functional.screens.made import LLAMA, MadeServices
from tests.functional.screens.seen import NARROW, WIDE, wizard
from tests.functional.screens.test_data import opened, until_profiled
from tests.unit.data.sources.test_hub import parquet
from tests.unit.data.test_near import sentence
from tui.screens.data.sources import source_rows
from tui.screens.data.text import summary
from tui.widgets.top_bar import Step

ENDLESS = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.fixture(autouse=True)
def own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_folder", lambda: tmp_path / "kept")


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def answers(count: int) -> list[dict[str, Any]]:
    return [{"instruction": f"Ask {i}", "output": f"Say {i} " * (1 + i % 7)} for i in range(count)]


@dataclass(frozen=True)
class Tokenised(MadeServices):
    """With a model whose tokenizer is here, and with a hand on how far the reading comes."""

    spec: ModelSpec | None = None
    go_on: Event = field(default_factory=Event)

    def read_model(self, name: str) -> ModelSpec:
        return replace(self.spec, access="") if self.spec else super().read_model(name)

    def profile(
        self,
        data: Mapping[str, Any],
        model: ModelSpec | None,
        stage: Stage,
        told: Any,
        stopped: Any,
        first: Any,
        fetched: Any,
    ) -> DataSet:
        def looked(look: Any) -> None:
            first(look)
            self.go_on.wait(20)

        return super().profile(data, model, stage, told, stopped, looked, fetched)


@pytest.fixture
def tokenised(tmp_path: Path) -> Iterator[Tokenised]:
    made = Tokenised(tmp_path / "runs", spec=spec_for(write_vocabulary(tmp_path / "model", stops=[2])))
    yield made
    made.go_on.set()


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_an_estimate_is_there_first_and_the_exact_figures_replace_it(
    tokenised: Tokenised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(load, "WORTH_IT", 1000)
    monkeypatch.setattr(first_look, "WANTED", 100)
    path = jsonl(tmp_path / "large.jsonl", answers(600))
    async with wizard(tokenised, start=Step.DATA, state=opened(path), size=size) as seen:
        await seen.sees("reading the rows", "estimate from", "drawn from everywhere", "rows (", "sample 1 of")
        assert "p99" in seen.text and "exact duplicates" not in seen.text
        before = seen.text
        await seen.press("right_square_bracket")
        await seen.sees("sample 2 of")
        assert seen.text != before
        tokenised.go_on.set()
        await seen.until(lambda: seen.app.state.dataset is not None)
        await seen.sees("600 rows", "sample 2 of 600")
        assert "estimate from" not in seen.text


async def test_the_estimate_is_refined_while_rows_are_read(
    services: MadeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "WORTH_IT", 1000)
    monkeypatch.setattr(first_look, "WANTED", 100)
    monkeypatch.setattr(refine, "EVERY_SECONDS", 0.0)
    go_on, began = Event(), refine.Refiner.progress

    def held(self: refine.Refiner) -> None:
        began(self)
        if len(self._stats.lengths) >= 512:
            go_on.wait(20)

    monkeypatch.setattr(refine.Refiner, "progress", held)
    path = jsonl(tmp_path / "large.jsonl", [*answers(600), *answers(400)])
    async with wizard(services, start=Step.DATA, state=opened(path)) as seen:
        await seen.sees("rows read exactly, the rest from", "cut at", "p99")
        go_on.set()
        await until_profiled(seen)
        await seen.sees("1 000 rows", "400 exact duplicates")
        assert "read exactly" not in seen.text


async def test_several_data_sets_have_a_line_and_a_weight_each(services: MadeServices, tmp_path: Path) -> None:
    paths = [jsonl(tmp_path / f"{name}.jsonl", answers(30)) for name in ("one", "two")]
    async with wizard(services, start=Step.DATA, state={"model_name": LLAMA, "data": {"train": paths}}) as seen:
        await until_profiled(seen)
        assert "×1" in seen.line("one.jsonl  ") and "30 rows" in seen.line("two.jsonl  ")
        await seen.press("W", "down", "enter")
        await seen.sees("weight of two.jsonl")
        await seen.press(*["backspace"] * 3, *"much", "enter")
        await seen.sees("'much' is not a number")
        await seen.press(*["backspace"] * 4, "3", "enter")
        await seen.sees("90 rows", "×3", "120 rows")
        assert seen.app.state.data["train"] == [paths[0], {"path": paths[1], "weight": 3.0}]
        await seen.press("W", "enter")
        await seen.sees("weight of one.jsonl")
        await seen.press(*["backspace"] * 3, "0", "enter")
        await seen.loses("×3")
        assert seen.app.state.data["train"] == [{"path": paths[1], "weight": 3.0}]


async def test_columns_that_are_guessed_are_confirmed_with_a_key(services: MadeServices, tmp_path: Path) -> None:
    rows = [{"question": f"Ask {i}", "context": "Here", "response": f"Say {i}"} for i in range(40)]
    async with wizard(services, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", rows))) as seen:
        await until_profiled(seen)
        await seen.sees("C confirms the columns", "'question' was taken for the question")
        await seen.press("C")
        await seen.loses("C confirms")
        (source,) = seen.app.state.data["train"]
        assert source["columns"] == {"instruction": "question", "input": "context", "output": "response"}


async def test_what_is_asked_about_the_rows_shows_the_first_row_under_each_answer(
    services: MadeServices, tmp_path: Path
) -> None:
    rows = [
        {"prompt": f"Ask {i}", "response_a": f"Left {i}", "response_b": f"Right {i}", "winner": "b"} for i in range(30)
    ]
    async with wizard(services, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", rows))) as seen:
        await seen.sees("compares answers", "Train the side that 'winner' names", "Right 0")
        await seen.press("down")
        await seen.sees("Left 0")
        await seen.press("escape")
        await seen.sees("a question", "a answers the question")
        assert seen.app.state.dataset is None and not seen.app.state.working
        await seen.press("a")
        await seen.sees("which is it?", "Right 0")
        await seen.press("enter")
        await until_profiled(seen)
        await seen.sees("preference (prompt, chosen=response_a", "30 rows", "Right 0")
        assert not seen.app.state.errors


async def test_what_is_asked_about_held_out_rows_is_answered_for_them_alone(
    services: MadeServices, tmp_path: Path
) -> None:
    held = jsonl(
        tmp_path / "held.jsonl", [{"prompt": f"Ask {i}", "chosen": f"Good {i}", "rejected": "x"} for i in (0, 1)]
    )
    state = opened(jsonl(tmp_path / "a.jsonl", answers(30)))
    state = {**state, "data": {**state["data"], "eval": [held]}}  # type: ignore[dict-item]  # a state's values are of many types
    async with wizard(services, start=Step.DATA, state=state) as seen:
        await seen.sees("held-out data (data.eval)", "Train 'chosen' alone", "Good 0")
        await seen.press("enter")
        await until_profiled(seen)
        await seen.sees("30 rows", "held out: 2 rows")
        assert "format" not in seen.app.state.data and "columns" not in seen.app.state.data
        assert seen.app.state.data["eval"][0]["format"] == "preference"
        assert not seen.app.state.errors


async def test_an_end_of_turn_that_is_not_trained_has_a_fix(tmp_path: Path) -> None:
    spec = spec_for(write_vocabulary(tmp_path / "model", template=ENDLESS, stops=[0]))
    made = Tokenised(tmp_path / "runs", spec=spec)
    async with wizard(made, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", answers(30)))) as seen:
        await until_profiled(seen)
        await seen.sees("✗ The end-of-turn token is never", "F uses the template chatml")
        await seen.press("F")
        await seen.sees("✓ the end-of-turn token is trained (<|im_end|>)", "template: chatml")
        assert seen.app.state.data["template"] == "chatml"


async def test_embeddings_of_tokens_that_may_be_new_are_offered(tmp_path: Path) -> None:
    folder = write_vocabulary(tmp_path / "model", template=None, stops=[2])
    catalogued = MadeServices(tmp_path / "runs").catalogue_spec(LLAMA)
    made = Tokenised(tmp_path / "runs", spec=replace(catalogued, path=folder))
    modules = ["embed_tokens", "lm_head"]
    async with wizard(made, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", answers(30)))) as seen:
        await until_profiled(seen)
        await seen.sees("? M trains embed_tokens", "A base model may")
        await seen.press("M")
        await seen.sees("✓ embed_tokens")
        assert seen.app.state.draft.values["lora.modules_to_save"] == modules
        await seen.press("M")
        await seen.sees("? M trains embed_tokens")
        assert "lora.modules_to_save" not in seen.app.state.draft.values
        await seen.press("M", "4")
        await seen.until(lambda: seen.app.state.plan is not None)
        assert seen.plan.config.lora.modules_to_save == modules
        await seen.press("3", "M")
        await seen.sees("? M trains embed_tokens")
        assert seen.plan.config.lora.modules_to_save == []


async def test_near_duplicates_are_looked_for_on_demand(tokenised: Tokenised, tmp_path: Path) -> None:
    rng = Random(3)
    rows = [{"instruction": f"Ask {i}", "output": sentence(rng)} for i in range(40)]
    rows[21] = {**rows[4], "output": rows[4]["output"] + " more"}
    async with wizard(tokenised, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", rows))) as seen:
        await until_profiled(seen)
        assert "nearly the same" not in seen.text
        await seen.press("D")
        await seen.sees("1 row is nearly the same as an earlier one")
        await seen.press("x")
        await seen.sees("sample 22 of 40", "nearly the same as row 5")


async def test_on_a_small_screen_what_the_second_pass_found_is_seen_at_once(
    tokenised: Tokenised, tmp_path: Path
) -> None:
    rng = Random(3)
    rows = [{"instruction": f"Ask {i}", "output": sentence(rng)} for i in range(40)]
    rows[21] = {**rows[4], "output": rows[4]["output"] + " more"}
    path = jsonl(tmp_path / "a.jsonl", rows)
    async with wizard(tokenised, start=Step.DATA, state=opened(path), size=NARROW) as seen:
        await until_profiled(seen)
        await seen.press("D")
        await seen.sees("1 row is nearly the same as an earlier one: x goes through them", "40 rows")


async def test_held_out_files_are_named_and_compared(tokenised: Tokenised, tmp_path: Path) -> None:
    rng = Random(5)
    rows = [{"instruction": f"Ask {i}", "output": sentence(rng)} for i in range(40)]
    held = [{**rows[9], "output": rows[9]["output"] + " more"}, rows[2], *answers(8)]
    held_path = jsonl(tmp_path / "held.jsonl", held)
    async with wizard(tokenised, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", rows))) as seen:
        await until_profiled(seen)
        assert "held out" not in seen.text
        await seen.press("V")
        await seen.sees("evaluation data")
        seen.app.screen.query_one("#value", Input).value = held_path
        await seen.press("enter")
        await seen.sees("held out: 10 rows in files", "1 of 10 held-out rows is also trained on")
        assert seen.app.state.data["eval"] == [held_path]
        await seen.press("D")
        await seen.sees("1 of 10 held-out rows is nearly the same as a row")
        await seen.press("x")
        await seen.sees("sample 10 of 40", "nearly the same as a held-out row (held.json")
        await seen.press("V", *["delete"], "enter")
        await seen.loses("held out:")
        assert "eval" not in seen.app.state.data


async def test_looking_for_a_finding_holds_no_key_up_and_can_be_stopped(
    services: MadeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Event()

    def endless(self: DataSet, i: int, by: int, length: int, cancelled: Any) -> int | None:
        while not cancelled():
            asked.wait(0.01)
        asked.set()
        return None

    monkeypatch.setattr(DataSet, "next_finding", endless)
    async with wizard(services, start=Step.DATA, state=opened(jsonl(tmp_path / "a.jsonl", answers(30)))) as seen:
        await until_profiled(seen)
        await seen.press("x")
        await seen.sees("looking through the rows … esc stops")
        await seen.press("right_square_bracket")
        await seen.sees("sample 2 of 30")
        await seen.press("escape")
        await seen.loses("looking through the rows")
        await seen.until(asked.is_set)
        assert "No row has a finding" not in seen.text
        await seen.press("x", "L")
        await seen.loses("sample 2 of 30")


async def test_what_comes_from_the_hub_is_counted_and_can_be_stopped(
    services: MadeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    go_on = Event()
    rows = parquet(3000)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 4096)
    held = {"org/slow": {"default/train/0000.parquet": rows}}

    def pause(sent: int) -> None:
        if sent >= 20 * 1024:
            go_on.wait(20)

    with fake_datasets(held, pause=pause) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        async with wizard(services, start=Step.DATA, state=opened("org/slow")) as seen:
            await seen.sees("fetching default/train/0000.parquet", f"20 KiB of {gib(len(rows))}", "cancels")
            await seen.press("escape")
            await seen.loses("fetching")
            assert seen.app.state.dataset is None and not go_on.is_set()
            go_on.set()
            await seen.fill("#path", "org/slow")
            await until_profiled(seen)
            await seen.sees("3 000 rows")


async def test_well_known_data_sets_are_offered_by_name(services: MadeServices) -> None:
    async with wizard(services, start=Step.DATA, state={"model_name": LLAMA}) as seen:
        # While a path is typed, H is a letter of it.
        await seen.sees("esc, then H, lists well-known data sets")
        await seen.press("escape")
        await seen.sees("H lists well-known data sets · o types a path")
        await seen.press("o")
        await seen.sees("esc, then H, lists well-known data sets")
        await seen.press("escape", "H")
        await seen.sees("Dolly", "SQL create context", "Alpaca Chinese", "CC BY-SA 3.0")
        await seen.press(*"sql")
        await seen.loses("Dolly")


def test_packing_and_all_that_a_limit_cuts_are_priced(tmp_path: Path, tokenised: Tokenised) -> None:
    def said(rows: list[dict[str, Any]], length: int, packing: bool) -> str:
        data = Data(train=[jsonl(tmp_path / "a.jsonl", rows)], packing=packing)
        config = FinetuneConfig.model_validate(
            {
                "model": "m",
                "method": "lora",
                "quantization": {"bits": None},
                "data": data.model_dump(),
                "training": {"per_device_train_batch_size": 4},
            }
        )
        profile = load.profile_data(data, model=tokenised.spec).profile
        return " ".join(line.plain for line in summary(profile, length, 100, config))

    text = said(answers(200), 40, False)
    assert "template: the model's own · turns p50 2 · max 2" in text
    assert "of trained ones" in text and "if packed: padding" in text
    assert "→ 0 %, sequences " in text
    assert "steps an epoch of about" in text and "bfd: rows stay whole" in text
    text = said([{"text": "word " * 100}] * 30, 64, True)
    assert "packed in parts: nothing is cut" in text
    assert "bfd_split: longer rows are split, nothing is lost" in text and "of the trained tokens" not in text


def test_the_lines_of_several_data_sets_stand_in_columns(tmp_path: Path) -> None:
    paths = [
        jsonl(tmp_path / "a.jsonl", answers(3)),
        jsonl(tmp_path / "b.jsonl", [{"prompt": "Q", "completion": "A"}]),
    ]
    profile = load.profile_data(Data(train=paths), model=None).profile
    lines = [line.plain for line in source_rows(profile, 80)]
    assert len({line.index("×1") for line in lines}) == len({line.index(" row") for line in lines}) == 1
