"""Bad input, as the issue lists it: one clear message, exit 2, nothing on stdout, no traceback."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.tiny_model import build_tiny_llama
from tests.functional.conftest import LORA_WIZARD, Run, assert_bad_input

GOOD_ROW = {"instruction": "Say hi.", "input": "", "output": "hi"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_llama(tmp_path_factory.mktemp("model"))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file(run: Run, model: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "empty.jsonl", "")
    assert_bad_input(run("data", file, "--model", model), "empty.jsonl", "empty")


def test_a_file_without_rows(run: Run, model: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "none.json", "[]")
    assert_bad_input(run("data", file, "--model", model), "none.json", "row")


def test_a_missing_file_names_the_nearest(run: Run, model: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", json.dumps(GOOD_ROW) + "\n")
    assert_bad_input(run("data", "trian.jsonl", "--model", model), "trian.jsonl", "train.jsonl")


def test_invalid_json_names_the_line_and_shows_its_start(run: Run, model: Path, tmp_path: Path) -> None:
    file = write(
        tmp_path / "bad.jsonl", json.dumps(GOOD_ROW) + '\n{"instruction": oops}\n' + json.dumps(GOOD_ROW) + "\n"
    )
    done = run("data", file, "--model", model, "--json")
    assert done.returncode == 1, "a bad row is a stop until the person leaves it out"
    document = json.loads(done.stdout)
    assert document["bad_row_count"] == 1
    bad = document["bad_rows"][0]
    assert bad["line"] == 2
    assert bad["start"].startswith('{"instruction": oops')
    assert document["rows"] == 2
    left_out = run("data", file, "--model", model, "--set", "data.skip_bad_rows=true", "--json")
    assert left_out.returncode == 0, left_out.stderr
    assert json.loads(left_out.stdout)["bad_row_count"] == 1


def test_a_row_that_lacks_a_column(run: Run, model: Path, tmp_path: Path) -> None:
    rows = [GOOD_ROW, {"instruction": "no answer"}, GOOD_ROW]
    file = write(tmp_path / "lacks.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    done = run("data", file, "--model", model, "--json")
    assert done.returncode == 1
    bad = json.loads(done.stdout)["bad_rows"][0]
    assert bad["line"] == 2
    assert "output" in bad["reason"]


def test_a_file_that_is_not_utf8(run: Run, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "latin.csv"
    file.write_bytes("instruction,output\ncafé,très bien\n".encode("latin-1"))
    assert_bad_input(run("data", file, "--model", model), "latin.csv", "UTF-8")


def test_a_model_folder_without_a_configuration(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    assert_bad_input(run("recommend", "--model", folder), "config.json")


def test_a_pickle_only_checkpoint(run: Run, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_bytes((model / "config.json").read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    assert_bad_input(run("recommend", "--model", folder), "safetensors")


def test_an_unknown_architecture(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    write(folder / "config.json", json.dumps({"architectures": ["OddballForCausalLM"], "model_type": "oddball"}))
    done = run("recommend", "--model", folder)
    assert done.returncode == 2
    assert "ddball" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda text: text + "\nlearning_rat: 3\n", ("learning_rat", "learning_rate")),
        (lambda text: text.replace("r: 16", "r: 0"), ("lora.r",)),
        (
            lambda text: text.replace("per_device_train_batch_size: 2", "per_device_train_batch_size: 0"),
            ("batch_size",),
        ),
        (lambda text: text.replace("learning_rate: 2.0e-4", "learning_rate: -1"), ("learning_rate",)),
        (lambda text: text.replace("learning_rate: 2.0e-4", "learning_rate: fast"), ("learning_rate", "fast")),
        (lambda text: text.replace("method: qlora", "method: lora"), ("method", "bits")),
        (lambda text: text + "\n  - broken: [", ("yaml",)),
    ],
)
def test_a_bad_configuration(
    run: Run, model: Path, tmp_path: Path, edit: Callable[[str], str], words: tuple[str, ...]
) -> None:
    good = (
        f"model: {model}\nmethod: qlora\nquantization: {{bits: 4}}\nlora:\n  r: 16\n"
        "training:\n  learning_rate: 2.0e-4\n  per_device_train_batch_size: 2\n"
    )
    assert run("estimate", write(tmp_path / "good.yaml", good), "--gpu-memory", "24GiB").returncode == 0
    bad = write(tmp_path / "bad.yaml", edit(good))
    assert bad.read_text() != good
    assert_bad_input(run("estimate", bad, "--gpu-memory", "24GiB"), "bad.yaml", *words)


def test_an_unknown_gpu_offers_the_nearest(run: Run, model: Path) -> None:
    assert_bad_input(run("recommend", "--model", model, "--gpu", "RTX 4099"), "RTX 4099", "RTX 4090")


def test_no_terminal(run: Run) -> None:
    assert_bad_input(run(), "terminal", "--plain")


def test_a_misspelt_command(run: Run) -> None:
    assert_bad_input(run("recomend"), "recomend", "recommend")


def test_files_of_our_names_in_the_current_folder_break_nothing(run: Run, model: Path, tmp_path: Path) -> None:
    for name in ("trainer.py", "tui.py", "presets.py", "recommender.py"):
        write(tmp_path / name, "raise SystemExit('shadowed')\n")
    (tmp_path / "datasets").mkdir()
    done = run("recommend", "--model", model, "--gpu-memory", "8GiB", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"]["model"] == str(model)


def test_a_plan_that_is_written_carries_its_reasons_and_is_read_again(run: Run, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "a plan ü.yaml"
    done = run("recommend", "--model", model, "--gpu-memory", "8GiB", "-o", file, "--json")
    assert done.returncode == 0, done.stderr
    why = json.loads(done.stdout)["reasons"]["lora.r"]["why"]
    assert f"# {' '.join(why.split())}" in file.read_text(encoding="utf-8")
    priced = run("estimate", file, "--gpu-memory", "8GiB", "--json")
    assert priced.returncode == 0, priced.stderr


def test_estimate_trace_refuses_what_does_not_trace_with_the_reason(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "mixture"
    model.mkdir()
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 512}
    mixture = {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 4}
    write(model / "config.json", json.dumps({**sizes, **mixture, "num_attention_heads": 4, "num_key_value_heads": 4}))
    settings = "method: lora\nquantization: {bits: null}\ntraining: {activation_offloading: true}\n"
    file = write(tmp_path / "plan.yaml", f"model: {model}\n{settings}")
    assert_bad_input(run("estimate", file, "--gpu-memory", "24GiB", "--trace"), "host memory", "formula")


def test_trained_tokens_mean_something_to_a_trace_only(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "plan.yaml", "model: llama-3.1-8b-instruct\n")
    assert_bad_input(
        run("estimate", file, "--gpu-memory", "24GiB", "--trained-tokens", "5"), "--trained-tokens", "--trace"
    )


def test_a_file_in_place_of_the_folder_of_runs(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "runs", "")
    for command in (["runs"], ["watch", "--plain"], ["stop", "latest"], ["rm", "any"]):
        assert_bad_input(run("--runs", file, *command), str(file), "--runs")


@pytest.mark.parametrize("command", ["schema", "presets"])
def test_a_reader_that_goes_away_is_no_fault(command: str) -> None:
    read, write_end = os.pipe()
    os.close(read)
    with os.fdopen(write_end, "wb") as pipe:
        done = subprocess.run(
            [LORA_WIZARD, command], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=600, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("recommend", "--model", "MODEL", "--data", ""), "No data file was given."),
        (("recommend", "--model", "MODEL", "--gpu", ""), "No GPU was given."),
        (("recommend", "--model", "MODEL", "--gpu-memory", ""), "is not a size"),
        (("recommend", "--model", ""), "No model was given."),
        (("estimate", ""), "No configuration file was given."),
        (("data", "", "--model", "MODEL"), "No data file was given."),
    ],
)
def test_an_empty_name_is_no_name(run: Run, model: Path, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    write(tmp_path / "rows.jsonl", json.dumps(GOOD_ROW) + "\n")
    assert_bad_input(run(*(str(model) if word == "MODEL" else word for word in arguments)), says)


def test_an_empty_name_in_a_configuration_is_no_folder(run: Run, model: Path, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", json.dumps(GOOD_ROW) + "\n")
    file = write(tmp_path / "c.yaml", f"model: {model}\nmethod: lora\ndata: {{train: ['']}}\n")
    assert_bad_input(run("estimate", file), "No data file was given.")


def test_a_quantised_model_is_refused_by_name_before_its_data_is_read(run: Run, tmp_path: Path) -> None:
    folder = build_tiny_llama(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", json.dumps({**config, "quantization_config": {"quant_method": "awq"}}))
    file = write(tmp_path / "rows.jsonl", json.dumps(GOOD_ROW) + "\n")
    done = run("recommend", "--model", folder, "--data", file)
    assert_bad_input(done, str(folder), "its weights are quantised (AWQ)")
    assert "reading" not in done.stderr
