"""What is said when the worst step fails."""

import signal

import pytest

from trainer.checks import step_failure
from trainer.children import ChildAnswer


@pytest.mark.parametrize("code", [2, 3])
def test_a_foreseen_failure_keeps_its_own_remedy(code: int) -> None:
    failure = step_failure(ChildAnswer(code, {"reason": "out of memory", "remedy": "Halve the batch."}, ""))
    assert (failure.message, failure.remedy) == ("out of memory", "Halve the batch.")


def test_a_broken_library_is_not_blamed_on_the_batch_size() -> None:
    answer = ChildAnswer(1, {"reason": "ImportError: no such name", "remedy": "worker.log has the details."}, "")
    failure = step_failure(answer)
    assert failure.message == "ImportError: no such name"
    assert "doctor" in failure.remedy
    assert "batch" not in failure.remedy


def test_a_worker_that_could_not_speak_is_quoted() -> None:
    failure = step_failure(ChildAnswer(-signal.SIGSEGV, None, "first\nSegmentation fault"))
    assert failure.message == "the step failed: Segmentation fault"
    assert "doctor" in failure.remedy


def test_a_worker_that_the_kernel_killed_used_too_much_memory() -> None:
    failure = step_failure(ChildAnswer(-signal.SIGKILL, None, ""))
    assert "SIGKILL" in failure.message
    assert "memory" in failure.remedy
