"""Byte counts of a download, taken from the hub library's progress bar; this one draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def bytes_bar(on_bytes: Callable[[int, int], None]) -> Any:
    """Return a class of tqdm's for `hf_hub_download`.

    Args:
        on_bytes: Called with bytes done and bytes in all of a file (0 where the hub does not say). What it
            raises ends the download.
    """
    # tqdm says nothing of its types.
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            # Xet has two bars: one counts bytes over the wire ('.transfer'), the other bytes written to the disk.
            self.counts = not str(options.pop("name", None) or "").endswith(".transfer")
            self.come, self.bytes = int(options.get("initial") or 0), int(options.get("total") or 0)
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.come += int(n or 0)
            if self.counts:
                on_bytes(self.come, self.bytes)

    return Bar
