"""Names of Transformers, TRL and PyTorch that are not public: an upgrade that changes one is told by its name."""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fixtures.child import run_python

ROOT = Path(__file__).parents[4]
WORKER = ROOT / "trainer" / "worker"
HOME = WORKER / "upstream.py"
EXPERTS = WORKER / "setup" / "experts"
OF_EXPERTS = {
    "_register_custom_module": ("peft", "tuners/lora/config.py"),
    "_experts_implementation": ("transformers", "configuration_utils.py"),
    "_apply_gate": ("transformers", "integrations/moe.py"),
    "_process_model_after_weight_loading": ("transformers", "quantizers/base.py"),
    "_original_source_patterns": ("transformers", "core_model_loading.py"),
    "_original_target_patterns": ("transformers", "core_model_loading.py"),
    "_is_hf_initialized": ("transformers", "modeling_utils.py"),
    "_parameters": ("torch", "nn/modules/module.py"),
}
"""Names that a mixture's packed experts lean on, in that room alone, each with the file of the library that has it."""

CHANGES = """
import json
from torch.optim.lr_scheduler import LRScheduler
from transformers import Trainer
from trl import SFTTrainer
from presets.errors import InputError
from trainer.worker.stages import STAGES
from trainer.worker.upstream import changes_in, require_known

found = {name: changes_in(stage.trainer) for name, stage in STAGES.items()}
norm, last, save = Trainer._get_grad_norm, Trainer._maybe_log_save_evaluate, Trainer._save_checkpoint


def renamed():
    Trainer._gradient_norm = norm
    del Trainer._get_grad_norm


def unused():
    def _run_epoch(self):
        return self._another_norm()

    Trainer._run_epoch = _run_epoch


def narrower():
    def _save_checkpoint(self, model):
        return norm

    SFTTrainer._save_checkpoint = _save_checkpoint


class Scheduler:
    def get_last_lr(self):
        return self.last_rates


changed = {}
for change in (renamed, narrower, unused):
    kept = {kind: dict(vars(kind)) for kind in (Trainer, SFTTrainer)}
    change()
    changed[change.__name__] = changes_in(SFTTrainer)
    if change is renamed:
        try:
            require_known(SFTTrainer)
        except InputError as refused:
            said = [refused.message, refused.remedy]
    for kind, names in kept.items():
        for name in set(vars(kind)) - set(names):
            delattr(kind, name)
        for name, value in names.items():
            if vars(kind).get(name) is not value:
                setattr(kind, name, value)
changed["scheduler"] = changes_in(SFTTrainer, Scheduler)
print(json.dumps({"now": found, "changed": changed, "said": said, "after": changes_in(SFTTrainer)}))
"""


@pytest.mark.torch
def test_each_name_is_there_and_a_changed_one_is_refused_with_what_to_do() -> None:
    found = run_python(CHANGES)
    assert found["now"] == {"sft": []}, "an upgrade has changed what trainer/worker/upstream.py leans on"
    assert found["after"] == []
    assert found["changed"]["renamed"] == ["no trainer has the method _get_grad_norm any more"]
    assert found["changed"]["narrower"] == [
        "the trainer's method _save_checkpoint does not take trial any more, but model"
    ]
    # What only the replaced loop had used is missed by name, the gradient's norm above all.
    assert "the trainer's method _get_grad_norm is not called any more" in found["changed"]["unused"]
    assert found["changed"]["scheduler"] == ["PyTorch's LRScheduler has no attribute _last_lr any more"]
    message, remedy = found["said"]
    assert re.search(r"cannot train safely with torch .*, transformers .*, trl .*: no trainer has the method", message)
    assert "constraints.txt" in remedy


def test_no_other_file_of_the_worker_uses_them() -> None:
    private = re.compile(r"\b(?!self\b|cls\b)[a-z][a-z_.]*(?<!super\(\))\._[a-z]\w*|super\(\)\._[a-z]\w*")
    ours = re.compile(r"\b(sys|os)\._")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in sorted(WORKER.rglob("*.py"))
        if path != HOME
        for match in private.finditer(path.read_text(encoding="utf-8"))
        if not ours.match(match.group())
        if not (path.parent == EXPERTS and match.group().rpartition(".")[2] in OF_EXPERTS)
    ]
    names = set(re.findall(r'"(_[a-z_]+|maybe_activation_offload_context)"', HOME.read_text(encoding="utf-8")))
    assert len(names) > 10
    leaked = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted(WORKER.rglob("*.py"))
        if path != HOME
        for name in names
        if re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))
    ]
    assert found + leaked == []


@pytest.mark.parametrize("name", OF_EXPERTS)
def test_names_that_packed_experts_lean_on_are_there(name: str) -> None:
    library, file = OF_EXPERTS[name]
    found = find_spec(library)
    assert found is not None and found.origin is not None
    assert re.search(rf"\b{name}\b", (Path(found.origin).parent / file).read_text(encoding="utf-8")), (library, file)


def test_libraries_with_such_names_have_upper_bounds() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    for name in ("transformers", "trl", "textual", "textual-plot"):
        (line,) = (one for one in wanted if re.match(rf"{name}[><=~]", one))
        assert "~=" in line or "<" in line, line
