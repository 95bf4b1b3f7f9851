from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from presets.errors import InputError
from recommender.config.io import (
    dump_config,
    json_schema,
    load_config,
    number_text,
    parse_config,
    portable,
    require_replaceable,
    resolve,
    write_config,
)
from recommender.config.schema import Data, FinetuneConfig, Quantization, Source

QLORA = FinetuneConfig(model="org/model", quantization=Quantization(bits=4))

text = st.text(min_size=1, max_size=20)
configs: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "model": text,
        "method": st.just("qlora"),
        "quantization": st.fixed_dictionaries({"bits": st.sampled_from([4, 8]), "double_quant": st.booleans()}),
        "lora": st.fixed_dictionaries(
            {
                "r": st.integers(1, 4096),
                "lora_alpha": st.floats(1e-6, 1e6),
                "lora_dropout": st.floats(0, 0.999),
                "target_modules": st.one_of(st.just("all-linear"), st.lists(text, max_size=3)),
                "init_lora_weights": st.sampled_from([True, False, "pissa"]),
                "rank_pattern": st.dictionaries(text, st.integers(1, 64), max_size=3),
            }
        ),
        "rope_scaling": st.one_of(st.none(), st.just({"rope_type": "yarn", "factor": 1.5})),
        "data": st.fixed_dictionaries(
            {
                "train": st.lists(st.one_of(text, st.fixed_dictionaries({"path": text})), max_size=3),
                "eval": st.one_of(st.none(), st.lists(text, max_size=2)),
                "columns": st.dictionaries(text, text, max_size=2),
                "packing": st.sampled_from(["auto", True, False]),
            }
        ),
        "training": st.fixed_dictionaries(
            {
                "learning_rate": st.floats(1e-12, 1.0, exclude_min=True),
                "warmup_steps": st.floats(0, 1e5),
                "max_steps": st.one_of(st.none(), st.integers(1, 10**9)),
                "seed": st.integers(0, 2**32 - 1),
            }
        ),
        "run": st.fixed_dictionaries({"name": st.one_of(st.none(), text), "eval_steps": st.sampled_from(["auto", 7])}),
    }
)


@pytest.mark.slow
@given(configs)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_back(raw: dict[str, Any]) -> None:
    config = FinetuneConfig.model_validate(raw)
    assert parse_config(dump_config(config), "c.yaml") == config


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_yaml_as_numbers(value: float) -> None:
    read = yaml.safe_load(number_text(value))
    assert isinstance(read, (int, float))
    assert math.isclose(read, value, rel_tol=0, abs_tol=0)


@pytest.mark.parametrize(("value", "shown"), [(2.9e-4, "2.9e-4"), (2e-5, "2.0e-5"), (0.05, "0.05"), (1.0, "1")])
def test_numbers_look_as_people_write_them(value: float, shown: str) -> None:
    assert number_text(value) == shown


def test_yaml_1_1_rates_without_a_dot_are_numbers() -> None:
    read = parse_config("model: a/b\nquantization: {bits: 4}\ntraining: {learning_rate: 2e-4}\n", "c.yaml")
    assert read.training.learning_rate == 2e-4


def test_the_design_cards_example_loads() -> None:
    card = """
    model: meta-llama/Llama-3.1-8B-Instruct
    revision: null
    method: qlora
    quantization: {bits: 4, quant_type: nf4, double_quant: true}
    lora: {r: 16, lora_alpha: 32, lora_dropout: 0.0, target_modules: all-linear, bias: none, use_rslora: false,
           use_dora: false, init_lora_weights: true, modules_to_save: [], rank_pattern: {}, alpha_pattern: {}}
    rope_scaling: null
    data: {train: [data/train.jsonl], eval: null, eval_fraction: 0.05, format: auto, template: auto,
           columns: {}, max_length: 2048, packing: auto, train_on: assistant}
    training: {learning_rate: 2.9e-4, num_train_epochs: 1, max_steps: null, per_device_train_batch_size: 2,
               gradient_accumulation_steps: 8, lr_scheduler_type: cosine, warmup_steps: 0.05, weight_decay: 0.0,
               optim: adamw_torch_fused, max_grad_norm: 1.0, precision: bf16,
               gradient_checkpointing: true, activation_offloading: false, attn_implementation: sdpa, seed: 42}
    run: {name: null, logging_steps: 1, eval_steps: auto, save_steps: auto, save_total_limit: 2, report_to: [],
          on_end: null}
    """
    config = parse_config(card, "card.yaml")
    assert config.training.learning_rate == 2.9e-4
    assert config.training.effective_batch_size == 16


def test_the_old_name_of_warmup_is_taken() -> None:
    read = parse_config("model: a/b\nquantization: {bits: 4}\ntraining: {warmup_ratio: 0.1}\n", "c.yaml")
    assert read.training.warmup_steps == 0.1


def test_reasons_stand_above_their_values_wrapped() -> None:
    written = dump_config(QLORA, {"lora.r": "Enough for\nthis data. " * 30})
    above, below = written.split("  r: 16\n")
    assert "lora:\n  # Enough for this data. Enough" in above and above.endswith("this data.\n")
    assert max(map(len, written.splitlines())) <= 100
    assert "#" not in below
    assert parse_config(written, "c.yaml") == QLORA


