"""The allocator's cache: how much where lengths are alike or vary, and that 'fits' is without it."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest

from benchmarks.reference_rows import HERE
from benchmarks.reports import MEAN, MIXED, WRONG, answers, best, load_reports
from recommender.config.schema import FinetuneConfig
from recommender.data.profile.synthetic import synthetic_profile
from recommender.estimate.estimate import estimate
from recommender.estimate.types import Peak, fits_in
from recommender.memory.fitted import RESIDUE
from recommender.memory.layers.layer import layer_cost
from recommender.memory.loss import loss_bytes
from recommender.memory.price import pools, price
from recommender.memory.process import NOTHING_LEFT, spread
from recommender.memory.stacks import STACKS
from recommender.memory.workload import Workload, resolve_workload
from tests.unit.memory.cases import CARDS, llama, qlora

A100 = CARDS[2]
GIB = 2**30


def flash(*, packing: bool = False) -> FinetuneConfig:
    """QLoRA with flash attention, two rows of 2048 tokens."""
    return qlora(
        data__max_length=2048,
        data__packing=packing,
        training__attn_implementation="flash_attention_2",
        training__per_device_train_batch_size=2,
    )


def allocator(case: Workload) -> int:
    """Its part."""
    return price(case).parts["allocator"]


def test_rows_of_one_length_cache_what_the_smaller_of_loss_and_layer_leaves() -> None:
    case = resolve_workload(flash(), llama(), A100, None, STACKS["hf-trainer"])
    both = pools(case, layer_cost(case))
    assert case.alike == 1.0
    assert allocator(case) == round(RESIDUE["plain"] * min(both.loss, both.layer))


def test_rows_of_varied_length_cache_a_share_of_the_loss() -> None:
    data = synthetic_profile(5000, 300)
    case = resolve_workload(flash(), llama(), A100, data, STACKS["hf-trainer"])
    assert case.alike < 0.1
    priced = price(case)
    assert priced.parts["allocator"] - priced.left.middle == pytest.approx(
        RESIDUE["varied"] * loss_bytes(case), rel=0.1
    )


def test_rows_of_varied_length_leave_the_blocks_that_they_outgrow() -> None:
    """In one pass, and given back where memory is short: what is needed, and 'fits', are as for rows of one length."""
    config, model, data = flash(), llama(), synthetic_profile(5000, 300)
    mixed = estimate(config, model, A100, data, stack="hf-trainer").peak
    case = resolve_workload(config, model, A100, data, STACKS["hf-trainer"])
    left = price(case).left
    assert loss_bytes(case) < left.middle < 5 * loss_bytes(case)
    assert left.less > 0 < left.more
    alone = replace(price(case), left=NOTHING_LEFT)
    assert mixed.needed_bytes == alone.allocated + alone.parts["context"]
    ends, base = spread(case), mixed.process_bytes - left.middle
    assert mixed.most_bytes == round(base * ends.high) - (mixed.cache_bytes - left.middle)
    assert mixed.low_bytes == round(base * ends.low) + left.middle - left.less
    assert estimate(config, model, A100, data).peak.cache_bytes == 0


def test_what_is_outgrown_takes_no_more_than_is_free() -> None:
    config, model, data = flash(), llama(), synthetic_profile(5000, 300)
    roomy = estimate(config, model, A100, data, stack="hf-trainer").peak
    small = replace(A100, free_bytes=roomy.process_bytes - 2 * GIB)
    found = estimate(config, model, small, data, stack="hf-trainer")
    assert found.peak.process_bytes == small.free_bytes
    assert found.peak.needed_bytes == roomy.needed_bytes
    assert sum(found.parts.values()) == found.peak.process_bytes


def test_a_full_fine_tune_keeps_logits_that_no_parameter_of_it_is_as_large_as() -> None:
    """Its worst moment is the optimizer's step, which blocks of logits larger than the embedding do not serve."""

    def beyond(length: int) -> tuple[int, int]:
        config = FinetuneConfig.model_validate(
            {
                "model": "llama",
                "method": "full",
                "quantization": {"bits": None},
                "data": {"max_length": length, "packing": False},
                "training": {
                    "per_device_train_batch_size": 1,
                    "gradient_accumulation_steps": 1,
                    "optim": "adamw_torch",
                    "attn_implementation": "flash_attention_2",
                },
            }
        )
        case = resolve_workload(config, llama(), A100, None, STACKS["hf-trainer-noupcast"])
        assert price(case).phases["optimizer"] == price(case).allocated
        return allocator(case), loss_bytes(case)

    half = llama().hidden_size // 2
    kept, loss = beyond(half)
    assert kept < loss
    kept, loss = beyond(half + 32)
    assert kept == loss


