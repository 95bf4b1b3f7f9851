"""The breakdown line by line adds up to the parts."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.formula_vs_trace import random_cases
from recommender.machine.devices import device_from_catalogue
from recommender.memory.price import price
from recommender.memory.stacks import STACKS
from recommender.memory.terms import terms_of
from recommender.memory.workload import make_case
from recommender.model.families import spec_from_config
from tests.unit.memory.cases import LLAMA_8B, llama, lora, qlora

A100 = device_from_catalogue("A100 PCIe 80GB")


def test_terms_add_up_to_every_part_exactly() -> None:
    for case in random_cases(300):
        sums = Counter[str]()
        for term in terms_of(case):
            sums[term.part] += term.nbytes
        assert dict(sums) == {part: nbytes for part, nbytes in price(case).parts.items() if nbytes}


@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss"])
def test_experts_have_lines_of_their_own(kind: str) -> None:
    model = spec_from_config({**LLAMA_8B, "model_type": kind, "intermediate_size": 2048}, kind)
    case = make_case(qlora(training__attn_implementation="eager"), model, A100, None, STACKS["trl"])
    terms = terms_of(case)
    assert sum(term.nbytes for term in terms) == price(case).process
    assert "experts and routers, fused" in {term.name for term in terms}


def test_what_is_switched_on_gets_a_line() -> None:
    """DoRA's magnitudes, whole modules, offloading."""
    config = lora(lora__use_dora=True, lora__modules_to_save=["lm_head"], training__activation_offloading=True)
    case = make_case(config, llama(), A100, None, STACKS["trl"])
    names = {term.name for term in terms_of(case)}
    assert {"DoRA's magnitudes", "trained copies of modules_to_save"} <= names
    assert sum(term.nbytes for term in terms_of(case)) == price(case).process
