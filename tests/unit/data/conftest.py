from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from recommender.config.schema import Data
from recommender.data.dataset import DataSet
from recommender.data.load import profile_data
from recommender.data.profile import cache
from recommender.model.spec import ModelSpec
from tests.fixtures.vocabularies import spec_for, write_vocabulary

Profile = Callable[..., DataSet]


@pytest.fixture(scope="session")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return spec_for(write_vocabulary(tmp_path_factory.mktemp("chatml"), stops=[2]))


@pytest.fixture(autouse=True)
def own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's profiles are kept: nothing of the person's own cache is read or written."""
    folder = tmp_path / "kept" / "profiles"
    monkeypatch.setattr(cache, "_folder", lambda: folder)
    return folder


@pytest.fixture
def profile(tmp_path: Path, chatml: ModelSpec) -> Profile:
    """Profile rows given as objects, under the ChatML model unless another is given."""

    def run(rows: Sequence[dict[str, Any]], model: ModelSpec | None = chatml, **settings: Any) -> DataSet:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return profile_data(Data(train=[str(path)], **settings), model=model)

    return run