def test_packed_rows_are_of_one_length_however_varied_they_were() -> None:
    data = synthetic_profile(5000, 300)
    assert resolve_workload(flash(packing=True), llama(), A100, data, STACKS["hf-trainer"]).alike == 1.0


def test_rows_that_the_limit_cuts_are_of_one_length() -> None:
    data = synthetic_profile(5000, 60_000)
    assert resolve_workload(flash(), llama(), A100, data, STACKS["hf-trainer"]).alike > 0.999


def test_the_cache_is_no_reason_not_to_fit() -> None:
    """Loss and layers take more together than there is; without the cache there is room."""
    config, model = flash(), llama()
    needs = estimate(config, model, A100, stack="hf-trainer").peak
    assert needs.cache_bytes > GIB
    assert needs.needed_bytes + needs.cache_bytes == needs.process_bytes
    between = replace(A100, free_bytes=round((needs.most_bytes + needs.process_bytes) / 2))
    found = estimate(config, model, between, stack="hf-trainer")
    assert found.peak.process_bytes > found.free_bytes >= found.peak.most_bytes
    assert found.fits == "yes"
    assert sum(found.parts.values()) == found.peak.process_bytes
    assert sum(found.needed_parts.values()) == found.peak.needed_bytes


def test_tight_is_what_is_needed_and_not_its_upper_end() -> None:
    peak = Peak(allocated_bytes=70, reserved_bytes=90, process_bytes=100, low_bytes=93, high_bytes=107, cache_bytes=20)
    assert [fits_in(peak, free) for free in (87, 86, 80, 79)] == ["yes", "tight", "tight", "no"]


def test_holes_in_expandable_segments_are_needed() -> None:
    assert estimate(flash(), llama(), A100).peak.cache_bytes == 0


def test_public_reports_are_answered_right() -> None:
    found = [(report, best(list(answers(report)))) for report in load_reports(HERE / "reports.csv")]
    errors = [abs(one.error) for report, one in found if one.error is not None and report["facts"] in ("A", "B")]
    assert len(found) == 28
    assert sum(one.right is False for _, one in found) <= WRONG
    assert sum(errors) / len(errors) <= MEAN


def test_public_runs_of_mixed_length_reserve_what_the_interval_says() -> None:
    """Rows over the limit left out (the share is of these rows), and cut (which gave nothing to the fit)."""
    inside, errors = {"reserved": 0, "process": 0}, dict[str, list[float]](reserved=[], process=[])
    for report in load_reports(HERE / "reports_more.csv"):
        if MIXED not in report["unsure"] or not report["measured_gib"]:
            continue
        one, counter = best(list(answers(report))), report["counter"]
        peak, context = one.estimate.peak, one.estimate.parts["context"] if counter == "reserved" else 0
        measured = float(report["measured_gib"]) * GIB + context
        inside[counter] += peak.low_bytes <= measured <= peak.high_bytes
        errors[counter].append(abs(one.error or 0.0))
    assert {counter: len(found) for counter, found in errors.items()} == {"reserved": 42, "process": 9}
    assert inside["reserved"] >= 41 and inside["process"] == 9
    assert fmean(errors["reserved"]) < 0.18 and fmean(errors["process"]) < 0.09


def test_fresh_public_reports_can_all_be_priced() -> None:
    found = [best(list(answers(report))) for report in load_reports(HERE / "reports_fresh.csv")]
    assert len(found) == 32
    # All three are 'tight' where it did not fit: docs/memory.md, section 7.
    assert [one.estimate.fits for one in found if one.right is False] == ["tight"] * 3
