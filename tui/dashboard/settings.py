"""Lists the settings that a run trains with, as its configuration stands now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainer.run.masking import mask
from tui.terminal.sanitize import clean
from tui.widgets.curves.ticks import short
from tui.widgets.rows import Row, row

KEY_WIDTH = 38


def setting_rows(config: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Every setting, one a line; where it was changed on the way, what it was before.

    Args:
        config: config.effective.yaml as a document.
        events: Of the run; its 'recovery' events tell what was changed.
    """
    before: dict[str, Any] = {}
    for event in events:
        if event.get("kind") == "recovery" and isinstance(changed := event.get("before"), Mapping):
            # The first change is from what was asked for.
            before = {**{str(key): value for key, value in changed.items()}, **before}
    rows = [_row(key, value, before) for key, value in _flat(config)]
    return rows or [row(("its configuration cannot be read", "quiet"))]


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _row(key: str, value: Any, before: Mapping[str, Any]) -> Row:
    shown = row((f"{clean(key):<{KEY_WIDTH}} ", "label"), (_text(value), "bright"), indent=KEY_WIDTH + 1)
    if key not in before or before[key] == value:
        return shown
    return Row((*shown.parts, (f"   was {_text(before[key])}", "caution")), shown.indent)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return short(value, 6)
    if isinstance(value, list):
        return ", ".join(_text(each) for each in value) or "–"
    return clean(mask(str(value)))
