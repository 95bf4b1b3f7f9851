"""Training stages: what one says of itself is what planning, recording, diagnosis and the screens go by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from presets.errors import InputError
from recommender.config.edit import apply, flatten, value_of
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.data.packing import packs
from recommender.data.stages import STAGES as READERS
from recommender.data.stages import row_reader
from recommender.memory.stacks import STACKS, stack_for
from recommender.memory.workload import resolve_workload
from recommender.plan.checks.conflicts import refuse_contradictions, refuse_of_other_stages
from recommender.rules.stages import STAGES as RULES
from recommender.rules.stages import stage_rules
from recommender.stages import STAGES, Figure, Stage, all_figures, find_stage, keys_of_others, stage_of
from recommender.stages.sft import SFT
from recommender.time.work import forward_work, training_work
from tests.fixtures.child import run_python
from tests.unit.plan.facts import LLAMA_8B, RTX_4090
from trainer.diagnosis import machine
from trainer.diagnosis.diagnose import ABOUT_THE_RUN, rules_for
from trainer.diagnosis.stages import LEARNING
from trainer.history.columns import STEP_NUMBERS, Steps, step_columns, step_table

CONFIG = FinetuneConfig(model="a/b", method="lora", quantization=Quantization(bits=None))
MARGIN = Figure("reward_margin", "rewards/margins", "reward margin")
PAIRS = replace(SFT, name="pairs", keys=frozenset({"data.answers"}), figures=(*SFT.figures, MARGIN), packs=False)
"""A stage that only this test has."""


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_what_a_stage_names_is_there(stage: Stage) -> None:
    assert stage.stack in STACKS
    assert stage.figures[0].key == "loss"
    for key in stage.keys:
        value_of(CONFIG, key)


def test_every_stage_has_its_rows_rules_and_diagnosis() -> None:
    assert set(READERS) == set(RULES) == set(LEARNING) == set(STAGES)
    for name, stage in STAGES.items():
        assert READERS[name].stage is RULES[name].stage is stage


def test_a_run_is_of_the_stage_that_it_recorded_and_an_older_one_is_supervised() -> None:
    assert stage_of(CONFIG) is find_stage("sft") is find_stage(None) is SFT
    assert stack_for(CONFIG).name == "trl"
    assert stack_for(CONFIG, "hf-trainer").name == "hf-trainer"
    assert (row_reader(SFT).stage, stage_rules(CONFIG).stage) == (SFT, SFT)


def test_findings_about_the_run_and_the_machine_hold_for_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.diagnosis.diagnose.LEARNING", {"sft": LEARNING["sft"], "pairs": LEARNING["sft"][:1]})
    assert list(rules_for(SFT)) == [*ABOUT_THE_RUN, *LEARNING["sft"], *machine.RULES]
    assert list(rules_for(PAIRS)) == [*ABOUT_THE_RUN, LEARNING["sft"][0], *machine.RULES]


def test_a_value_of_another_stage_is_refused_and_its_default_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recommender.plan.checks.conflicts.stage_of", lambda _: PAIRS)
    refuse_of_other_stages(CONFIG, flatten(CONFIG), (SFT, PAIRS))
    wanted = apply(CONFIG, {"data.train_on": "all"})
    with pytest.raises(InputError, match=r"data\.train_on means nothing in stage pairs") as caught:
        refuse_of_other_stages(wanted, flatten(wanted), (SFT, PAIRS))
    assert caught.value.remedy == "Leave it out."
    refuse_of_other_stages(wanted, {}, (SFT, PAIRS))


def test_a_stages_own_conflicts_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: FinetuneConfig, given: Any, model: Any, device: Any) -> None:
        del config, model, device
        if "lora.r" in given:
            raise InputError("no rank here")

    own = replace(stage_rules(CONFIG), conflicts=(refuse,))
    monkeypatch.setattr("recommender.plan.checks.conflicts.stage_rules", lambda _: own)
    refuse_contradictions(CONFIG, {"lora.lora_alpha": 8}, LLAMA_8B, RTX_4090)
    with pytest.raises(InputError, match="no rank here"):
        refuse_contradictions(CONFIG, {"lora.r": 8}, LLAMA_8B, RTX_4090)


def test_rows_of_a_stage_that_cannot_pack_are_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = apply(CONFIG, {"data.packing": True})
    assert packs(packed)
    monkeypatch.setattr("recommender.data.packing.stage_of", lambda _: PAIRS)
    assert not packs(packed)


def test_a_pass_of_the_reference_takes_the_time_of_a_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = resolve_workload(CONFIG, LLAMA_8B, RTX_4090, None, STACKS["trl"])
    trained, evaluated = training_work(workload, 2, 512), forward_work(workload, 2, 512)
    monkeypatch.setattr("recommender.time.work.stage_of", lambda _: replace(SFT, reference_passes=1))
    assert training_work(workload, 2, 512) == trained + evaluated
    assert forward_work(workload, 2, 512) == evaluated + evaluated


def test_a_form_leaves_out_the_keys_of_other_stages() -> None:
    assert keys_of_others(SFT, (SFT, PAIRS)) == {"data.answers"}
    assert keys_of_others(PAIRS, (SFT, PAIRS)) == SFT.keys
    assert keys_of_others(SFT, (SFT,)) == frozenset()


def test_each_logged_figure_has_one_column() -> None:
    assert [figure.key for figure in all_figures((SFT, PAIRS))] == ["loss", "learning_rate", "grad_norm", MARGIN.key]
    table = step_table()
    table.extend(step_columns([{"t": 1.0, "loss": 2.0, "grad_norm": 0.5}], [1]))
    assert list(Steps(table).column("grad_norm")) == [0.5]
    assert len(set(STEP_NUMBERS)) == len(STEP_NUMBERS)


LOGGED = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from recommender.stages.base import COMMON_FIGURES, Figure
from trainer.run.folder import RunFolder
from trainer.worker.loop.recorder import StepRecorder
from trainer.worker.loop.requests import Requests
from trainer.worker.loop.resume_point import ResumePoint
from trainer.worker.stages import STAGES

folder = RunFolder(Path(sys.argv[1]))
figures = (*COMMON_FIGURES, Figure("reward_margin", "rewards/margins", "reward margin"))
recorder = StepRecorder(folder, Requests(folder), SimpleNamespace(peak=lambda: 7), ResumePoint(), figures)
state, control = SimpleNamespace(global_step=1, epoch=0.5), SimpleNamespace()
recorder.on_step_begin(None, state, control)
recorder.on_step_end(None, state, control)
recorder.on_log(None, state, control, {"loss": 0.6, "rewards/margins": 0.25, "entropy": 1.0})
(line,) = (json.loads(line) for line in folder.events.read_text().splitlines())
print(json.dumps({"line": line, "stages": {name: stage.facts.name for name, stage in STAGES.items()}}))
"""


@pytest.mark.torch
def test_the_recorder_writes_the_figures_of_the_stage_and_the_worker_trains_every_stage(tmp_path: Any) -> None:
    found = run_python(LOGGED, str(tmp_path))
    line = found["line"]
    assert (line["loss"], line["reward_margin"]) == (0.6, 0.25)
    assert not {"learning_rate", "grad_norm", "entropy", "rewards/margins"} & set(line)
    assert found["stages"] == {name: name for name in STAGES}
