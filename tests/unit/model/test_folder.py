import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from recommender.model.reader import read_model
from recommender.model.sources.headers import read_entries
from recommender.model.sources.missing_files import INDEX, SINGLE, missing_weights
from tests.fixtures.tiny_model import build_tiny_llama


def _edit(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def _shard(folder: Path, count: int = 2) -> list[Path]:
    """Split model.safetensors into shards with an index, as Transformers does for large models."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / SINGLE)
    (folder / SINGLE).unlink()
    files = [folder / f"model-{number + 1:05}-of-{count:05}.safetensors" for number in range(count)]
    parts: list[dict[str, Any]] = [{} for _ in files]
    for number, (name, tensor) in enumerate(sorted(tensors.items())):
        parts[number % count][name] = tensor
    for path, part in zip(files, parts, strict=True):
        save_file(part, path)
    placed = {name: path.name for path, part in zip(files, parts, strict=True) for name in part}
    size = sum(tensor.nbytes for tensor in tensors.values())
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": placed}))
    return files


def test_counts_what_the_files_hold(tmp_path: Path) -> None:
    spec = read_model(str(build_tiny_llama(tmp_path / "m")))
    assert (spec.source, spec.has_weights, spec.parameters_exact) == ("folder", True, True)
    assert spec.dtype == "float32"
    assert spec.weights_bytes == (tmp_path / "m" / SINGLE).stat().st_size
    parts = spec.embedding_parameters + spec.head_parameters + spec.linear_parameters
    assert spec.total_parameters == parts + spec.norm_parameters + spec.other_parameters
    assert spec.other_parameters == 0


def test_shards_count_as_the_single_file_does(tmp_path: Path) -> None:
    single = read_model(str(build_tiny_llama(tmp_path / "m")))
    _shard(tmp_path / "m", 3)
    sharded = read_model(str(tmp_path / "m"))
    assert sharded.has_weights and sharded.total_parameters == single.total_parameters


def test_config_alone_is_enough_to_plan(tmp_path: Path) -> None:
    spec = read_model(str(build_tiny_llama(tmp_path, with_weights=False)))
    assert not spec.has_weights and not spec.parameters_exact
    assert spec.total_parameters == read_model(str(build_tiny_llama(tmp_path))).total_parameters


def test_a_stored_copy_of_a_tied_head_is_not_counted(tmp_path: Path) -> None:
    untied = read_model(str(build_tiny_llama(tmp_path, tied=False)))
    tied = read_model(str(_edit(tmp_path, tie_word_embeddings=True)))
    assert untied.total_parameters - tied.total_parameters == untied.head_parameters > 0


def test_a_head_that_is_missing_is_no_model(tmp_path: Path) -> None:
    build_tiny_llama(tmp_path, tied=True)
    with pytest.raises(InputError, match="files hold"):
        read_model(str(_edit(tmp_path, tie_word_embeddings=False)))


def test_a_vocabulary_that_differs_is_named(tmp_path: Path) -> None:
    build_tiny_llama(tmp_path)
    with pytest.raises(InputError, match=r"vocab_size 400 .*embed_tokens"):
        read_model(str(_edit(tmp_path, vocab_size=400)))


def test_quantised_weights_keep_the_computed_count(tmp_path: Path) -> None:
    build_tiny_llama(tmp_path)
    spec = read_model(str(_edit(tmp_path, quantization_config={"quant_method": "gptq"})))
    assert spec.has_weights and not spec.parameters_exact
    assert "GPTQ" in spec.unsupported


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("---\nbase_model: maker/model-9b\nlicense: mit\n---\n# A copy", "Take maker/model-9b, the same weights"),
        ("---\nbase_model:\n- maker/model-9b\n---\n", "Take maker/model-9b, the same weights"),
        ("---\nbase_model: [\n---\n", "usually under the same name without AWQ"),
        ("# No head", "usually under the same name without AWQ"),
    ],
)
def test_a_card_names_the_unquantised_model(tmp_path: Path, card: str, said: str) -> None:
    build_tiny_llama(tmp_path)
    (tmp_path / "README.md").write_text(card)
    assert said in read_model(str(_edit(tmp_path, quantization_config={"quant_method": "awq"}))).unsupported


def test_packed_weights_are_read_as_such(tmp_path: Path) -> None:
    folder = build_tiny_llama(tmp_path)
    _packed_only_in_name(folder)
    header = json.dumps({"a.weight": {"dtype": "U8", "shape": [4, 1], "data_offsets": [0, 4]}}).encode()
    (folder / SINGLE).write_bytes(struct.pack("<Q", len(header)) + header + b"1234")
    assert read_model(str(folder)).quantization == "bnb-4bit"


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def _gguf(folder: Path) -> None:
    (folder / "config.json").rename(folder / "model.gguf")


def _not_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def _not_text(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\xfe\x00")


def _pickle(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "pytorch_model.bin")


def _cut(folder: Path) -> None:
    path = folder / SINGLE
    path.write_bytes(path.read_bytes()[:-100])


def _cut_in_the_header(folder: Path) -> None:
    path = folder / SINGLE
    path.write_bytes(path.read_bytes()[:50])


def _empty(folder: Path) -> None:
    (folder / SINGLE).write_bytes(b"")


def _lfs_pointer(folder: Path) -> None:
    (folder / SINGLE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 269060552\n")


def _packed_only_in_name(folder: Path) -> None:
    _edit(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})


def _huge_header(folder: Path) -> None:
    (folder / SINGLE).write_bytes(struct.pack("<Q", 2**62) + b"{}")


def _header_without_types(folder: Path) -> None:
    header = json.dumps({"a": {"data_offsets": [0, 4]}}).encode()
    (folder / SINGLE).write_bytes(struct.pack("<Q", len(header)) + header + b"1234")


def _lost_shard(folder: Path) -> None:
    _shard(folder)[1].unlink()


def _lost_index(folder: Path) -> None:
    _shard(folder)
    (folder / INDEX).unlink()


def _lost_both(folder: Path) -> None:
    _lost_index(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def _other_index(folder: Path) -> None:
    _shard(folder)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "model-00001-of-00004.safetensors"}}))


def _adapter_beside(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def _other_name(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "consolidated.safetensors")


def _index_is_no_index(folder: Path) -> None:
    (folder / SINGLE).unlink()
    (folder / INDEX).write_text('{"weight_map": 3}')


def _index_points_outside(folder: Path) -> None:
    (folder / SINGLE).unlink()
    (folder / INDEX).write_text('{"weight_map": {"a": "../secret.safetensors"}}')


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (_no_config, "has no config.json"),
        (_adapter, "LoRA adapter"),
        (_gguf, "GGUF"),
        (_not_json, "cannot be read as JSON"),
        (_a_list, "must hold a JSON object"),
        (_not_text, "cannot be read as JSON"),
        (_pickle, "only as a pickle"),
        (_cut, "100 bytes are missing at its end"),
        (_cut_in_the_header, "torn"),
        (_empty, "is empty"),
        (_lfs_pointer, "is a Git LFS pointer, not the weights"),
        (_packed_only_in_name, "says bnb-4bit, but its weights are not packed"),
        (_huge_header, "torn"),
        (_header_without_types, "torn"),
        (_lost_shard, r"is not whole: 1 of 2 weight files is missing \(model-00002-of-00002.safetensors\)"),
        (_lost_index, "is not whole: model.safetensors.index.json is missing, which says what is in which file"),
        (_lost_both, r"1 of 2 weight files is missing \(model-00002-.*\) and model.safetensors.index.json is missing"),
        (_other_index, r"is of other files \(model-00001-of-00004.safetensors …\) than those that are there"),
        (_adapter_beside, r"holds a model and a LoRA adapter \(adapter_config.json\)"),
        (_other_name, r"its weights are in consolidated.safetensors, and only model.safetensors or"),
        (_index_is_no_index, "no weight_map"),
        (_index_points_outside, "not in its own folder"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], None], complaint: str) -> None:
    damage(build_tiny_llama(tmp_path))
    with pytest.raises(InputError, match=complaint) as caught:
        read_model(str(tmp_path))
    assert str(tmp_path) in caught.value.message
    assert caught.value.remedy


def test_what_is_half_there_comes_with_its_command(tmp_path: Path) -> None:
    _lost_shard(build_tiny_llama(tmp_path / "m"))
    with pytest.raises(InputError) as caught:
        read_model(str(tmp_path / "m"))
    assert f"`hf download ORG/NAME --local-dir {tmp_path / 'm'}`, which keeps what is whole." in caught.value.remedy
    _cut(build_tiny_llama(tmp_path / "cut"))
    with pytest.raises(InputError) as caught:
        read_model(str(tmp_path / "cut"))
    assert caught.value.remedy.startswith("Delete it and copy it from where it came again")


def test_an_index_that_is_left_over_beside_a_single_file(tmp_path: Path) -> None:
    """Transformers loads the single file, and so do we: what is counted is what is trained."""
    build_tiny_llama(tmp_path)
    whole = read_model(str(tmp_path)).weights_bytes
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "model-00001-of-00004.safetensors"}}))
    spec = read_model(str(tmp_path))
    assert spec.has_weights and spec.weights_bytes == whole


def test_names_that_are_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for name, complaint in [
        ("", "No model was given"),
        ("./nowhere", "no folder ./nowhere"),
        ("/no/such/place", "no folder /no/such/place"),
        ("~/nowhere-at-all", "no folder"),
        ("data/models/mine", "no folder data/models/mine"),
        ("file", "is a file"),
        ("no-such-short-name", "no model of the catalogue"),
    ]:
        with pytest.raises(InputError, match=complaint):
            read_model(name, offline=True)


def test_a_folder_called_like_a_catalogue_model_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phi-4").mkdir()
    assert read_model("phi-4", offline=True).source == "catalogue"
    build_tiny_llama(tmp_path / "phi-4")
    assert read_model("phi-4", offline=True).source == "folder"


def test_header_gives_type_and_shape(tmp_path: Path) -> None:
    build_tiny_llama(tmp_path, hidden=128)
    entry = read_entries(tmp_path / SINGLE)["model.layers.1.mlp.down_proj.weight"]
    assert (entry.dtype, entry.shape, entry.end - entry.start) == ("F32", (128, 256), 4 * 128 * 256)


def test_a_folder_that_may_not_be_entered_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root enters every folder, so the refusal is made.
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(InputError, match="may not be read by you") as caught:
        read_model(str(tmp_path))
    assert str(tmp_path) in caught.value.message
    assert "copy the model" in caught.value.remedy


def _named(folder: Path, names: list[str], *, index: bool = True) -> None:
    """Give a split model's shards other names."""
    placed = {}
    for old, new in zip(_shard(folder, len(names)), names, strict=True):
        old.rename(folder / new)
        placed[old.name] = new
    document = json.loads((folder / INDEX).read_text())
    document["weight_map"] = {tensor: placed[file] for tensor, file in document["weight_map"].items()}
    (folder / INDEX).write_text(json.dumps(document)) if index else (folder / INDEX).unlink()


@pytest.mark.parametrize(
    "names",
    [
        ["model.safetensors-00001-of-00002.safetensors", "model.safetensors-00002-of-00002.safetensors"],
        ["model-00000-of-00002.safetensors", "model-00001-of-00002.safetensors"],
        ["model_0.safetensors", "model_1.safetensors"],
    ],
)
def test_shards_by_other_names_are_a_whole_model(tmp_path: Path, names: list[str]) -> None:
    """As Qwen 3.5, MiniMax M2 and MiMo V2 are published: the index says what is whole."""
    whole = read_model(str(build_tiny_llama(tmp_path))).total_parameters
    _named(tmp_path, names)
    assert read_model(str(tmp_path)).total_parameters == whole
    assert missing_weights([*names, INDEX]) == ""


def test_a_lost_shard_by_another_name_is_named(tmp_path: Path) -> None:
    names = [f"model.safetensors-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    assert missing_weights([names[0], names[2], INDEX]) == f"1 of 3 weight files is missing ({names[1]})"
    assert missing_weights(names) == f"{INDEX} is missing, which says what is in which file"
    from_zero = [f"model-0000{number}-of-00003.safetensors" for number in (0, 2)]
    assert "model-00001-of-00003.safetensors" in missing_weights([*from_zero, INDEX])


def test_an_embedding_of_another_part_is_no_other_vocabulary(tmp_path: Path) -> None:
    """A speech decoder beside the text part has an embedding of its own."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(build_tiny_llama(tmp_path) / SINGLE)
    tensors["decoder.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:7]
    save_file(tensors, tmp_path / SINGLE)
    assert read_model(str(tmp_path)).has_weights
