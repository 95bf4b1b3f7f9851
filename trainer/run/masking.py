"""Masking of tokens and passwords in texts that others may see: the log, the events, the model card."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Any, Final, TextIO

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a full disk or quota."""
MOST_HELD: Final = 2**20
"""Characters of the log that are kept while they cannot be written."""
HIDDEN: Final = "****"
TOKEN: Final = re.compile(
    # Hugging Face, OpenAI and Anthropic, GitHub, Weights & Biases and AWS as their documentation shows them.
    r"\b(hf_|api_org_|sk-|gh[pousr]_|github_pat_|wandb_v1_)[A-Za-z0-9_\-]{16,}|\b(AKIA)[0-9A-Z]{16}\b"
)
CREDENTIALS: Final = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.\-]{1,20}://)[^/\s@'\"]+@")
BEARER: Final = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/\-]{16,}=*")


IN_QUERY: Final = re.compile(
    # What signs a download or opens a door as a part of the address: signed links of clouds and of the hub's storage.
    r"(?i)([?&](?:[\w\-]*(?:token|key|secret|signature|password|credential)|sig)=)[^&\s'\"<>]+"
)
HOOK: Final = re.compile(
    # Whoever has one of these addresses can write in its owner's name: Slack, Discord, Telegram.
    r"(?i)(hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/|api\.telegram\.org/bot)[^\s'\"?]+"
)


def mask(text: str) -> str:
    """The text with tokens shortened to their kind, and URLs without credentials."""
    text = TOKEN.sub(lambda found: (found.group(1) or found.group(2)) + HIDDEN, text)
    text = BEARER.sub(lambda found: found.group(1) + HIDDEN, text)
    text = IN_QUERY.sub(lambda found: found.group(1) + HIDDEN, text)
    text = HOOK.sub(lambda found: found.group(1) + HIDDEN, text)
    return CREDENTIALS.sub(lambda found: f"{found.group('scheme')}{HIDDEN}@", text)


def mask_all(value: Any) -> Any:
    """A JSON value with all texts in it masked, however deep; keys stay."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {key: mask_all(each) for key, each in value.items()}
    return [mask_all(each) for each in value] if isinstance(value, list | tuple) else value


class MaskedStream:
    """A text stream that masks what is written to it; everything else is the stream's own.

    It is a run's log, on the run's own disk: where that is full, whoever prints must not fail for it. What could not be
    written is kept, the latest of it, and comes with the next line that can be.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held = ""

    def write(self, text: str) -> int:
        """Write, masked."""
        shown = self._held + mask(text)
        try:
            self._stream.write(shown)
        except OSError as problem:
            if problem.errno not in FULL:
                raise
            self._held = shown[-MOST_HELD:]
        else:
            self._held = ""
        return len(text)

    def flush(self) -> None:
        """Flush, as far as the disk has space."""
        try:
            self._stream.flush()
        except OSError as problem:
            if problem.errno not in FULL:
                raise

    def writelines(self, lines: list[str]) -> None:
        """Write each, masked."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
