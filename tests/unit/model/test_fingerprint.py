"""A model's fingerprint: the same for the same weights wherever they lie, another for any other training of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from recommender.model.sources.fingerprint import BLOCK, BLOCKS, Fingerprint
from recommender.model.sources.missing_files import INDEX, SINGLE
from tests.fixtures.tiny_model import build_tiny_llama

LARGE = (256, 512)
"""Float32: many times the samples of one tensor."""


def put(folder: Path, tensors: dict[str, NDArray[Any]], config: dict[str, Any] | None = None) -> Fingerprint:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / SINGLE)
    (folder / "config.json").write_text(json.dumps(config or {}))
    return Fingerprint.of(folder)


@pytest.fixture
def large() -> NDArray[np.float32]:
    assert np.zeros(LARGE, np.float32).nbytes > 10 * BLOCK * BLOCKS
    return np.random.default_rng(0).standard_normal(LARGE).astype(np.float32)


def test_the_same_weights_are_the_same_wherever_they_lie(tmp_path: Path) -> None:
    first = build_tiny_llama(tmp_path / "a")
    second = build_tiny_llama(tmp_path / "b")
    tensors = load_file(second / SINGLE)
    (second / SINGLE).unlink()
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[:7], "model-2.safetensors": names[7:]}
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, second / file)
    places = {name: file for file, held in parts.items() for name in held}
    (second / INDEX).write_text(json.dumps({"weight_map": places}))
    assert Fingerprint.of(first).differences(Fingerprint.of(second)) == ()


def test_other_weights_of_the_same_shapes_differ_in_every_matrix(tmp_path: Path) -> None:
    first, second = (Fingerprint.of(build_tiny_llama(tmp_path / str(seed), seed=seed)) for seed in (0, 7))
    (said,) = first.differences(second)
    # The five norms are ones in both.
    assert said.startswith("15 of 20 tensors hold other values (model.embed_tokens.weight, ")
    assert said.endswith("and 12 more)")


@pytest.mark.parametrize("where", [0, LARGE[0] * LARGE[1] - 1])
def test_the_first_and_the_last_value_of_a_tensor_count(tmp_path: Path, large: NDArray[np.float32], where: int) -> None:
    before = put(tmp_path, {"w": large})
    large.flat[where] += 1
    assert before.differences(put(tmp_path, {"w": large})) == ("1 of 1 tensors hold other values (w)",)


def test_a_hundredth_of_the_values_changed_anywhere_is_seen(tmp_path: Path, large: NDArray[np.float32]) -> None:
    before = put(tmp_path, {"w": large})
    large[np.random.default_rng(1).random(LARGE) < 0.01] += 1e-3
    assert before.differences(put(tmp_path, {"w": large}))


def test_little_of_a_large_tensor_is_read(tmp_path: Path, large: NDArray[np.float32]) -> None:
    """What lies between the samples is not read: that is what makes it cheap, and what the docstring says."""
    before = put(tmp_path, {"w": large})
    large.flat[BLOCK // 4 + 1] += 1
    assert before.differences(put(tmp_path, {"w": large})) == ()


def test_tensors_that_come_and_go_and_a_tied_head(tmp_path: Path) -> None:
    one, two = np.ones(3, np.float32), np.zeros(3, np.float32)
    before = put(tmp_path, {"a": one, "b": two})
    assert before.differences(put(tmp_path, {"a": one, "c": two})) == (
        "1 tensors are missing (b)",
        "1 tensors are new (c)",
    )
    tied = {"tie_word_embeddings": True}
    before = put(tmp_path, {"a": one}, tied)
    assert before.differences(put(tmp_path, {"a": one, "lm_head.weight": one}, tied)) == ()


def test_a_configuration_that_computes_otherwise_differs(tmp_path: Path) -> None:
    weights = {"a": np.ones(3, np.float32)}
    before = put(tmp_path, weights, {"rope_theta": 10000.0, "transformers_version": "4.40", "torch_dtype": "float32"})
    same = {"rope_theta": 10000.0, "transformers_version": "5.1", "dtype": "float32", "eos_token_id": [1, 2]}
    assert before.differences(put(tmp_path, weights, same)) == ()
    other = put(tmp_path, weights, {"rope_theta": 500000.0})
    assert before.differences(other) == ("config.json differs in rope_theta (10000.0 then, 500000.0 now)",)


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    found = Fingerprint.of(build_tiny_llama(tmp_path))
    assert Fingerprint.read(json.loads(json.dumps(found.document()))) == found
    torn: list[dict[str, Any]] = [
        {},
        {"config": {}},
        {"config": [], "tensors": {"a": "1"}},
        {"config": {}, "tensors": {}},
    ]
    for each in torn:
        assert Fingerprint.read(each) is None
