"""What is said when the worst step fails."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from presets.errors import InputError
from recommender.config.schema import Data, FinetuneConfig
from recommender.data.load import profile_data
from recommender.model.reader import read_model
from tests.fixtures.tiny_model import build_tiny_llama
from trainer.preflight.checks import Subject, check_data, check_logout
from trainer.preflight.worst_step import step_failure
from trainer.process.children import ChildAnswer
from trainer.run.folder import require_place


@pytest.mark.parametrize("code", [2, 3])
def test_a_foreseen_failure_keeps_its_own_remedy(code: int) -> None:
    failure = step_failure(ChildAnswer(code, {"reason": "out of memory", "remedy": "Halve the batch."}, ""))
    assert (failure.message, failure.remedy) == ("out of memory", "Halve the batch.")


def test_a_broken_library_is_not_blamed_on_the_batch_size() -> None:
    failure = step_failure(ChildAnswer(1, {"reason": "ImportError: no such name"}, ""))
    assert failure.message == "ImportError: no such name"
    assert "doctor" in failure.remedy
    assert "batch" not in failure.remedy


def test_a_worker_that_could_not_speak_is_quoted() -> None:
    failure = step_failure(ChildAnswer(-signal.SIGSEGV, None, "first\nSegmentation fault"))
    assert failure.message == "its process ended: Segmentation fault"
    assert "doctor" in failure.remedy


def test_a_worker_that_the_kernel_killed_used_too_much_memory() -> None:
    failure = step_failure(ChildAnswer(-signal.SIGKILL, None, ""))
    assert "SIGKILL" in failure.message
    assert "memory" in failure.remedy


def test_a_place_for_runs_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    require_place(tmp_path / "new" / "runs")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "runs", Path("/proc/runs")):
        with pytest.raises(InputError, match=f"A run folder cannot be made in {place}: .* Choose another folder"):
            require_place(place)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("left", "says", "remedy"),
    [
        (None, "has no tokenizer.json, so no row", "hf download ORG/NAME --local-dir"),
        ("tokenizer.model", "has tokenizer.model and no tokenizer.json", "sentencepiece and protobuf"),
        ("vocab.json", "has vocab.json and no tokenizer.json", "python -c"),
    ],
)
def test_a_tokenizer_that_is_not_there_says_what_is(tmp_path: Path, left: str | None, says: str, remedy: str) -> None:
    folder = build_tiny_llama(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    if left:
        (folder / left).write_text("{}")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a"}\n' * 20)
    model = read_model(str(folder))
    data = Data(train=[str(rows)])
    config = FinetuneConfig(model=str(folder), data=data)
    dataset = profile_data(data, model=model)
    subject = cast("Subject", SimpleNamespace(config=config, model=model, dataset=dataset))
    status, detail, how = check_data(subject)
    assert status == "fail" and says in detail and remedy in how


def logind(root: Path, kills: str) -> Path:
    """A root with logind, set to that."""
    (root / "run/systemd/seats").mkdir(parents=True)
    (root / "etc/systemd").mkdir(parents=True)
    (root / "etc/systemd/logind.conf").write_text(f"[Login]\nKillUserProcesses={kills}\nKillExcludeUsers=nobody\n")
    return root


def test_a_logout_that_ends_the_run_is_told_before_the_start(tmp_path: Path) -> None:
    subject = cast("Subject", None)
    assert check_logout(subject, tmp_path)[0] == "ok"
    assert check_logout(subject, logind(tmp_path / "no", "no"))[0] == "ok"
    status, said, remedy = check_logout(subject, logind(tmp_path / "yes", "yes"))
    assert (status, "KillUserProcesses" in said, "enable-linger" in remedy) == ("warn", True, True)
