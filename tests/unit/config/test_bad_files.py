"""Everything wrong with a configuration file: one sentence that names file, line, key and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.io import load_config

HEAD = "model: org/model\nquantization: {bits: 4}\n"

BAD = {
    "unknown key": ("learning_rat: 3", "learning_rat is not a key", "did you mean training.learning_rate?"),
    "unknown key in a section": ("lora: {rr: 3}", "lora.rr is not a key", "lora.r?"),
    "key of another tool": ("cutoff_len: 1024", "cutoff_len is not a key", "data.max_length?"),
    "key in the wrong place": ("learning_rate: 1e-4", "learning_rate is not a key", "training.learning_rate?"),
    "text for a number": ("training: {learning_rate: fast}", "training.learning_rate must be a number", "'fast'"),
    "true for a number": ("training: {learning_rate: yes}", "training.learning_rate must be a number", "true"),
    "text for a count": ("lora: {r: many}", "lora.r must be a whole number", "'many'"),
    "fraction for a count": ("lora: {r: 2.5}", "lora.r must be a whole number", "2.5"),
    "rank 0": ("lora: {r: 0}", "lora.r must be at least 1", "not 0"),
    "batch 0": ("training: {per_device_train_batch_size: 0}", "per_device_train_batch_size must be at least 1", "0"),
    "negative rate": ("training: {learning_rate: -1e-4}", "training.learning_rate must be greater than 0", "-0.0001"),
    "rate not a number": ("training: {learning_rate: .nan}", "must be a finite number", "nan"),
    "evaluation every 0 steps": ("run: {eval_steps: 0}", "run.eval_steps must be auto or at least 1", "not 0"),
    "unknown method": ("method: dora", "method must be qlora, lora or full", "'dora'"),
    "contradiction": ("method: lora", "method lora trains 16-bit weights", "quantization.bits must be null"),
    "one of two modes": ("data: {packing: maybe}", "data.packing must be auto or true or false", "'maybe'"),
    "a section that is not one": ("lora: 5", "lora must be a section of keys", "not 5"),
    "list item": ("data: {train: [5]}", "data.train[0] must be text", "5"),
    "key in a list item": ("data: {train: [{path: a, wight: 2}]}", "data.train[0] has a key", "wight"),
    "value in a list item": (
        "data: {train: [{path: x, weight: -1}]}",
        "data.train[0].weight must be greater than 0, not -1",
        "line 3",
    ),
    "list item without its path": ("data: {train: [{weight: 1}]}", "data.train[0].path is missing", "line 3"),
    "the old name of a key in a section": (
        "rope_scaling: {type: yarn}",
        "rope_scaling.type is not a key",
        "did you mean rope_scaling.rope_type?",
    ),
    "a word that a key does not take": (
        "rope_scaling: {rope_type: foo, factor: 2}",
        "rope_scaling.rope_type must be linear, dynamic or yarn",
        "'foo'",
    ),
    "inside a mapping": ("lora: {rank_pattern: {q_proj: x}}", "lora.rank_pattern.q_proj must be a whole number", "'x'"),
    "rank 0 of a layer": ("lora: {rank_pattern: {q_proj: 0}}", "lora.rank_pattern.q_proj must be at least 1", "not 0"),
    "alpha 0 of a layer": (
        "lora: {alpha_pattern: {q_proj: 0}}",
        "alpha_pattern.q_proj must be greater than 0",
        "not 0",
    ),
    "true for a rank": ("lora: {rank_pattern: {q_proj: yes}}", "lora.rank_pattern.q_proj must be a number", "true"),
    "old and new name": (
        "training: {warmup_ratio: 0.1, warmup_steps: 3}",
        "training.warmup_ratio is the old name of training.warmup_steps",
        "one of them",
    ),
    "given twice": ("lora: {r: 8}\nlora: {r: 16}", "line 4: lora is given twice", "line 3"),
    "a number as key": ("1: 2", "Keys must be text", "1"),
    "not YAML": ("lora: {r: 8", "is not YAML", "line"),
}


@pytest.mark.parametrize("case", BAD)
def test_the_sentence_names_the_file_the_key_and_what_is_right(tmp_path: Path, case: str) -> None:
    text, says, offers = BAD[case]
    (tmp_path / "config.yaml").write_text(HEAD + text + "\n")
    with pytest.raises(InputError) as caught:
        load_config(tmp_path / "config.yaml")
    assert "config.yaml" in caught.value.message
    assert says in caught.value.message
    assert offers in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_the_line_is_that_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(HEAD + "training:\n  seed: 1\n  learning_rate: fast\n")
    with pytest.raises(InputError, match=r"c\.yaml, line 5: training\.learning_rate"):
        load_config(tmp_path / "c.yaml")


def test_several_problems_are_all_told(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(HEAD + "lora: {r: 0, lora_alpha: -1}\nsped: 3\n")
    with pytest.raises(InputError, match="3 problems") as caught:
        load_config(tmp_path / "c.yaml")
    told = f"{caught.value.message}\n{caught.value.detail}"
    assert all(key in told for key in ("lora.r ", "lora.lora_alpha ", "sped "))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"- 1\n", "must hold keys with values"),
        (b"just text", "must hold keys with values"),
        (b"lora: {}\n", "model is missing"),
        (b"model: caf\xe9\n", "not UTF-8"),
        (b"model: " + b"[" * 5000, "nested too deeply"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(InputError, match=says):
        load_config(tmp_path / "c.yaml")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no configuration file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder"):
        load_config(tmp_path)
