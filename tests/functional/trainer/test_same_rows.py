"""A run goes on with the rows that it began with, and holds out the same of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recommender.config.schema import FinetuneConfig
from tests.functional.trainer.conftest import CPU, ended, wait_for
from trainer.history.reader import Snapshot
from trainer.process.launch import launch, resume_run

pytestmark = pytest.mark.torch


def resumed(run: Path, status: str) -> Snapshot:
    """Go on with a run, as if it had been stopped, until it has ended so."""
    state = json.loads((run / "state.json").read_text())
    (run / "state.json").write_text(json.dumps({**state, "status": "stopped"}))
    (run / "adapter" / "adapter_model.safetensors").unlink(missing_ok=True)
    resume_run(run)
    shot = wait_for(run, ended)
    assert shot.status == status, (shot.state.reason, shot.log)
    return shot


def rewrite(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what the run wrote down when it began."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    for event in events:
        if event["kind"] == "start":
            change(event)
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def test_it_goes_on_with_the_same_rows_only(
    make_config: Callable[..., FinetuneConfig], rows: Path, tmp_path: Path
) -> None:
    lines = rows.read_text().splitlines(keepends=True)
    mine = tmp_path / "mine.jsonl"
    # Copies: which rows are held out depends on how they are counted.
    mine.write_text("".join([*lines, *lines[:12], *lines[:12]]))
    config = make_config(data__train=[str(mine)], training__max_steps=2, run__save_steps=2, run__eval_steps=2)
    run = launch(config, plan_document={"estimate": {}}, device=CPU, runs=tmp_path / "runs")
    first = wait_for(run, ended)
    assert first.status == "finished", (first.state.reason, first.log)
    wrote = first.start["contents"]
    assert (wrote["rows"], wrote["held_out"]) == (72, first.start["eval_rows"])

    assert resumed(run, "finished").start["contents"] == wrote

    mine.write_text("".join([*lines, *lines[:12], *lines[1:13]]))
    other = resumed(run, "failed")
    assert f"The data has changed since {run.name} began" in str(other.state.reason)
    assert "data.train" in str(other.end["remedy"])

    mine.write_text("".join([*lines, *lines[:12], *lines[:12]]))
    rewrite(run, lambda start: start["contents"].update(held_out_sha256="0" * 64))
    split = resumed(run, "failed")
    assert f"The split has changed since {run.name} began" in str(split.state.reason)
    assert "Traceback" not in str(split.state.reason)

    rewrite(run, lambda start: start.pop("contents"))
    old = resumed(run, "finished")
    assert any("cannot be told" in str(event.get("message")) for event in old.events if event["kind"] == "warning")
    assert old.start["contents"] == wrote
