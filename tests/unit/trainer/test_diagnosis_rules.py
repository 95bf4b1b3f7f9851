"""Every rule of the diagnosis, on a run made to have its trouble; and recorded healthy runs, which have none."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recommender.config.schema import FinetuneConfig
from recommender.rules.fitting import against_overfitting
from tests.functional.dashboard.made import MadeRun
from trainer.diagnosis.diagnose import Finding, diagnose
from trainer.history.reader import RunReader
from trainer.run.folder import RunFolder
from trainer.run.identity import Process
from trainer.run.state import RunState, fold, write_state

RECORDED = Path(__file__).parents[2] / "fixtures" / "recorded"
TRAINING = "training: {learning_rate: 0.0002, per_device_train_batch_size: 2, gradient_accumulation_steps: 8}\n"
NEVER = 10_000
Make = Callable[..., MadeRun]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(until: int = 200, *, evaluate_every: int = 100, **options: Any) -> MadeRun:
        run = MadeRun(tmp_path / "run", **options)
        run.folder.config.write_text(run.folder.config.read_text() + TRAINING)
        run.begin()
        run.train(until, evaluate_every=evaluate_every)
        return run

    return made


def findings(made: MadeRun) -> Sequence[Finding]:
    return diagnose(RunReader(made.path, made.clock).poll())


def only(made: MadeRun) -> Finding:
    (finding,) = findings(made)
    return finding


def more_steps(
    made: MadeRun, count: int, *, at: Callable[[int], dict[str, Any]] = lambda _: {}, **figures: Any
) -> None:
    for _ in range(count):
        step = made.state.step + 1
        made.say("step", 1.2, **{**made.figures(step, 1.2), **figures, **at(step)})


def set_in(made: MadeRun, line: str) -> None:
    made.folder.config.write_text(made.folder.config.read_text().replace("training: {", f"training: {{{line}, "))


def readings(made: MadeRun, count: int = 30, **figures: Any) -> None:
    for _ in range(count):
        made.say("device", 0.1, **{"memory_total": 24 * 2**30, **figures})


def evaluations(made: MadeRun, *losses: float, every: int = 50) -> None:
    for index, loss in enumerate(losses, start=1):
        made.say("eval", 0.1, step=index * every, eval_loss=loss)


def finish(made: MadeRun) -> None:
    made.say("end", 1, status="finished", reason="every step is done")


def test_a_jump_of_several_steps(make: Make) -> None:
    made = make(150)
    more_steps(made, 4, loss=4.2)
    found = only(made)
    assert (found.level, found.title) == ("caution", "the loss jumped")
    assert "4.2 at step 151" in found.evidence
    assert "/run --set training.learning_rate=0.0001" in found.change


def test_one_odd_row_is_no_jump(make: Make) -> None:
    made = make(150)
    more_steps(made, 1, loss=9.0)
    more_steps(made, 20)
    assert only(made).level == "ok"


def test_divergence(make: Make) -> None:
    found, *others = findings(make(300, shape=lambda step: 1.0 + abs(step - 120) / 60))
    assert "nothing is learned yet" not in [other.title for other in others]
    assert (found.level, found.title) == ("bad", "the loss is rising")
    assert "/run --set training.learning_rate=0.0001" in found.change


def test_a_rise_that_comes_back_is_no_divergence(make: Make) -> None:
    hump = make(400, shape=lambda step: 1.0 + math.exp(-(((step - 200) / 30) ** 2)) * 0.2 + math.exp(-step / 60))
    assert [finding.level for finding in findings(hump)] == ["ok"]


def test_a_plateau_from_the_start(make: Make) -> None:
    made = make(200, shape=lambda _: 2.3)
    found = only(made)
    assert (found.level, found.title) == ("caution", "nothing is learned yet")
    assert "learning_rate 2e-4 → 0.001; r 16 → 32" in found.change


def test_a_plateau_at_a_rate_that_is_high_already_is_not_sent_higher(make: Make) -> None:
    made = make(0, shape=lambda _: 2.3)
    made.folder.config.write_text(made.folder.config.read_text().replace("0.0002", "0.01") + "lora: {r: 256}\n")
    more_steps(made, 200)
    assert only(made).change.startswith("Look at the rows")


def test_a_plateau_without_gradients_is_another_matter(make: Make) -> None:
    made = make(80, shape=lambda _: 2.3)
    more_steps(made, 120, grad_norm=0.0)
    assert "No gradient reaches" in only(made).change


def test_a_plateau_is_not_called_during_the_warmup(make: Make) -> None:
    made = make(0, shape=lambda _: 2.3)
    for step in range(1, 150):
        more_steps(made, 1, learning_rate=2e-4 * step / 150)
    assert only(made).level == "ok"


def test_overfitting(make: Make) -> None:
    made = make(300, evaluate_every=NEVER, shape=lambda step: 2.0 - step / 200)
    evaluations(made, 1.8, 1.5, 1.4, 1.45, 1.5, 1.6)
    found = only(made)
    assert found.title == "overfitting"
    assert "1.4 at step 150, 1.6 at step 300" in found.evidence
    assert found.change == (
        "The best checkpoint is of step 150. Next time, one after the other: early_stopping 2; "
        "more rows, or a general data set mixed in; r 16 → 8."
    )


def test_overfitting_names_the_epochs_that_are_enough(make: Make) -> None:
    made = make(0)
    set_in(made, "num_train_epochs: 3")
    more_steps(made, 300, at=lambda step: {"loss": 2.0 - step / 200, "epoch": step / 100})
    evaluations(made, 1.8, 1.5, 1.4, 1.45, 1.5, 1.6)
    assert "num_train_epochs 3 → 1.5; early_stopping 2" in only(made).change


def test_what_the_diagnosis_advises_is_what_the_rules_advise(make: Make) -> None:
    made = make(300, evaluate_every=NEVER, shape=lambda step: 2.0 - step / 200)
    evaluations(made, 1.8, 1.5, 1.4, 1.45, 1.5, 1.6)
    config = FinetuneConfig.model_validate(dict(RunReader(made.path, made.clock).poll().config))
    first = "; ".join(one.change for one in against_overfitting(config)[:3])
    assert first in only(made).change


def test_trouble_is_named_also_where_the_configuration_is_of_another_version(make: Make) -> None:
    made = make(300, evaluate_every=NEVER, shape=lambda step: 2.0 - step / 200)
    made.folder.config.write_text("model: x\nof_another_version: 1\n")
    evaluations(made, 1.8, 1.5, 1.4, 1.45, 1.5, 1.6)
    assert only(made).change == "The best checkpoint is of step 150."


def test_an_evaluation_that_wavers_is_no_overfitting(make: Make) -> None:
    made = make(300, evaluate_every=NEVER)
    evaluations(made, 1.8, 1.5, 1.4, 1.43, 1.41, 1.42)
    assert only(made).level == "ok"


def test_rows_learned_by_heart(make: Make) -> None:
    made = make(350, evaluate_every=NEVER, shape=lambda step: 0.02 + 2 * math.exp(-step / 30), noise=0.002)
    evaluations(made, 1.5, 1.5, 1.5, 1.5)
    found = only(made)
    assert found.title == "the rows are being learned by heart"
    assert "eval_loss 1.5" in found.evidence
    assert "early_stopping 2; more rows" in found.change
    assert found.change.endswith("Look for duplicates with `lora-wizard data`.")


def test_what_generalises_is_not_learned_by_heart(make: Make) -> None:
    made = make(350, evaluate_every=NEVER, shape=lambda step: 0.02 + 2 * math.exp(-step / 30), noise=0.002)
    evaluations(made, 0.5, 0.2, 0.1, 0.05)
    assert only(made).level == "ok"


def test_a_run_that_was_still_learning_when_it_ended(make: Make) -> None:
    made = make(400, shape=lambda step: 3.0 - step / 250)
    finish(made)
    found = only(made)
    assert found.title == "it was still learning when it ended"
    assert "num_train_epochs 1 → 2; learning_rate 2e-4 → 4e-4" in found.change


def test_little_was_learned(make: Make) -> None:
    made = make(400, shape=lambda step: 2.2 - 0.12 * min(1.0, step / 100))
    finish(made)
    found = only(made)
    assert found.title == "little was learned"
    assert "learning_rate 2e-4 → 4e-4; num_train_epochs 1 → 2; r 16 → 32" in found.change


def test_steps_that_are_no_number_now_and_then(make: Make) -> None:
    made = make(150)
    for _ in range(3):
        more_steps(made, 1, loss=math.nan)
        more_steps(made, 5)
    assert only(made).evidence == "At 3 of the last 100 steps."


def test_a_drop_in_speed(make: Make) -> None:
    made = make(150)
    more_steps(made, 20, tokens_per_second=80.0)
    found = only(made)
    assert found.title == "training has become slower"
    assert "80 tok/s" in found.evidence


def test_a_few_slow_steps_are_no_drop(make: Make) -> None:
    made = make(150)
    more_steps(made, 8, tokens_per_second=80.0)
    assert only(made).level == "ok"


def test_an_idle_gpu(make: Make) -> None:
    made = make(150)
    readings(made, utilisation=31, memory_used=20 * 2**30)
    found = only(made)
    assert found.title == "the GPU is idle half of the time"
    assert "31 %" in found.evidence


def test_memory_for_a_bigger_micro_batch(make: Make) -> None:
    made = make(150)
    readings(made, utilisation=70, memory_used=6 * 2**30)
    found = only(made)
    assert found.title == "memory is left for a bigger micro-batch"
    assert "per_device_train_batch_size 2 → 4, gradient_accumulation_steps 8 → 4" in found.change


@pytest.mark.parametrize(("busy", "used"), [(99, 6), (70, 12), (95, 22)])
def test_a_busy_or_a_full_card_is_left_alone(make: Make, busy: int, used: int) -> None:
    made = make(150)
    readings(made, utilisation=busy, memory_used=used * 2**30, temperature=84, power_watts=450, power_limit_watts=450)
    assert only(made).level == "ok"


@pytest.mark.parametrize(("slowdown", "title"), [("heat", "the GPU is too hot"), ("power brake", "power supply")])
def test_clocks_that_are_held_down(make: Make, slowdown: str, title: str) -> None:
    made = make(150)
    readings(made, utilisation=99, memory_used=20 * 2**30, temperature=93, slowdown=slowdown)
    found = only(made)
    assert title in found.title
    assert found.change


def test_a_short_moment_of_heat_is_no_trouble(make: Make) -> None:
    made = make(150)
    readings(made, utilisation=99, memory_used=20 * 2**30)
    readings(made, 5, utilisation=99, memory_used=20 * 2**30, slowdown="heat")
    assert only(made).level == "ok"


@pytest.mark.parametrize("recorded", sorted(RECORDED.glob("*.jsonl")), ids=lambda path: path.stem)
def test_nothing_is_said_at_any_moment_of_a_recorded_healthy_run(recorded: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.config.write_text("model: x\n" + TRAINING)
    state, now = RunState(supervisor=Process.this()), 0.0
    reader = RunReader(folder.path, lambda: now)
    looked = 0
    for line in recorded.read_text().splitlines():
        event = json.loads(line)
        now = event["t"]
        state = replace(fold(state, event), heartbeat=now)
        with folder.events.open("a") as stream:
            stream.write(line + "\n")
        write_state(folder, state)
        assert [finding.level for finding in diagnose(reader.poll())] == ["ok"], line
        looked += 1
    assert looked > 100
    assert state.status == "finished"
