"""Which GPUs CUDA_VISIBLE_DEVICES leaves, in each form in which it names cards and MIG instances."""

from dataclasses import replace

import pytest

from recommender.machine.facts import Gpu
from recommender.machine.gpu.visible import order_is_certain, visible_gpus

CARD = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
PLAIN = Gpu(0, "GPU-00000000-1111-2222-3333-444444444444", "RTX 4090", (8, 9), "Ada", 1, 0, 1)
LARGE = Gpu(
    1,
    "MIG-22222222-2222",
    "A100 MIG 3g",
    (8, 0),
    "Ampere",
    1,
    0,
    1,
    mig=True,
    card_uuid=CARD,
    older_uuid=f"MIG-{CARD}/1/0",
)
SMALL = replace(LARGE, uuid="MIG-33333333-3333", name="A100 MIG 1g", older_uuid=f"MIG-{CARD}/9/0")
OTHER = replace(PLAIN, index=2, uuid="GPU-99999999-1111-2222-3333-444444444444")
ALL = (PLAIN, LARGE, SMALL, OTHER)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (None, ALL),
        ("", ()),
        ("-1", ()),
        ("0", (PLAIN,)),
        ("2,0", (OTHER, PLAIN)),
        ("0,-1,2", (PLAIN,)),
        ("0, 7, 2", (PLAIN,)),
        (PLAIN.uuid, (PLAIN,)),
        ("GPU-9999", (OTHER,)),
        ("GPU-", ()),
        # MIG, by the UUID that drivers from 470 on give, by the older form, by the card, and by its index.
        (SMALL.uuid, (SMALL,)),
        (f"{SMALL.uuid},{LARGE.uuid}", (SMALL, LARGE)),
        (f"MIG-{CARD}/9/0", (SMALL,)),
        (f"MIG-{CARD}/1/0,0", (LARGE, PLAIN)),
        ("MIG-GPU-8932f937/1/0", (LARGE,)),
        (f"MIG-{CARD}/1/1", ()),
        ("MIG-GPU-11111111/1/0", ()),
        ("MIG-GPU-/1/0", ()),
        (CARD, (LARGE, SMALL)),
        ("1", (LARGE, SMALL)),
    ],
)
def test_what_is_left(said: str | None, left: tuple[Gpu, ...]) -> None:
    assert visible_gpus(ALL, {} if said is None else {"CUDA_VISIBLE_DEVICES": said}) == left


def test_a_driver_that_gives_the_older_form_itself() -> None:
    older = replace(LARGE, uuid=f"MIG-{CARD}/1/0", older_uuid="")
    assert visible_gpus((PLAIN, older), {"CUDA_VISIBLE_DEVICES": f"MIG-{CARD}/1/0"}) == (older,)


def test_a_card_is_no_instance_of_another() -> None:
    assert visible_gpus((PLAIN,), {"CUDA_VISIBLE_DEVICES": f"MIG-{PLAIN.uuid}/1/0"}) == ()


def test_by_index_the_order_is_certain_only_among_alike() -> None:
    mixed = (PLAIN, replace(OTHER, name="T4"))
    assert not order_is_certain(mixed, {"CUDA_VISIBLE_DEVICES": "0"})
    assert order_is_certain(mixed, {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    assert order_is_certain(mixed, {"CUDA_VISIBLE_DEVICES": f"MIG-{CARD}/1/0"})
