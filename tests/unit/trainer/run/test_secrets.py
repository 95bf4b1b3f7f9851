"""What never reaches a log, an event or a card."""

import errno
import io
import json
from contextlib import suppress
from pathlib import Path

import pytest

from trainer.run.folder import RunFolder, append_event, repair_last_line
from trainer.run.masking import MaskedStream, mask

TOKEN = "hf_" + "aBcDeFgHiJ" * 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://cdn.example/a?X-Amz-Signature=0af3&part=2", "https://cdn.example/a?X-Amz-Signature=****&part=2"),
        ("GET https://x.example/y?access_token=abc123 failed", "GET https://x.example/y?access_token=**** failed"),
        ("curl https://hooks.slack.com/services/T0/B0/xyz -d hi", "curl https://hooks.slack.com/services/**** -d hi"),
        ("https://api.telegram.org/bot12:AbC/sendMessage?text=a", "https://api.telegram.org/bot****?text=a"),
        ("https://x.example/?tokens=12&page=2", "https://x.example/?tokens=12&page=2"),
        (f"token {TOKEN} was refused", "token hf_**** was refused"),
        ("https://me:secret@hub.example/x", "https://****@hub.example/x"),
        ("https://" + TOKEN + "@hub.example/x", "https://****@hub.example/x"),
        ("Authorization: Bearer abcdefghijklmnop.qrs", "Authorization: Bearer ****"),
        ("sk-ant-" + "x1" * 12, "sk-****"),
        ("mail me@example.org, see https://example.org/a@b", "mail me@example.org, see https://example.org/a@b"),
        ("hf_short and task-like names", "hf_short and task-like names"),
    ],
)
def test_masked(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_a_masked_stream_masks_and_is_otherwise_itself() -> None:
    under = io.StringIO()
    stream = MaskedStream(under)
    assert stream.write(TOKEN) == len(TOKEN)
    stream.writelines(["a ", TOKEN])
    stream.flush()
    assert under.getvalue() == "hf_****a hf_****"


def test_events_are_masked(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    append_event(folder, "warning", message=f"401 for {TOKEN}")
    assert json.loads(folder.events.read_text())["message"] == "401 for hf_****"


def test_events_are_masked_however_deep(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    append_event(folder, "recovery", before={"a": [f"x {TOKEN}"]}, after={"run.on_end": "curl https://me:pw@host/x"})
    told = json.loads(folder.events.read_text())
    assert told["before"] == {"a": ["x hf_****"]}
    assert told["after"] == {"run.on_end": "curl https://****@host/x"}


def test_a_torn_last_line_is_ended_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    repair_last_line(folder.events)
    assert not folder.events.exists()
    folder.events.write_bytes(b'{"v":1,"kind":"step"')
    repair_last_line(folder.events)
    repair_last_line(folder.events)
    append_event(folder, "warning", message="next")
    lines = folder.events.read_bytes().split(b"\n")
    assert len(lines) == 3
    assert json.loads(lines[1])["message"] == "next"


class _Disk(io.StringIO):
    """A log on a disk that is full for a while."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_whoever_prints_on_a_full_disk_goes_on_and_its_lines_come_when_there_is_room() -> None:
    disk = _Disk()
    log = MaskedStream(disk)
    assert log.write("step 1\n") == 7
    log.write("hf_abcdefghijklmnopqrstuvwx\n")
    disk.full = False
    log.write("step 3\n")
    log.write("step 4\n")
    assert disk.getvalue() == "step 1\nhf_****\nstep 3\nstep 4\n"


def test_a_device_that_is_always_full_ends_no_program() -> None:
    with Path("/dev/full").open("w", buffering=1) as file:
        log = MaskedStream(file)
        print("a line", file=log, flush=True)
        # The disk is full indeed: what is not masked fails.
        with pytest.raises(OSError, match="No space left"):
            print("a line", file=file, flush=True)
        with suppress(OSError):
            file.close()


def test_any_other_trouble_of_the_log_is_told() -> None:
    closed = io.StringIO()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        MaskedStream(closed).write("x")
