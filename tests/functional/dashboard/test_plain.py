"""A run as lines of text: aligned, complete, and with a sound exit code."""

import io
from collections.abc import Callable
from pathlib import Path

from tests.functional.dashboard.conftest import RUN_ID
from tests.functional.dashboard.made import MadeRun
from tui.commands.output.watch_plain import watch_plain

Make = Callable[..., MadeRun]


def watched(made: MadeRun, *happenings: Callable[[], None]) -> tuple[int, str]:
    """Watch a run in which these things happen, one between every two looks; a look too many fails."""
    left = list(happenings)
    out = io.StringIO()
    code = watch_plain(made.path, out, clock=made.clock, sleep=lambda _seconds: left.pop(0)())
    assert left == []
    return code, out.getvalue()


def test_a_run_from_its_first_step_to_its_summary(make: Make) -> None:
    made = make(total=20)
    made.begin()
    code, text = watched(made, lambda: made.train(10, evaluate_every=10), lambda: made.train(20), made.finish)
    assert code == 0
    lines = text.splitlines()
    steps = [line for line in lines if "  step " in line]
    assert len(steps) == 20
    assert len({line.index("loss") for line in steps}) == 1
    assert len({line.index("learning_rate") for line in steps}) == 1
    assert any("eval_loss 2.314 on 19 rows" in line for line in lines)
    assert any("checkpoint-10 saved" in line for line in lines)
    assert "✓ finished" in text
    assert "before training →" in text
    assert str(made.path / "adapter") in text
    assert "LoRA is a radio technology." in text
    assert "Short answer: LoRA trains two small matrices." in text
    assert "PeftModel.from_pretrained(model, adapter)" in text


def test_one_evaluation_is_not_called_a_change(make: Make) -> None:
    made = make(total=20)
    made.begin()
    code, text = watched(made, lambda: made.train(5), lambda: made.say("end", 1, status="stopped"))
    assert code == 0
    assert "before training" in text
    assert "before training →" not in text


def test_each_line_is_printed_once(make: Make) -> None:
    made = make(total=20)
    made.begin()
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    _, text = watched(made, nothing, nothing, lambda: made.train(5), nothing, made.finish)
    assert text.count("start HuggingFaceTB") == 1
    assert text.count("  step  5/20") == 1


def test_lines_come_in_the_order_of_time(make: Make) -> None:
    made = make(total=30)
    made.begin()
    made.train(30, evaluate_every=10)
    made.finish()
    _, text = watched(made)
    body = text.splitlines()
    place = {
        what: next(i for i, line in enumerate(body) if what in line)
        for what in ("step 10/30", "checkpoint-10", "step 11/30")
    }
    assert list(place.values()) == sorted(place.values())


def test_failure_is_1_with_reason_remedy_and_log(make: Make) -> None:
    made = make()
    made.begin()
    made.train(10)
    made.fail("CUDA out of memory at step 11", remedy="Halve the micro-batch.", signal="SIGKILL")
    code, text = watched(made)
    assert code == 1
    for said in (
        "✗ failed",
        "CUDA out of memory at step 11",
        "Halve the micro-batch.",
        "SIGKILL",
        "torch.OutOfMemoryError",
    ):
        assert said in text


def test_a_run_that_died_is_1(make: Make) -> None:
    made = make(alive=False)
    made.begin()
    made.train(10)
    code, text = watched(made, lambda: setattr(made, "now", made.now + 31))
    assert code == 1
    assert "✗ died" in text


def test_a_stopped_run_is_0_and_says_how_to_go_on(make: Make) -> None:
    made = make()
    made.begin()
    made.train(120)
    made.say("end", 1, status="stopped", reason="asked to stop")
    code, text = watched(made)
    assert code == 0
    assert f"lora-wizard resume {RUN_ID}  goes on from step 100" in text


def test_interrupting_leaves_the_run_alone(make: Make) -> None:
    made = make()
    made.begin()

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    out = io.StringIO()
    assert watch_plain(made.path, out, clock=made.clock, sleep=interrupt) == 0
    assert f"lora-wizard watch {RUN_ID}" in out.getvalue()


def test_hostile_text_is_made_harmless(make: Make) -> None:
    made = make()
    made.begin()
    made.say("warning", 1, message="\x1b[2J\x1b]0;owned\x07disk\r\nis low", remedy="free some")
    made.finish()
    _, text = watched(made)
    assert "! disk is low → free some" in text
    assert "\x1b" not in text


def test_a_folder_that_vanishes_does_not_raise(tmp_path: Path) -> None:
    looks = iter(range(3))

    def sleep(_seconds: float) -> None:
        if next(looks, None) is None:
            raise KeyboardInterrupt

    assert watch_plain(tmp_path / "gone", io.StringIO(), sleep=sleep) == 0
