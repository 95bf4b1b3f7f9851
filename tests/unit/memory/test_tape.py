"""The folds of a tape, by hand."""

from __future__ import annotations

from recommender.memory.layers.tape import Op, Peaks, peaks_of


def test_a_backward_pass_holds_what_this_operation_and_those_before_it_keep() -> None:
    """At b 10 + 20 + 7, at a 10 + 5."""
    assert peaks_of([Op("a", kept=10, backward=5), Op("b", kept=20, backward=7)]) == Peaks(30, 0, 30, 37, 0)


def test_the_worst_may_be_early_in_the_layer() -> None:
    """Gradients of later operations have come by then: a's moment is 10 + 50 + 3, b's 10 + 1 + 3."""
    peaks = peaks_of([Op("a", kept=10, backward=50), Op("b", kept=1, gradient=3)])
    assert (peaks.backward, peaks.gradient) == (63, 3)


def test_a_forward_pass_holds_what_has_been_kept_so_far() -> None:
    """b's 40 beside a's 10, not beside c's 30."""
    assert peaks_of([Op("a", kept=10), Op("b", forward=40), Op("c", kept=30)]).forward == 50


def test_what_a_context_holds_is_not_freed_on_the_way() -> None:
    """b's held 8 are there when a runs."""
    peaks = peaks_of([Op("a", kept=1, backward=2), Op("b", held=8)])
    assert (peaks.kept, peaks.held, peaks.backward) == (9, 8, 11)


def test_nothing_costs_nothing() -> None:
    """An empty tape."""
    assert peaks_of([]) == Peaks(0, 0, 0, 0, 0)
