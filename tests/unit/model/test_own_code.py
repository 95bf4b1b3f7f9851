"""Models with Python code of their own: known by their configuration and weights, without running any of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from presets.errors import InputError
from recommender.config.edit import apply
from recommender.config.io import parse_config, resolve
from recommender.config.schema import FinetuneConfig
from recommender.model.own_code import agreed, checked_by_count, code_files
from recommender.model.sources.folder import read_folder
from recommender.model.spec import ModelSpec
from tests.fixtures.own_code import bring_own_code
from tests.fixtures.tiny_model import build_tiny_llama


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bring_own_code(build_tiny_llama(tmp_path / "mine"), tmp_path / "was-run")


def read(folder: Path) -> ModelSpec:
    return read_folder(folder, name=str(folder))


def test_it_is_priced_as_a_llama_of_its_sizes_and_nothing_of_it_runs(folder: Path, tmp_path: Path) -> None:
    plain = read(build_tiny_llama(tmp_path / "plain"))
    spec = read(folder)
    assert spec.own_code == ("configuration_mine.py", "modeling_mine.py")
    assert not spec.unsupported
    assert (spec.linears, spec.total_parameters) == (plain.linears, plain.total_parameters)
    assert not (tmp_path / "was-run").exists()


def test_other_layers_than_llamas_cannot_be_priced(folder: Path) -> None:
    weights = load_file(str(folder / "model.safetensors"))
    renamed = {name.replace("gate_proj", "w1"): tensor for name, tensor in weights.items()}
    save_file(renamed, str(folder / "model.safetensors"))
    assert "not laid out as Llama's (gate_proj is not)" in read(folder).unsupported


def test_without_weights_nothing_says_what_its_layers_are(folder: Path) -> None:
    spec = read(folder)
    assert checked_by_count(spec, spec.total_parameters) == spec
    assert "not laid out" in checked_by_count(spec, 2 * spec.total_parameters).unsupported
    (folder / "model.safetensors").unlink()
    assert "without its weights" in read(folder).unsupported


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("org/other--modeling_mine.MineForCausalLM", "another repository (org/other)"),
        ("../../etc/x.Y", "no module and class"),
        ("modeling_mine", "no module and class"),
    ],
)
def test_code_from_elsewhere_is_refused(folder: Path, reference: str, why: str) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": reference}}))
    spec = read(folder)
    assert why in spec.unsupported and spec.own_code == ()
    with pytest.raises(InputError, match="cannot be used"):
        spec.require_supported()


def test_a_tokenizer_may_name_two_files_or_none() -> None:
    found = code_files({"auto_map": {"AutoConfig": "a.A", "AutoTokenizer": ["t.T", None]}})
    assert found == ("a.py", "t.py")


def config(**values: Any) -> FinetuneConfig:
    return FinetuneConfig.model_validate({"model": "org/mine", "method": "lora", **values})


def test_the_yes_names_the_model(folder: Path) -> None:
    spec = read(folder)
    with pytest.raises(InputError, match="would run as you"):
        agreed(config(), spec)
    assert agreed(config(trust_remote_code="org/mine"), spec)
    with pytest.raises(InputError, match="agrees to the code of org/mine, but the model is org/other"):
        apply(config(trust_remote_code="org/mine"), {"model": "org/other"})
    with pytest.raises(InputError, match="must be the name of the model whose code may run"):
        parse_config("model: org/mine\nmethod: lora\ntrust_remote_code: true\n", "c.yaml")


def test_a_model_that_needs_no_code_never_runs_any(tmp_path: Path) -> None:
    plain = read(build_tiny_llama(tmp_path / "plain"))
    assert not agreed(config(trust_remote_code="org/mine"), plain)


def test_a_folder_beside_the_file_stays_the_one_that_was_agreed_to(folder: Path) -> None:
    text = "model: mine\nmethod: lora\ntrust_remote_code: mine\n"
    found = resolve(parse_config(text, "c.yaml"), folder.parent)
    assert found.model == found.trust_remote_code == str(folder)
