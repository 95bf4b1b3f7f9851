"""Each kind of event is said in one line, whatever is missing from it."""

import math
from typing import Any

import pytest

from trainer.run.events import event
from tui.dashboard.event_lines import event_line, time_of_day

NOW = 1_763_700_000.0


@pytest.mark.parametrize(
    ("made", "text", "tone"),
    [
        (event("status", NOW, status="loading", reason="weights"), "loading: weights", "quiet"),
        (
            event("start", NOW, model="smollm2-135m", method="lora", device="cpu", total_steps=1500, train_rows=220),
            "start smollm2-135m lora on cpu · 1 500 steps · 220 rows",
            "plain",
        ),
        (
            event("preflight", NOW, process_bytes=10 * 2**30, predicted_bytes=int(9.8 * 2**30), step_seconds=1.5),
            "worst step measured 10.0 GiB, predicted 9.8 GiB (-2 %), 1.5 s",
            "accent",
        ),
        (
            event("step", NOW, step=1400, loss=0.915, grad_norm=0.4, learning_rate=2.1e-4, tokens_per_second=1212.0),
            "step 1 400   loss 0.915   grad_norm 0.4   2.1e-4   1 212 tok/s",
            "plain",
        ),
        (event("step", NOW, step=3, loss=math.nan), "step 3   loss nan", "bad"),
        (
            event("eval", NOW, step=1400, eval_loss=0.9342, rows=512, seconds=20.7, best=True),
            "eval_loss 0.9342 on 512 rows in 21 s at step 1 400   best so far",
            "good",
        ),
        (
            event("checkpoint", NOW, step=1400, path="checkpoints/checkpoint-1400", bytes=164 * 2**20, seconds=0.8),
            "checkpoint-1400 saved, 0.2 GiB in 0.8 s",
            "accent",
        ),
        (
            event("sample", NOW, when="before", prompt="Why?\x1b[2J", answer="Because\nso."),
            "sample before training · “Why?” → “Because so.”",
            "extra",
        ),
        (event("command", NOW, command="checkpoint", accepted=True), "asked for: checkpoint now", "accent"),
        (
            event("command", NOW, command="evaluate", accepted=False, reason="it is saving"),
            "refused: evaluate now (it is saving)",
            "caution",
        ),
        (event("warning", NOW, message="disk is low", remedy="free some"), "! disk is low → free some", "caution"),
        (event("end", NOW, status="failed", reason="out of memory"), "failed: out of memory", "bad"),
    ],
)
def test_what_is_said(made: dict[str, Any], text: str, tone: str) -> None:
    line = event_line(made)
    assert line is not None
    assert (line.text, line.tone, line.t) == (text, tone, NOW)


@pytest.mark.parametrize("kind", ["device", "from-the-future", None, 7])
def test_what_is_no_news_is_left_out(kind: object) -> None:
    assert event_line({"kind": kind, "t": NOW}) is None


@pytest.mark.parametrize("kind", ["status", "start", "download", "preflight", "step", "eval", "checkpoint", "sample",
                                  "command", "warning", "recovery", "end"])  # fmt: skip
@pytest.mark.parametrize(
    "junk", [{}, {"t": "yesterday", "step": "x", "loss": [], "path": 3, "status": {}, "reason": 0}]
)
def test_missing_and_wrong_values_do_not_raise(kind: str, junk: dict[str, object]) -> None:
    line = event_line({"kind": kind, **junk})
    assert line is None or "\n" not in line.text


def test_a_time_that_is_none_keeps_the_column() -> None:
    assert time_of_day(None) == " " * 8
    assert time_of_day(1e300) == " " * 8
    assert len(time_of_day(NOW)) == 8
