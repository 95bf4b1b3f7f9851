"""Training stages: what one says of itself is what planning, recording, diagnosis and the screens go by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recommender.config.edit import value_of
from recommender.config.schema import FinetuneConfig, Quantization
from recommender.memory.stacks import STACKS, stack_for
from recommender.stages import STAGES, Figure, Stage, all_figures, find_stage, keys_of_others, stage_of
from recommender.stages.sft import SFT
from tests.fixtures.child import run_python
from trainer.diagnosis.diagnose import ABOUT_LEARNING, RULES, rules_for
from trainer.history.columns import STEP_NUMBERS, Steps, step_columns, step_table

CONFIG = FinetuneConfig(model="a/b", method="lora", quantization=Quantization(bits=None))
MARGIN = Figure("reward_margin", "rewards/margins", "reward margin")
PAIRS = replace(
    SFT,
    name="pairs",
    keys=frozenset({"data.answers"}),
    rules=frozenset({"spiking"}),
    figures=(*SFT.figures, MARGIN),
)
"""A stage that only this test has."""


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_what_a_stage_names_is_there(stage: Stage) -> None:
    assert stage.stack in STACKS
    assert stage.rules <= {rule.__name__ for rule in ABOUT_LEARNING}
    assert stage.figures[0].key == "loss"
    for key in stage.keys:
        value_of(CONFIG, key)


def test_a_run_is_of_the_stage_that_it_recorded_and_an_older_one_is_supervised() -> None:
    assert stage_of(CONFIG) is find_stage("sft") is find_stage(None) is SFT
    assert stack_for(CONFIG).name == "trl"
    assert stack_for(CONFIG, "hf-trainer").name == "hf-trainer"


def test_a_stage_leaves_out_rules_about_learning_that_it_does_not_name_and_keeps_all_others() -> None:
    assert list(rules_for(SFT)) == list(RULES)
    kept = [rule.__name__ for rule in rules_for(PAIRS)]
    assert [name for name in kept if name in {rule.__name__ for rule in ABOUT_LEARNING}] == ["spiking"]
    assert {"died", "waiting_for_room", "throttled"} <= set(kept)


def test_a_form_leaves_out_the_keys_of_other_stages() -> None:
    assert keys_of_others(SFT, (SFT, PAIRS)) == {"data.answers"}
    assert keys_of_others(PAIRS, (SFT, PAIRS)) == SFT.keys
    assert keys_of_others(SFT) == frozenset()


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
