import shutil
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.model.reader import read_model
from recommender.model.sources.cache import cached_models
from recommender.model.sources.local import list_local_models
from recommender.model.sources.missing_files import INDEX, SINGLE
from tests.fixtures.tiny_model import build_tiny_llama

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DEMO = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache and no other place where models may be."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub"


def _put(cache: Path, hub_id: str, *, with_weights: bool = True, branch: str = "main") -> Path:
    """Put a tiny model into a hub cache, its weights a link to a blob as the hub library lays them."""
    root = cache / ("models--" + hub_id.replace("/", "--"))
    folder = build_tiny_llama(root / "snapshots" / COMMIT, with_weights=with_weights)
    if with_weights:
        (root / "blobs").mkdir()
        (folder / SINGLE).rename(root / "blobs" / "weights")
        (folder / SINGLE).symlink_to("../../blobs/weights")
    (root / "refs").mkdir()
    (root / "refs" / branch).write_text(COMMIT)
    return folder


def test_found_by_branch_and_by_commit(cache: Path) -> None:
    folder = _put(cache, "some/model")
    for revision in (None, "main", COMMIT):
        spec = read_model("some/model", revision=revision)
        assert (spec.source, spec.path, spec.revision, spec.has_weights) == ("cache", folder, COMMIT, True)
    with pytest.raises(InputError, match="not on this disk"):
        read_model("some/model", revision="v2")


def test_without_a_main_branch_the_newest_snapshot_is_taken(cache: Path) -> None:
    _put(cache, "some/model", branch="v2")
    assert read_model("some/model").revision == COMMIT


def test_a_download_that_is_not_complete_can_be_planned(cache: Path) -> None:
    folder = _put(cache, "some/model")
    (folder / SINGLE).unlink()
    (folder / INDEX).write_text('{"metadata": {"total_size": 123}, "weight_map": {"a": "model-1.safetensors"}}')
    spec = read_model("some/model")
    assert not spec.has_weights and spec.weights_bytes == 123
    assert (
        "some/model is on this disk only in part: 1 of 1 weight files is missing (model-1.safetensors)" in spec.access
    )
    assert f"`hf download some/model --revision {COMMIT}` gets what is missing" in spec.access


def test_a_shard_without_its_index_is_a_download_that_is_not_complete(cache: Path) -> None:
    folder = _put(cache, "some/model")
    (folder / SINGLE).rename(folder / "model-00001-of-00003.safetensors")
    spec = read_model("some/model")
    assert not spec.has_weights
    assert "2 of 3 weight files are missing (model-00002-of-00003.safetensors and 1 more)" in spec.access
    assert "model.safetensors.index.json is missing" in spec.access


def test_a_file_of_the_cache_that_is_torn_is_downloaded_over(cache: Path) -> None:
    """Removing the link is not enough: the hub's library would link what is torn again."""
    folder = _put(cache, "some/model")
    blob = (folder / SINGLE).resolve()
    blob.write_bytes(blob.read_bytes()[:-100])
    with pytest.raises(InputError, match="100 bytes are missing at its end") as caught:
        read_model("some/model")
    again = f"`hf download some/model {SINGLE} --revision {COMMIT} --force-download` gets it again."
    assert caught.value.remedy == again
    (folder / "config.json").write_text('{"model_type": "lla')
    with pytest.raises(InputError, match="cannot be read as JSON") as caught:
        read_model("some/model")
    assert "--force-download" in caught.value.remedy


def test_a_short_name_finds_the_cached_model(cache: Path) -> None:
    _put(cache, "microsoft/phi-4")
    spec = read_model("phi-4")
    assert (spec.source, spec.name, spec.hub_id) == ("cache", "phi-4", "microsoft/phi-4")


def test_offline_the_catalogue_answers_and_says_so(cache: Path) -> None:
    spec = read_model("meta-llama/Llama-3.1-8B-Instruct")
    assert (spec.source, spec.has_weights, spec.gated) == ("catalogue", False, True)
    assert spec.total_parameters == 8_030_261_248
    assert "not on this disk" in spec.access
    assert "training needs its weights: unset HF_HUB_OFFLINE once, or give the folder that holds them" in spec.access
    assert "a model of the catalogue" not in spec.access, "it is one"
    with pytest.raises(InputError, match="HF_HUB_OFFLINE says to stay off the network"):
        read_model("no-such/model")


def test_a_listing_that_asks_no_hub_does_not_say_that_the_network_is_off(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert read_model("llama-3.1-8b-instruct", offline=True).access == ""
    with pytest.raises(InputError, match="no-such/model is not on this disk, and the hub was not asked"):
        read_model("no-such/model", offline=True)


def test_the_converted_demo_model_is_found_by_its_hub_id(cache: Path, tmp_path: Path) -> None:
    folder = build_tiny_llama(tmp_path / "xdg" / "lora-wizard" / "models" / "SmolLM2-135M-Instruct")
    for name in (DEMO, "smollm2-135m-instruct"):
        spec = read_model(name)
        assert (spec.path, spec.has_weights, spec.access) == (folder, True, "")


def test_lists_the_cache_then_folders(cache: Path, tmp_path: Path) -> None:
    _put(cache, "some/model")
    _put(cache, "an/encoder")
    config = cache / "models--an--encoder" / "snapshots" / COMMIT / "config.json"
    config.write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
    build_tiny_llama(tmp_path / "xdg" / "lora-wizard" / "models" / "SmolLM2-135M-Instruct")
    build_tiny_llama(tmp_path / "mine" / "a")
    torn = build_tiny_llama(tmp_path / "mine" / "torn")
    (torn / SINGLE).write_bytes(b"12")
    models = list_local_models([tmp_path / "mine", tmp_path / "nowhere"])
    assert [model.name for model in models] == ["some/model", DEMO, str(tmp_path / "mine" / "a"), str(torn)]
    assert all(model.nbytes > 0 for model in models)
    assert [bool(model.spec) for model in models] == [True, True, True, False]
    assert "torn" in models[-1].trouble
    assert models[0].spec is not None and models[0].spec.has_weights
    assert [model.spec.hub_id for model in models if model.spec] == ["some/model", DEMO, None]


def test_a_folder_that_is_a_model_is_listed_itself(cache: Path, tmp_path: Path) -> None:
    folder = build_tiny_llama(tmp_path / "mine")
    assert [model.path for model in list_local_models([folder])] == [folder]


def test_no_cache_at_all(cache: Path) -> None:
    assert list(cached_models(cache)) == []
    assert list_local_models() == ()


def test_a_snapshot_whose_blobs_are_gone(cache: Path) -> None:
    folder = _put(cache, "some/model")
    shutil.rmtree(cache / "models--some--model" / "blobs")
    assert not (folder / SINGLE).exists()
    assert not read_model("some/model").has_weights
    assert [model.name for model in list_local_models()] == ["some/model"]
