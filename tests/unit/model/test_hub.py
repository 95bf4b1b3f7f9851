import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from recommender.hub.connection import reachable
from recommender.hub.errors import HubMissing, HubRefused, HubUnreachable
from recommender.model.reader import read_model
from recommender.model.sources import hub as hub_module
from recommender.model.sources.missing_files import INDEX
from tests.fixtures.fake_hub import COMMIT, FakeHub, FakeRepo, fake_hub

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 448,
    "tie_word_embeddings": True,
}
TOTAL = 102_720
EMBEDDING = 448 * 64
SHARDS = {"model-00001-of-00002.safetensors": 7, "model-00002-of-00002.safetensors": 8}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with one model of each kind, and a cache and a token store that are empty."""
    repos = {
        "o/good": FakeRepo(LLAMA, parameters=TOTAL),
        "o/copied-head": FakeRepo(LLAMA, parameters=TOTAL + EMBEDDING),
        "o/sharded": FakeRepo(
            LLAMA,
            files={"config.json": 1, INDEX: 1, **SHARDS},
        ),
        "o/no-index": FakeRepo(LLAMA, files={"config.json": 1, **SHARDS}),
        "o/lost-shard": FakeRepo(LLAMA, files={"config.json": 1, INDEX: 1, "model-00002-of-00002.safetensors": 8}),
        "o/other-name": FakeRepo(LLAMA, files={"config.json": 1, "consolidated.safetensors": 8}),
        "o/lora": FakeRepo(LLAMA, files={"adapter_config.json": 1, "adapter_model.safetensors": 8}),
        "o/both": FakeRepo(LLAMA, files={"config.json": 1, "adapter_config.json": 1, "model.safetensors": 8}),
        "o/cut": FakeRepo(LLAMA, bodies={"config.json": b'{"model_type": "lla'}),
        "o/not-text": FakeRepo(LLAMA, bodies={"config.json": b"\xff\xfe\x00\xd8"}),
        "o/a-list": FakeRepo(LLAMA, bodies={"config.json": b"[1]"}),
        "o/gated": FakeRepo(LLAMA, gated=True),
        "meta-llama/Llama-3.1-8B-Instruct": FakeRepo(LLAMA, gated=True),
        "o/pickle": FakeRepo(LLAMA, files={"config.json": 1, "pytorch_model.bin": 1}),
        "o/gguf": FakeRepo(LLAMA, files={"model.gguf": 1}),
        "o/encoder": FakeRepo({**LLAMA, "architectures": ["BertModel"]}),
        "o/silent": FakeRepo(LLAMA, answers=False),
    }
    for name in ("HF_HUB_CACHE", "XDG_CACHE_HOME", "HF_TOKEN_PATH"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    with fake_hub(repos) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def test_reads_facts_and_downloads_nothing_large(hub: FakeHub, tmp_path: Path) -> None:
    spec = read_model("o/good")
    assert (spec.source, spec.total_parameters, spec.parameters_exact) == ("hub", TOTAL, True)
    assert (spec.revision, spec.weights_bytes, spec.gated, spec.has_weights) == (COMMIT, 1000, False, False)
    assert not any("safetensors" in line for line in hub.asked)
    downloaded = [
        path for path in (tmp_path / "HF_HUB_CACHE").rglob("*") if "snapshots" in path.parts and path.is_file()
    ]
    assert [path.name for path in downloaded] == ["config.json"]


def test_a_stored_copy_of_the_head_is_still_the_exact_model(hub: FakeHub) -> None:
    spec = read_model("o/copied-head")
    assert (spec.total_parameters, spec.parameters_exact) == (TOTAL, True)


def test_what_nothing_is_trained_over_names_the_model_of_its_card(hub: FakeHub) -> None:
    hub.repos["o/copy"] = FakeRepo({**LLAMA, "quantization_config": {"quant_method": "gptq"}}, base="maker/model-9b")
    assert "(GPTQ), and nothing can be trained over that form. Take maker/model-9b," in read_model("o/copy").unsupported


def test_adds_the_shards_up(hub: FakeHub) -> None:
    assert read_model("o/sharded").weights_bytes == 15


def test_gated_without_a_token(hub: FakeHub) -> None:
    with pytest.raises(HubRefused, match="gated, and there is no token") as caught:
        read_model("o/gated")
    assert "hf auth login" in caught.value.remedy and "/o/gated" in caught.value.remedy


def test_gated_with_a_token_that_has_not_accepted(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "someone-else")
    with pytest.raises(HubRefused, match="your token has not been given access"):
        read_model("o/gated")


def test_gated_with_access(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token)
    spec = read_model("o/gated")
    assert spec.gated and spec.access == ""


def test_gated_in_the_catalogue_can_be_planned_and_says_what_is_missing(hub: FakeHub) -> None:
    spec = read_model("llama-3.1-8b-instruct")
    assert (spec.source, spec.total_parameters) == ("catalogue", 8_030_261_248)
    assert "gated" in spec.access and "hf auth login" in spec.access


@pytest.mark.parametrize(
    ("name", "revision", "complaint"),
    [
        ("o/nothing", None, "There is no model o/nothing"),
        ("o/good", "v9", "no revision 'v9'"),
        ("o/pickle", None, "no safetensors weights"),
        ("o/gguf", None, "no config.json"),
        ("o/lora", None, "o/lora holds a LoRA adapter, not a model"),
        ("o/both", None, "o/both holds a LoRA adapter and a model, and Transformers would load both together"),
        ("o/no-index", None, "not whole on the hub: model.safetensors.index.json is missing"),
        ("o/lost-shard", None, r"not whole on the hub: 1 of 2 weight files is missing \(model-00001-of-00002"),
        ("o/other-name", None, r"not whole on the hub: its weights are in consolidated.safetensors"),
        ("o/cut", None, r"config.json of o/cut came, and cannot be read as JSON"),
        ("o/not-text", None, r"config.json of o/not-text came, and cannot be read as JSON"),
        ("o/a-list", None, r"config.json of o/a-list is no JSON object"),
        ("o o/bad", None, "is no hub id"),
    ],
)
def test_what_the_hub_does_not_have(hub: FakeHub, name: str, revision: str | None, complaint: str) -> None:
    with pytest.raises(HubMissing, match=complaint) as caught:
        read_model(name, revision=revision)
    assert caught.value.remedy


def test_an_encoder_is_refused(hub: FakeHub) -> None:
    with pytest.raises(InputError, match="not a causal language model"):
        read_model("o/encoder")


def test_offline_asks_nobody(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubUnreachable, match="not on this disk"):
        read_model("o/good")
    assert hub.asked == []
    assert not reachable()


def test_a_hub_that_does_not_answer_is_given_up(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_ANSWER_SECONDS", 0.5)
    # The silent one never answers, so that it is given up is all there is to see.
    with pytest.raises(HubUnreachable, match=r"127\.0\.0\.1.* cannot be reached"):
        read_model("o/silent")


def test_nobody_listens(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(HubUnreachable):
        read_model("o/good")


def test_a_name_that_nobody_resolves_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    hung: list[bool] = []

    def hang(*_arguments: Any, **_options: Any) -> socket.socket:
        hung.append(let_go.wait(60))
        raise OSError

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("recommender.hub.connection.socket.create_connection", hang)
    assert not reachable(0.2)
    assert hung == [], "it waited for the name"
    let_go.set()


def test_the_proxy_is_what_must_answer(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    assert not reachable(1)
    monkeypatch.setenv("http_proxy", hub.address)
    assert reachable(1)
