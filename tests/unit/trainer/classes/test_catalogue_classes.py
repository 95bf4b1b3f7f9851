"""Each model of the catalogue is what its class builds, without memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from presets.models import CatalogueModel, load_models
from recommender.model.family_table import FAMILIES
from trainer.classes.choose import classes_of

pytestmark = pytest.mark.torch


# Those of hand-written families are built beside their tables.
OTHERS = [model for model in load_models() if model.config["model_type"] not in FAMILIES]


@pytest.mark.parametrize("model", OTHERS, ids=lambda model: model.name)
def test_the_class_that_its_config_names_has_its_parameters(model: CatalogueModel) -> None:
    document: dict[str, Any] = copy.deepcopy(dict(model.config))
    document.pop("quantization_config", None)
    config = AutoConfig.for_model(document.pop("model_type"), **document)
    served = classes_of(config).served
    with torch.device("meta"):
        built = served._from_config(config)
    assert sum(parameter.numel() for parameter in built.parameters()) == model.parameters
    assert served.__name__ == model.config["architectures"][0]
