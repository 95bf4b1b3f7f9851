"""A ModelSpec as one JSON object, for `--json`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from recommender.model.anatomy import to_document
from recommender.model.spec import ModelSpec


def document(spec: ModelSpec) -> dict[str, Any]:
    """Every field of `spec` and what follows from them, in values that JSON has.

    Bytes and counts are whole numbers; what is not known is null.
    """
    linears = [{**asdict(linear), "parameters": linear.parameters} for linear in spec.linears]
    return {
        **asdict(replace(spec, anatomy=None, config=None)),
        "anatomy": to_document(spec.anatomy) if spec.anatomy else None,
        "linears": linears,
        "path": str(spec.path) if spec.path else None,
        "embedding_parameters": spec.embedding_parameters,
        "head_parameters": spec.head_parameters,
        "linear_parameters": spec.linear_parameters,
    }
