"""Undo and redo go through the drafts, one edit at a time."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.plan.facts import RTX_4090, T4
from tui.wizard.draft import UNDO_DEPTH, Draft, History


def edits(count: int) -> tuple[list[Draft], History]:
    """So many edits upon a first draft: all drafts, and the history of the last."""
    drafts = [Draft(values={"training.seed": number}, device=RTX_4090) for number in range(count + 1)]
    history = History()
    for draft in drafts[:-1]:
        history = history.edited(draft)
    return drafts, history


def test_undo_and_redo_lead_through_the_very_same_drafts() -> None:
    drafts, history = edits(3)
    draft = drafts[-1]
    for expected in (drafts[2], drafts[1], drafts[0]):
        draft, history = history.undone(draft)
        assert draft is expected
    assert not history.past
    for expected in drafts[1:]:
        draft, history = history.redone(draft)
        assert draft is expected
    assert not history.future and history.past == tuple(drafts[:3])


def test_there_is_nothing_before_the_first_and_after_the_last() -> None:
    (first, last), history = edits(1)
    assert History().undone(first) == (first, History())
    assert history.redone(last) == (last, history)


def test_an_edit_after_undo_leaves_nothing_to_redo() -> None:
    drafts, history = edits(2)
    draft, history = history.undone(drafts[-1])
    assert history.future == (drafts[2],)
    other = draft.with_values({"training.seed": 9})
    assert history.edited(draft) == History((drafts[0], drafts[1]))
    assert history.edited(draft).undone(other)[0] is drafts[1]


def test_it_is_as_long_as_it_may_be() -> None:
    drafts, history = edits(UNDO_DEPTH + 5)
    assert len(history.past) == UNDO_DEPTH and history.past[0] is drafts[5]


def test_a_draft_comes_back_on_the_device_as_it_is_now() -> None:
    (first, last), history = edits(1)
    now = replace(last, device=replace(RTX_4090, free_bytes=RTX_4090.free_bytes // 2))
    back, history = history.undone(now)
    assert back.device == now.device and back.values == first.values
    assert history.redone(back)[0] is now
    assert replace(back, device=T4).values == first.values


def test_the_drafts_since_one_and_the_history_until_it() -> None:
    drafts, history = edits(4)
    assert history.since(drafts[1]) == (drafts[2], drafts[3])
    assert history.since(drafts[3]) == ()
    assert history.since(None) == history.since(Draft()) == ()
    assert history.until(drafts[2]) == History((drafts[0], drafts[1]))
    assert history.until(drafts[4]).past == history.past