def test_data_that_lies_near_the_file_is_named_relative_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "project" / "configs"
    folder.mkdir(parents=True)
    near, beside, far = folder / "a.jsonl", folder.parent / "data" / "b.jsonl", tmp_path / "c.jsonl"
    rows = folder / "data" / "rows"
    train = [str(near), Source(path=str(beside), weight=2.0), str(far), str(rows), "org/name"]
    raw = {"model": "a/b", "quantization": {"bits": 4}, "data": {"train": train, "eval": [str(near)]}}
    config = FinetuneConfig.model_validate(raw)
    write_config(folder / "config.yaml", config)
    read = load_config(folder / "config.yaml")
    assert read.data.train == [
        "a.jsonl",
        Source(path="../data/b.jsonl", weight=2.0),
        str(far),
        "./data/rows",
        "org/name",
    ]
    assert read.data.eval == ["a.jsonl"]
    assert resolve(read, folder).data.train == train
    # Both moved together.
    moved = tmp_path / "elsewhere"
    (folder.parent).rename(moved)
    assert resolve(load_config(moved / "configs" / "config.yaml"), moved / "configs").data.train[0] == str(
        moved / "configs" / "a.jsonl"
    )


def test_a_file_at_the_root_keeps_whole_paths() -> None:
    config = FinetuneConfig.model_validate(
        {"model": "a/b", "quantization": {"bits": 4}, "data": {"train": ["/home/me/a.jsonl"]}}
    )
    assert portable(config, Path("/")).data.train == ["/home/me/a.jsonl"]
    assert portable(config, Path("/tmp")).data.train == ["/home/me/a.jsonl"]
    assert portable(config, Path("/home/me")).data.train == ["a.jsonl"]


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    raw = {
        "model": "my-model",
        "quantization": {"bits": 4},
        "data": {"train": ["a.jsonl", {"path": "b.jsonl"}, "/c.jsonl"], "eval": ["e.jsonl"], "template": "chat.jinja"},
    }
    config = resolve(FinetuneConfig.model_validate(raw), tmp_path)
    assert config.model == str(tmp_path / "my-model")
    assert config.data.train == [str(tmp_path / "a.jsonl"), Source(path=str(tmp_path / "b.jsonl")), "/c.jsonl"]
    assert config.data.eval == [str(tmp_path / "e.jsonl")]
    assert config.data.template == str(tmp_path / "chat.jinja")
    assert resolve(QLORA, tmp_path) == QLORA


def test_writing_is_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "config.yaml"
    target.write_text("old")
    write_config(target, QLORA)
    assert load_config(target) == QLORA
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    with pytest.raises(InputError, match="cannot be written"):
        write_config(tmp_path / "none" / "config.yaml", QLORA)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_config(tmp_path / "folder", QLORA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "folder"]


def test_the_file_keeps_the_users_mask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_config(tmp_path / "c.yaml", QLORA)
    finally:
        os.umask(before)
    assert (tmp_path / "c.yaml").stat().st_mode & 0o777 == 0o640


def test_the_schema_describes_the_file() -> None:
    schema = json_schema()
    assert schema["required"] == ["model"]
    assert "learning_rate" in schema["$defs"]["Training"]["properties"]
    assert schema["additionalProperties"] is False


def test_what_is_no_file_is_written_into_and_a_link_stays_a_link(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    write_config(pipe, QLORA)
    assert os.read(reader, 65536).decode() == dump_config(QLORA)
    os.close(reader)
    assert pipe.is_fifo()
    real, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    real.write_text("")
    real.chmod(0o600)
    link.symlink_to(real)
    write_config(link, QLORA)
    assert link.is_symlink()
    assert load_config(real) == QLORA
    assert real.stat().st_mode & 0o777 == 0o600


def test_qlora_means_four_bits_where_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text in ("model: m", "model: m\nmethod: qlora\nquantization: {double_quant: false}"):
        path.write_text(text)
        assert load_config(path).quantization.bits == 4
    path.write_text("model: m\nmethod: lora")
    assert load_config(path).quantization.bits is None
    path.write_text("model: m\nquantization: {bits: null}")
    with pytest.raises(InputError, match=r"needs quantization\.bits 4 or 8"):
        load_config(path)


@pytest.mark.parametrize("text", ['{"messages": []}\n{"messages": []}\n', "a book\n", "- model\n", "\x00\x01"])
def test_a_configuration_is_not_written_over_something_else(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    with pytest.raises(InputError, match="is no configuration"):
        require_replaceable(file)


def test_a_configuration_is_written_over_one_or_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("model: a/b\nnot_ours: 1\n")
    (tmp_path / "empty").touch()
    for name in ("old.yaml", "empty", "new.yaml"):
        require_replaceable(tmp_path / name)


def test_data_sets_are_written_with_what_is_said_of_them(tmp_path: Path) -> None:
    train = [Source(path="a.jsonl", weight=2, columns={"text": "t"}, format="text"), "c.jsonl"]
    held = [Source(path="b.jsonl", format="text")]
    config = FinetuneConfig(model="m", data=Data(train=train, eval=held), quantization=Quantization(bits=4))
    written = dump_config(config)
    assert "  train: [{columns: {text: t}, format: text, path: a.jsonl, weight: 2}, c.jsonl]\n" in written
    assert "  eval: [{format: text, path: b.jsonl}]\n" in written
    (tmp_path / "c.yaml").write_text(written)
    found = load_config(tmp_path / "c.yaml")
    assert found == config
    placed = resolve(found, tmp_path)
    assert [source.path for source in placed.data.eval_sources] == [str(tmp_path / "b.jsonl")]
    assert portable(placed, tmp_path) == config
