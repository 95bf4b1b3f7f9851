"""What is said of a merge that failed, by how its process ended."""

import pytest

from presets.errors import InputError, NoError
from trainer.process.children import ChildAnswer
from trainer.results.merge import _failure

NOISE = "Failed to load a kernel that nobody needs"


@pytest.mark.parametrize(
    ("answer", "kind", "said", "remedy"),
    [
        (ChildAnswer(-9, None, NOISE), NoError, "ended by SIGKILL", "memory is used up"),
        (ChildAnswer(-15, None, NOISE), NoError, "ended by SIGTERM", ""),
        (
            ChildAnswer(1, None, f"{NOISE}\nOSError: [Errno 28] No space left on device: 'a' -> 'b'"),
            NoError,
            "The disk filled up",
            "another disk",
        ),
        (ChildAnswer(1, None, "ValueError: odd"), NoError, "ValueError: odd", "memory enough"),
        (ChildAnswer(2, {"reason": "no weights", "remedy": "get them"}, ""), InputError, "no weights", "get them"),
    ],
)
def test_a_failed_merge_says_why_and_what_helps(
    answer: ChildAnswer, kind: type[NoError], said: str, remedy: str
) -> None:
    error = _failure(answer)
    assert type(error) is kind
    assert said in error.message and remedy in error.remedy
    assert NOISE not in error.message
