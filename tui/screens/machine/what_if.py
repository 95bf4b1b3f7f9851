"""Plan for a card that is not here: the catalogue of GPUs, with a filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recommender.units import gib
from tui.screens.popup import PickPopup
from tui.widgets.pick_list import Pick
from tui.widgets.rows import row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from presets.gpus import GpuFacts


class WhatIfScreen(PickPopup):
    """Answers with the name of a catalogue card."""

    def __init__(self, cards: Sequence[GpuFacts]) -> None:
        super().__init__(
            "what-if gpu",
            lambda width, wanted: card_picks(cards, width, wanted),
            filtered=True,
            note="2x NAME: two of them · enter chooses · to plan for, not to train on",
        )


def card_picks(cards: Sequence[GpuFacts], width: int, wanted: str) -> list[Pick]:
    """The cards with every word of the filter in name, kind or architecture; as many of each as a leading 2x says."""
    count, words = _wanted(wanted)
    kept = [card for card in cards if all(word in _searched(card) for word in words)]
    if not kept:
        return [Pick("none", (row((f"no card like '{wanted}' in the catalogue", "quiet")),), fixed=True)]
    return [_pick(card, width, count) for card in kept]


def _wanted(text: str) -> tuple[int, list[str]]:
    from recommender.estimate.data_parallel import split_count

    count, name = split_count(text)
    return count, name.lower().split()


def _searched(card: GpuFacts) -> str:
    return " ".join((card.name, card.kind, card.architecture, *card.aliases)).lower()


def _pick(card: GpuFacts, width: int, count: int) -> Pick:
    name = max(16, min(30, width - 50))
    major, minor = card.compute_capability
    shown = card.name if count == 1 else f"{count} × {card.name}"
    return Pick(
        shown,
        (
            row(
                (cell(shown, name), "bright"),
                (cell(gib(card.memory_bytes), 10, "right"), "plain"),
                (cell(f"  {card.architecture} {major}.{minor}", 18), "label"),
                (cell(f"{card.bandwidth / 1e9:.0f} GB/s", 10, "right"), "label"),
                (f"  {card.kind}", "quiet"),
            ),
        ),
    )
