"""Whether a logout ends a user's processes here, by systemd-logind's KillUserProcesses."""

from __future__ import annotations

import os
import re
from pathlib import Path

_FILES = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd", "lib/systemd")
_SETTING = re.compile(r"^[ \t]*(#?)[ \t]*(Kill\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", flags=re.MULTILINE)
_YES = frozenset({"1", "yes", "y", "true", "t", "on"})


def kills_at_logout(root: Path = Path("/"), uid: int | None = None) -> bool | None:
    """Whether logind ends this user's processes at logout; None where no logind runs.

    The main file's first found copy is read, then the drop-ins of all places by file name, later ones winning
    (logind.conf(5)). Where nothing is set the commented line counts, for systemd ships its built-in default there.
    Root is spared unless KillExcludeUsers says otherwise.
    """
    if not (root / "run/systemd/seats").is_dir():
        return None
    who = os.getuid() if uid is None else uid
    settings, defaults = _settings(root)
    if who == 0 and "root" in settings.get("KillExcludeUsers", "root").split():
        return False
    return settings.get("KillUserProcesses", defaults.get("KillUserProcesses", "no")).lower() in _YES


def _settings(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The values set in logind.conf and its drop-ins, and the defaults that its comments name."""
    settings: dict[str, str] = {}
    defaults: dict[str, str] = {}
    main = next((path for place in _FILES if (path := root / place / "logind.conf").is_file()), None)
    dropins: dict[str, Path] = {}
    for place in reversed(_FILES):
        dropins |= {path.name: path for path in (root / place / "logind.conf.d").glob("*.conf")}
    for path in ([main] if main else []) + [dropins[name] for name in sorted(dropins)]:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for mark, key, value in re.findall(
            r"^[ \t]*(#?)[ \t]*(Kill\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", text, flags=re.MULTILINE
        ):
            (defaults if mark else settings)[key] = value
    return settings, defaults
