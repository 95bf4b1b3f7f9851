from __future__ import annotations

import json
import re

from recommender.config.edit import apply
from recommender.config.schema import FinetuneConfig
from recommender.plan.document import document, launch_document
from recommender.plan.plain import plain
from recommender.plan.recommend import plan_of, recommend
from tests.unit.plan.facts import EXAMPLE, LLAMA_8B, RTX_4090, TINY_CARD


def test_the_document_has_the_contracts_keys_and_is_json() -> None:
    read = json.loads(json.dumps(document(recommend(LLAMA_8B, RTX_4090, EXAMPLE), None)))
    wanted = {"config", "estimate", "reasons", "alternatives", "remedies", "warnings", "machine", "model", "data"}
    assert wanted <= set(read)
    assert FinetuneConfig.model_validate(read["config"]).method == "qlora"
    assert {"value", "why", "source", "confidence"} <= set(read["reasons"]["training.learning_rate"])
    assert sum(read["estimate"]["parts"].values()) == read["estimate"]["peak"]["process_bytes"]
    assert read["data"]["rows"] == 50_000
    assert read["machine"]["device"]["name"] == "RTX 4090"


def test_no_data_and_no_fit_have_a_document_too() -> None:
    read = json.loads(json.dumps(document(recommend(LLAMA_8B, TINY_CARD, None), None)))
    assert read["data"] is None
    assert read["estimate"]["fits"] == "no"
    assert read["remedies"]
    assert {"label", "changes", "saves_bytes", "costs", "fits"} == set(read["remedies"][0])


def test_frozen_values_become_plain() -> None:
    assert plain({"a": (1, 2), 3: RTX_4090})["3"]["compute_capability"] == [8, 9]


def test_a_configuration_of_ones_own_is_a_plan_too() -> None:
    plan = recommend(LLAMA_8B, RTX_4090, EXAMPLE)
    theirs = apply(plan.config, {"learning_rate": 1e-4, "rope_scaling": {"rope_type": "yarn", "factor": 2}})
    again = plan_of(theirs, LLAMA_8B, RTX_4090, EXAMPLE)
    assert again.config == theirs
    assert again.estimate.peak == plan.estimate.peak
    assert again.reasons["training.learning_rate"].why.startswith("You set this; recommended was 2.7e-4, and why: ")
    assert again.reasons["lora.r"] == plan.reasons["lora.r"]
    assert launch_document(plan.config, LLAMA_8B, RTX_4090, EXAMPLE)["overrides"] == {}


def test_every_warning_has_a_code_and_a_severity_beside_its_text() -> None:
    whole = document(recommend(LLAMA_8B, RTX_4090, EXAMPLE, overrides={"learning_rate": 0.5, "max_length": 64}), None)
    found = whole["findings"]
    assert [one["text"] for one in found] == whole["warnings"]
    assert {"rate_far_above", "length_cuts"} <= {one["code"] for one in found}
    assert all(re.fullmatch(r"[a-z_]+", one["code"]) and one["severity"] in ("stop", "warning") for one in found)
    assert all(one["text"].endswith(one["remedy"]) for one in found)
    (far,) = (one for one in found if one["code"] == "rate_far_above")
    assert far["remedy"].startswith("Back to ")
