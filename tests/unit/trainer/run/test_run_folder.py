"""The run folder as a contract: private, atomic, torn lines tolerated, the dead told from the living."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from presets.errors import InputError
from trainer.history.listing import find_run, list_runs
from trainer.history.reader import RunReader
from trainer.process.device_lock import acquire, holder
from trainer.run.commands import request
from trainer.run.folder import RunFolder, append_event, append_line, create, run_id, short_name, write_atomically
from trainer.run.identity import Process
from trainer.run.state import RunState, fold, read_state, write_state


def made_run(runs: Path, name: str = "20261121-0312-model-data", **state: object) -> RunFolder:
    folder = create(runs, name)
    write_atomically(folder.config, "model: some/model\n")
    write_state(folder, replace(RunState(started=1000.0, heartbeat=1000.0), **state))  # type: ignore[arg-type]  # fields by name
    return folder


def dead_process() -> Process:
    done = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(done.pid)
    done.communicate(b"\n")
    assert process is not None
    return process


def test_ids_are_sortable_and_readable() -> None:
    assert run_id("HuggingFaceTB/SmolLM2-135M", "data/alpaca_en.jsonl", now=0).endswith("-smollm2-135m-alpaca-en")
    assert run_id("a/b", None, name="My Run!", now=0).endswith("-my-run")
    assert short_name("///") == "run"


def test_a_run_is_private_and_its_name_is_never_taken_twice(tmp_path: Path) -> None:
    first, second = create(tmp_path, "one"), create(tmp_path, "one")
    assert first.path != second.path
    append_event(first, "status", status="starting")
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(first.events.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        create(tmp_path / "file" / "runs", "one")


def test_an_atomic_write_leaves_the_old_text_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_a_reader_tolerates_torn_lines_unknown_kinds_and_nonsense(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    append_event(folder, "start", total_steps=10)
    append_line(folder.events, {"kind": "from-the-future", "x": 1})
    with folder.events.open("a") as stream:
        stream.write("not json\n[1]\n")
        stream.write('{"kind": "step", "step": 1, "loss": 2.5}\n{"kind": "step", "st')
    reader = RunReader(folder.path, clock=lambda: 1001.0)
    assert [point.loss for point in reader.poll().steps] == [2.5]
    with folder.events.open("a") as stream:
        stream.write('ep": 2, "loss": NaN}\n')
    steps = reader.poll().steps
    assert [(point.step, point.loss, point.finite) for point in steps] == [(1, 2.5, True), (2, None, False)]


def test_a_resumed_run_counts_no_step_twice(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    for step in (1, 2, 3):
        append_event(folder, "step", step=step, loss=float(step))
    append_event(folder, "end", status="stopped", reason="as asked")
    append_event(folder, "status", status="starting")
    append_event(folder, "start", total_steps=4, resumed_from=2)
    append_event(folder, "step", step=3, loss=30.0)
    shot = RunReader(folder.path, clock=lambda: 1001.0).poll()
    assert [(point.step, point.loss) for point in shot.steps] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert shot.end == {}


def test_silence_with_living_processes_is_no_death(tmp_path: Path) -> None:
    folder = made_run(tmp_path, status="training", supervisor=Process.this())
    shot = RunReader(folder.path, clock=lambda: 9999.0).poll()
    assert shot.alive
    assert shot.died == ""
    assert shot.status == "training"


@pytest.mark.process
def test_silence_without_processes_is_a_death_with_the_logs_last_line(tmp_path: Path) -> None:
    folder = made_run(tmp_path, status="training", supervisor=dead_process())
    folder.log.write_text("loading\nsomething broke\n")
    early = RunReader(folder.path, clock=lambda: 1010.0).poll()
    assert not early.alive
    assert early.died == ""
    late = RunReader(folder.path, clock=lambda: 1031.0).poll()
    assert late.status == "failed"
    assert "something broke" in late.died
    assert list_runs(tmp_path)[0].status == "failed"


@pytest.mark.process
def test_a_worker_that_ended_well_after_its_supervisor_died_is_believed(tmp_path: Path) -> None:
    folder = made_run(tmp_path, status="training", supervisor=dead_process())
    append_event(folder, "end", status="finished", last_eval_loss=1.5)
    assert list_runs(tmp_path)[0].status == "finished"
    assert RunReader(folder.path, clock=lambda: 9999.0).poll().status == "finished"


def test_a_pid_of_another_boot_or_start_is_another_process() -> None:
    this = Process.this()
    assert this.alive()
    assert not replace(this, boot="another").alive()
    assert not replace(this, start=this.start - 10).alive()


def test_state_survives_its_file(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    state = RunState(status="training", step=3, total_steps=9, loss=1.25, worker=Process.this(), started=1.0)
    write_state(folder, state)
    assert read_state(folder) == state
    folder.state.write_text('{"status": 7, "step": "x", "worker": []}')
    assert read_state(folder) == RunState()
    folder.state.write_text("torn {")
    assert read_state(folder) == RunState()


def test_events_fold_into_state() -> None:
    state = RunState()
    for event in (
        {"kind": "start", "total_steps": 5},
        {"kind": "status", "status": "training"},
        {"kind": "step", "step": 2, "loss": float("nan")},
        {"kind": "eval", "eval_loss": 1.5},
        {"kind": "end", "status": "failed", "reason": "out of memory", "exit_code": 3},
    ):
        state = fold(state, event)
    assert (state.status, state.step, state.total_steps, state.loss, state.eval_loss) == ("failed", 2, 5, None, 1.5)
    assert (state.reason, state.exit_code, state.ended) == ("out of memory", 3, True)


def test_runs_are_found_by_what_a_person_types(tmp_path: Path) -> None:
    made_run(tmp_path, "20261120-one", started=1.0)
    newest = made_run(tmp_path, "20261121-two", started=2.0)
    (tmp_path / "not-a-run").mkdir()
    assert [run.id for run in list_runs(tmp_path)] == ["20261121-two", "20261120-one"]
    assert find_run(tmp_path, None) == newest.path
    assert find_run(tmp_path, "one").name == "20261120-one"
    assert find_run(tmp_path, str(newest.path)) == newest.path
    for wanted, message in (("2026", "Several"), ("three", "No run")):
        with pytest.raises(InputError, match=message):
            find_run(tmp_path, wanted)
    for wanted in ("~nobody-of-that-name/x", "x" * 5000, "a\0b"):
        with pytest.raises(InputError, match="No run"):
            find_run(tmp_path, wanted)
    with pytest.raises(InputError, match="a folder, but not a run's"):
        find_run(tmp_path, str(tmp_path / "not-a-run"))
    with pytest.raises(InputError, match="no runs"):
        find_run(tmp_path / "empty", None)


def test_requests_are_lines_with_an_id(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    identity = request(folder.path, "stop")
    line = json.loads(folder.commands.read_text())
    assert (line["id"], line["command"]) == (identity, "stop")


@pytest.mark.process
def test_a_dead_owner_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "cpu.lock"
    program = (
        "import sys; from pathlib import Path; from trainer.process.device_lock import acquire;"
        "acquire(Path(sys.argv[1]), 'the-other-run'); print('held', flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    assert holder(path) == "the-other-run"
    with pytest.raises(InputError, match="the-other-run"):
        acquire(path, "mine")
    owner.kill()
    owner.communicate()
    assert holder(path) is None
    os.close(acquire(path, "mine"))


def test_the_listing_for_programs_names_the_model_that_is_trained_now(tmp_path: Path) -> None:
    folder = create(tmp_path, "20261121-0312-a-b")
    append_event(folder, "status", status="starting")
    write_state(folder, RunState(status="stopped", started=1.0, heartbeat=1.0))
    (run,) = list_runs(tmp_path)
    assert run.document()["model"] == ""
    folder.config.write_text("model: a/b\n", encoding="utf-8")
    assert run.document()["model"] == "a/b"
    folder.effective_config.write_text("model: /moved/b\n", encoding="utf-8")
    assert run.document()["model"] == "/moved/b"
    folder.effective_config.write_text("{", encoding="utf-8")
    assert run.document()["model"] == ""
