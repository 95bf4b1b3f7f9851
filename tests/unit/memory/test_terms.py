"""The breakdown line by line adds up to the parts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.formula_vs_trace import random_cases
from recommender.config.edit import with_values
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.profile import DataProfile
from recommender.data.profile.synthetic import synthetic_profile
from recommender.machine.devices import device_from_catalogue
from recommender.memory.layers.layer import layer_cost
from recommender.memory.price import pools, price
from recommender.memory.process import cached_beyond, left_bytes
from recommender.memory.stacks import STACKS
from recommender.memory.terms import breakdown, experts_apart, terms_of
from recommender.memory.workload import resolve_workload, share_alike
from recommender.model.families import spec_from_config
from recommender.model.reader import read_model
from recommender.units import gib
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
    case = resolve_workload(qlora(training__attn_implementation="eager"), model, A100, None, STACKS["trl"])
    terms = terms_of(case)
    assert sum(term.nbytes for term in terms) == price(case).process
    assert "experts in NF4 with their scales" in {term.name for term in terms}


def test_what_is_switched_on_gets_a_line() -> None:
    """DoRA's magnitudes, whole modules, offloading."""
    config = lora(lora__use_dora=True, lora__modules_to_save=["lm_head"], training__activation_offloading=True)
    case = resolve_workload(config, llama(), A100, None, STACKS["trl"])
    names = {term.name for term in terms_of(case)}
    assert {"DoRA's magnitudes", "trained copies of modules_to_save"} <= names
    assert sum(term.nbytes for term in terms_of(case)) == price(case).process


def test_experts_are_told_apart_with_how_they_are_held() -> None:
    model, card = read_model("Qwen/Qwen3-30B-A3B", offline=True), device_from_catalogue("RTX 4090")
    four = FinetuneConfig.model_validate({"model": "moe", "method": "qlora", "quantization": {"bits": 4}})
    lines = {term.name: term.nbytes for term in breakdown(four, model, card)}
    held = gib(lines["experts in NF4 with their scales"])
    assert experts_apart(four, model, card) == f"{held} of the weights are experts, which are in 4 bits too"
    plain = with_values(four, {"quantization.experts": False})
    assert experts_apart(plain, model, card) == "54.0 GiB of the weights are experts, which stay in 16 bits"
    assert experts_apart(plain, model, card, stack="hf-trainer").endswith("stay in 32 bits")
    whole = FinetuneConfig.model_validate({"model": "moe", "method": "lora", "quantization": {"bits": None}})
    assert experts_apart(whole, model, card) == ""
    assert experts_apart(four, read_model("meta-llama/Llama-3.1-8B", offline=True), card) == ""


def test_what_fixed_segments_would_hold_counts_mixed_lengths() -> None:
    config, data = qlora(data__packing=False), synthetic_profile(5000, 300)

    def said(rows: DataProfile | None) -> str:
        return next(term.name for term in breakdown(config, llama(), A100, rows) if term.part == "allocator")

    alike, mixed = said(None), said(data)
    assert alike.startswith("pages of expandable segments") and mixed.startswith("pages of expandable segments")
    case = resolve_workload(config, llama(), A100, data, STACKS["trl"])
    fixed = replace(case, stack=replace(case.stack, expandable_segments=False))
    both = pools(fixed, layer_cost(fixed))
    left = left_bytes(fixed, both, A100.free_bytes).middle
    assert left > both.loss
    assert mixed.endswith(
        gib(cached_beyond(replace(fixed, alike=share_alike(data, fixed.length, fixed.rows)), both) + left)
    )
