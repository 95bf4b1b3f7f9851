"""A draft is what a person chose and set; each edit makes another one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.plan.facts import LLAMA_8B, RTX_4090, SMOLLM, T4
from tui.wizard.draft import AppliedPreset, Draft, difference, same_rows

TRAIN = {"train": ["rows.jsonl"]}


def test_an_edit_makes_another_draft_and_leaves_the_first() -> None:
    first = Draft(values={"lora.r": 16}, data=TRAIN)
    second = first.with_values({"lora.r": 64})
    assert (first.values, second.values) == ({"lora.r": 16}, {"lora.r": 64})
    assert second.data is first.data
    assert first != replace(first)


@pytest.mark.parametrize(
    ("values", "section"),
    [
        ({"lora.r": 64, "data.max_length": 512, "data.packing": True}, TRAIN),
        ({"data.train_on": "all"}, {**TRAIN, "train_on": "all"}),
        (
            {"data.chat_template_kwargs.enable_thinking": False},
            {**TRAIN, "chat_template_kwargs": {"enable_thinking": False}},
        ),
    ],
)
def test_rows_are_read_with_the_values_that_change_their_tokens(
    values: dict[str, Any], section: dict[str, Any]
) -> None:
    assert Draft(values=values, data=TRAIN).reading == section


def test_of_the_plans_value_and_the_data_screens_the_later_one_holds() -> None:
    planned = Draft(values={"data.train_on": "all", "lora.r": 8}, data=TRAIN)
    read = planned.with_data({"train_on": "assistant"})
    assert read.values == {"lora.r": 8} and read.reading["train_on"] == "assistant"
    again = read.with_values({**read.values, "data.train_on": "all"})
    assert again.data == TRAIN and again.reading["train_on"] == "all"
    # Taken back, neither is left.
    assert again.with_values({"lora.r": 8}).reading == TRAIN


def test_a_key_of_the_data_section_is_dropped_by_none() -> None:
    draft = Draft(data={**TRAIN, "format": "alpaca"}).with_data({"format": None, "skip_bad_rows": True})
    assert draft.data == {**TRAIN, "skip_bad_rows": True}


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({"training.seed": 7}, True),
        # As the schema has it anyway.
        ({"data.train_on": "assistant"}, True),
        ({"data.train_on": "all"}, False),
        ({"data.template": "chatml"}, False),
    ],
)
def test_only_values_that_change_tokens_make_other_rows(values: dict[str, Any], same: bool) -> None:
    draft = Draft(data=TRAIN, model=LLAMA_8B)
    assert same_rows(draft, draft.with_values(values)) is same


def test_another_model_reads_other_tokens_and_another_device_the_same() -> None:
    draft = Draft(data=TRAIN, model=LLAMA_8B, device=RTX_4090)
    assert same_rows(draft, replace(draft, device=T4))
    assert not same_rows(draft, draft.with_model("smollm", SMOLLM, {}))
    assert not same_rows(draft, draft.with_data({"train": ["others.jsonl"]}))


def test_another_model_keeps_what_was_said_of_the_data_and_on_the_command_line() -> None:
    command_line = {"training.seed": 3}
    values = {"training.seed": 7, "lora.r": 64, "data.max_length": 512}
    draft = Draft(values=values, model_name="llama", model=LLAMA_8B, preset=AppliedPreset("p", {"lora.r": 64}))
    other = draft.with_model("smollm", SMOLLM, command_line)
    assert other.values == {"training.seed": 3, "data.max_length": 512}
    assert other.model is SMOLLM and other.model_name == "smollm" and other.preset is None


def test_the_first_model_keeps_all_values() -> None:
    draft = Draft(values={"lora.modules_to_save": ["embed_tokens"]}, model_name="llama")
    assert draft.with_model("llama", LLAMA_8B, {}).values == draft.values


def test_a_preset_is_named_as_long_as_some_of_it_is_left() -> None:
    of_preset = {"lora.r": 16, "training.learning_rate": 2e-4}
    draft = Draft().with_values(of_preset, AppliedPreset("alpaca", of_preset))
    assert draft.preset_shown == "alpaca" and draft.set_by_preset("lora.r")
    part = draft.with_values({**of_preset, "lora.r": 8})
    assert part.preset_shown == "alpaca ✎" and not part.set_by_preset("lora.r")
    assert draft.with_values({"lora.r": 8}).preset_shown == ""
    assert Draft(values=of_preset).preset_shown == ""


def test_a_difference_is_an_edit_that_leads_from_one_to_the_other() -> None:
    before = {"lora.r": 8, "training.seed": 7, "lora.bias": "none"}
    after = {"lora.r": 64, "training.seed": 7, "training.max_steps": None}
    assert difference(before, after) == ({"lora.r": 64, "training.max_steps": None}, ["lora.bias"])
    assert difference(after, after) == ({}, [])
