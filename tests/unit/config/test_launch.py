"""The section `launch`: values that go together, and how many processes they come to."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from presets.errors import InputError
from recommender.config.launch import Launch
from recommender.config.schema import FinetuneConfig
from recommender.estimate.data_parallel import on_one_card, processes_of
from recommender.machine.facts import Device
from recommender.plan.checks.conflicts import refuse_launch
from tests.unit.plan.facts import LLAMA_8B
from trainer.preflight.gate import require_trainable

CPU = Device(kind="cpu", name="this CPU", free_bytes=8 * 2**30, total_bytes=8 * 2**30, cores=2)
CARD = Device(kind="cuda", name="card", free_bytes=2**34, total_bytes=2**34, uuid="GPU-1", bf16=True)


def config(launch: dict[str, Any], **more: Any) -> FinetuneConfig:
    return FinetuneConfig.model_validate({"model": "m", "method": "lora", "launch": launch, **more})


@pytest.mark.parametrize(
    ("launch", "says"),
    [
        ({"strategy": "single", "processes": 2}, "strategy single is one process, not 2: set ddp or fsdp"),
        ({"strategy": "split", "nodes": 2}, "strategy split is one process, not 2"),
        ({"strategy": "single", "gpus": [0, 1]}, "strategy single is one GPU, not 2: set ddp, fsdp or split"),
        ({"strategy": "ddp", "processes": 1}, "there is 1: set single, or processes"),
        ({"strategy": "ddp", "processes": 2, "offload": "all"}, "offload all is fsdp's, not ddp's: set strategy fsdp"),
        ({"gpus": []}, "gpus is an empty list: name a GPU, or set auto"),
        ({"gpus": [0, "0"]}, "gpus names a GPU twice"),
        ({"gpus": [0, 1], "processes": 3}, "processes is 3 and gpus names 2: leave processes auto"),
        ({"gpus": [-1]}, "greater than or equal to 0"),
        ({"processes": 0}, "greater than or equal to 1"),
        ({"processes": True}, "must be a number, not true or false"),
        ({"strategy": "deepspeed"}, "'auto', 'single', 'ddp', 'fsdp', 'zero2', 'zero3' or 'split'"),
    ],
)
def test_values_that_contradict_each_other(launch: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Launch.model_validate(launch)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"method": "qlora", "launch": {"strategy": "zero3"}}, "zero3 cannot shard a base in 4 bits: set it to fsdp"),
        ({"launch": {"strategy": "fsdp"}, "training": {"optim": "adamw_8bit"}}, "set training.optim to adamw_torch"),
        ({"launch": {"offload": "params"}, "training": {"optim": "adamw_8bit"}}, "set training.optim to adamw_torch"),
    ],
)
def test_a_strategy_that_the_method_or_the_optimizer_cannot_take(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FinetuneConfig.model_validate({"model": "m", "method": "lora", **more})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("launch", "kind", "on_cpu", "on_three_cards"),
    [
        ({}, "single", 1, 3),
        ({"processes": 2}, "ddp", 2, 2),
        ({"gpus": [0, "GPU-1"]}, "ddp", 2, 2),
        ({"gpus": [0, 1], "nodes": 2}, "ddp", 4, 4),
        ({"gpus": [0, 1], "strategy": "split"}, "split", 1, 1),
        ({"strategy": "single"}, "single", 1, 1),
        ({"strategy": "fsdp"}, "fsdp", 1, 3),
        ({"offload": "params"}, "fsdp", 1, 3),
        ({"processes": 1}, "single", 1, 1),
    ],
)
def test_strategy_and_number_of_processes(launch: dict[str, Any], kind: str, on_cpu: int, on_three_cards: int) -> None:
    cards = Device(kind="cuda", name="3 × card", free_bytes=1, total_bytes=1, count=3)
    assert Launch.model_validate(launch).kind == kind
    assert processes_of(config(launch), CPU) == on_cpu
    assert processes_of(config(launch), cards) == on_three_cards


def test_one_card_that_does_the_work_of_all_has_no_launch() -> None:
    whole = on_one_card(config({"processes": 2}, training={"gradient_accumulation_steps": 4}), 2)
    assert whole.training.gradient_accumulation_steps == 8
    assert processes_of(whole, CPU) == 1


@pytest.mark.parametrize(
    ("launch", "device", "says"),
    [
        ({"gpus": [0]}, CPU, "launch.gpus names 1 GPU, and this run is on the CPU"),
        ({"strategy": "zero2"}, CPU, "launch.strategy zero2 needs GPUs"),
        ({"strategy": "split"}, CPU, "launch.strategy split needs GPUs"),
    ],
)
def test_a_launch_that_the_device_cannot_have(launch: dict[str, Any], device: Device, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        refuse_launch(config(launch), LLAMA_8B, device)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"training": {"precision": "fp16"}}, "launch.strategy fsdp does not train in fp16"),
        ({"method": "full", "launch": {"offload": "params"}}, "launch.offload params holds frozen weights"),
    ],
)
def test_what_cannot_be_sharded_is_refused_with_what_to_set(more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        refuse_launch(config(**{"launch": {"strategy": "fsdp"}} | more), LLAMA_8B, CPU)
    assert caught.value.remedy


def test_eight_bits_are_not_sharded() -> None:
    wanted = config({"strategy": "fsdp"}, method="qlora", quantization={"bits": 8})
    with pytest.raises(InputError, match="cannot shard 8-bit weights"):
        refuse_launch(wanted, LLAMA_8B, CARD)
    refuse_launch(config({"strategy": "fsdp"}, method="qlora"), LLAMA_8B, CARD)


@pytest.mark.parametrize("launch", [{"nodes": 2}, {"strategy": "zero2"}, {"strategy": "split", "gpus": [0, 1]}])
def test_what_is_planned_and_not_started_is_refused_before_anything_is(launch: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"launch\.") as caught:
        require_trainable(config(launch), LLAMA_8B, CARD)
    assert caught.value.remedy
