"""Commands for other programs: exact, and none that would load a result wrongly."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainer.results.export_targets import only_over_its_base, unknown_to_llama_cpp, unknown_to_vllm, vllm_rank
from tui.commands.results import what_next
from tui.dashboard.ending import loading_lines
from tui.dashboard.export_commands import serving


def ended(path: str = "/runs/a", **config: Any) -> Any:
    whole = {"model": "org/m", "method": "lora", "lora": {"r": 16}, **config}
    return SimpleNamespace(
        end={"adapter": "adapter"},
        path=Path(path),
        adapter=Path(path) / "adapter",
        run_id="a",
        config=whole,
        start={},
        argument=f"{path}",
    )


def told(snapshot: Any) -> str:
    return "\n".join(f"{command}  {does}" for command, does in serving(snapshot))


def test_a_plain_adapter_is_served_as_it_is() -> None:
    said = told(ended())
    assert "vllm serve org/m --enable-lora --max-lora-rank 16 --lora-modules tuned=/runs/a/adapter  serves it" in said
    assert "python convert_lora_to_gguf.py /runs/a/adapter  makes" in said
    assert "hf upload YOUR-NAME/a /runs/a/adapter" in said


def test_a_base_in_a_folder_is_named_to_llama_cpp_and_odd_paths_are_quoted() -> None:
    said = told(ended("/my runs/a", model="/models/m x"))
    assert "convert_lora_to_gguf.py '/my runs/a/adapter' --base '/models/m x'" in said
    assert "tuned='/my runs/a/adapter'" in said


@pytest.mark.parametrize(
    ("config", "vllm", "llama"),
    [
        ({"lora": {"r": 8, "use_dora": True}}, "magnitude", "magnitude"),
        ({"lora": {"r": 8, "modules_to_save": ["lm_head"]}}, "modules_to_save", "modules_to_save"),
        ({"lora": {"r": 8, "bias": "all"}}, "biases", "biases"),
        ({"lora": {"r": 8, "init_lora_weights": "pissa_niter_16"}}, "pissa_niter_16 moved", "pissa_niter_16 moved"),
        ({"lora": {"r": 8, "init_lora_weights": "loftq"}}, "4 bits", "4 bits"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "stretched", "stretched"),
        ({"lora": {"r": 8, "rank_pattern": {"q_proj": 4}}}, "one scale", ""),
        ({"lora": {"r": 8, "use_rslora": True}}, "", "alpha / r"),
        ({"lora": {"r": 8, "alpha_pattern": {"q_proj": 4}}}, "one scale", "alpha / r"),
        ({"lora": {"r": 1024}}, "up to 512", ""),
        ({"lora": {"r": 8}}, "", ""),
    ],
)
def test_what_a_program_would_misread_is_merged_first(config: dict[str, Any], vllm: str, llama: str) -> None:
    for why, wanted in ((unknown_to_vllm(config), vllm), (unknown_to_llama_cpp(config), llama)):
        assert (wanted in why) if wanted else not why
    said = told(ended(**config))
    assert ("vllm serve DIR" in said) is bool(vllm)
    assert ("convert_hf_to_gguf.py DIR" in said) is bool(llama)


def test_what_goes_with_no_plainly_loaded_base_is_loaded_merged() -> None:
    loftq: dict[str, Any] = {"lora": {"r": 8, "init_lora_weights": "loftq"}}
    assert only_over_its_base(loftq)
    lines = "\n".join(loading_lines(ended(**loftq)))
    assert "lora-wizard merge /runs/a -o DIR" in lines and "PeftModel" not in lines
    assert "PeftModel" in "\n".join(loading_lines(ended()))


@pytest.mark.parametrize(("r", "taken"), [(1, 8), (16, 16), (17, 32), (300, 320), (512, 512)])
def test_vllm_takes_the_next_rank_that_it_knows(r: int, taken: int) -> None:
    assert vllm_rank({"lora": {"r": r}}) == taken


def test_code_of_its_own_is_said_to_whoever_loads_it() -> None:
    snapshot = ended()
    snapshot.start = {"own_code": {"modeling_m.py": "ab"}}
    assert "vllm serve org/m --trust-remote-code --enable-lora" in told(snapshot)
    assert "trust_remote_code=True" in "\n".join(loading_lines(snapshot))
    assert what_next(Path("/x y/m"), own_code=True)[0] == "serve it: vllm serve '/x y/m' --trust-remote-code"
