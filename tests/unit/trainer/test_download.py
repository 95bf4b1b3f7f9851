"""Downloading a model from a hub on this machine: what is taken, what is told, and what is said when it fails."""

import json
from pathlib import Path

import pytest

from recommender.config.schema import Data, FinetuneConfig, Quantization
from recommender.machine.facts import Device
from recommender.model.reader import read_model
from tests.fixtures.fake_hub import FakeRepo, fake_hub
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.models.download import wanted
from trainer.preflight.checks import Subject, check_download
from trainer.process.children import ask, follow

CPU = Device(kind="cpu", name="cpu", free_bytes=2**33, total_bytes=2**33)


def repo_of(folder: Path) -> FakeRepo:
    bodies = {path.name: path.read_bytes() for path in folder.iterdir()}
    config = json.loads(bodies.pop("config.json"))
    sizes = {name: len(body) for name, body in bodies.items()} | {"config.json": len(json.dumps(config))}
    return FakeRepo(config, {**sizes, "pytorch_model.bin": 9, "onnx/model.safetensors": 9}, bodies=bodies)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "hub"


def subject(model: str, tmp_path: Path) -> Subject:
    spec = read_model(model)
    config = FinetuneConfig(model=model, method="lora", quantization=Quantization(bits=None), data=Data())
    return Subject(config, CPU, spec, None, None, tmp_path, lambda: False)  # type: ignore[arg-type]  # neither rows nor an estimate are asked for


def test_only_what_training_reads_is_taken() -> None:
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "tokenizer.json", "chat_template.jinja"]
    extra = ["consolidated.safetensors", "onnx/model.safetensors", "README.md", "original/params.json", "x.gguf"]
    assert set(wanted(names + extra)) == set(names) - {"pytorch_model.bin"}
    assert wanted(["consolidated.safetensors"]) == ("consolidated.safetensors",)


@pytest.mark.process
def test_a_model_of_the_hub_comes_into_the_cache_with_its_progress(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_tiny_llama(tmp_path / "made")
    with fake_hub({"some/model": repo_of(built)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        steps = check_download(subject("some/model", tmp_path))
        told = []
        while True:
            try:
                told.append(next(steps))
            except StopIteration as end:
                status, detail, _ = end.value
                break
    assert status == "ok", detail
    total = sum(path.stat().st_size for path in built.iterdir() if path.name != "config.json")
    assert told[-1][0] == told[-1][1] >= total
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    here = read_model("some/model")
    assert here.has_weights
    assert here.path is not None
    assert (here.path / "model.safetensors").read_bytes() == (built / "model.safetensors").read_bytes()
    assert not (here.path / "pytorch_model.bin").exists()


@pytest.mark.process
def test_a_refusal_is_one_message(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub({}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        answer = ask("trainer.models.download", "some/missing", device=None)
    assert answer.code == 2
    assert answer.document is not None
    assert "There is no model some/missing on the hub" in answer.document["reason"]
    assert answer.errors == ""


@pytest.mark.process
def test_leaving_a_child_ends_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = FakeRepo({}, answers=False)
    with fake_hub({"some/model": silent}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        looks = iter([False, False, True])
        answer = ask("trainer.models.download", "some/model", device=None, cancelled=lambda: next(looks))
        assert answer.cancelled
        assert answer.code < 0
    said = follow("trainer.models.download", "--help", device=None)
    with pytest.raises(StopIteration) as end:
        next(said)
    assert end.value.value.code == 0
