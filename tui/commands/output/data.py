"""Text of a data set and of one of its rows, with trained and cut parts, for a plain terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from tui.terminal.sanitize import as_markup, clean, clean_exactly
from tui.widgets.excerpt import left_out, places

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from recommender.config.schema import FinetuneConfig
    from recommender.data.dataset import DataSet, Sample
    from recommender.data.profile.profile import DataProfile
    from recommender.data.tokens.tokenise import Piece

BLOCKS = " ▁▂▃▄▅▆▇█"
MOST = 1200
"""Tokens of a row that nobody asked for."""


def bars(counts: list[int]) -> str:
    """A histogram as one line of eighth blocks; every bin that is not empty shows at least one eighth."""
    top = max(counts, default=0)
    return "".join(BLOCKS[max(1, round(8 * n / top))] if n else " " for n in counts) if top else ""


MARK, CUT = "▓", "✂"
"""Marks around trained text, and before text that is cut, where there is no style to say it."""


def sample_text(sample: Sample, *, marks: bool = False, whole: bool = True) -> Text:
    """A row as the model sees it: trained tokens reversed, special ones dim, cut ones struck through.

    Args:
        sample: The row.
        marks: Whether signs say so instead, for a pipe or a terminal without styles.
        whole: Whether a long row is shown whole, and not only where it tells something.
    """
    text = Text()
    drawn = 0
    for start, end in places(sample.pieces, len(sample.pieces) if whole else MOST):
        if start > drawn:
            text.append(left_out(start - drawn))
        text.append_text(_run(sample.pieces[start:end], marks=marks))
        drawn = end
    return text


def _run(pieces: Sequence[Piece], *, marks: bool) -> Text:
    """Tokens that follow each other."""
    text = Text()
    trained = cut = False
    for piece in pieces:
        if marks and piece.cut and not cut:
            text.append((MARK if trained else "") + CUT)
            trained, cut = False, True
        if marks and not cut and piece.trained != trained:
            text.append(MARK)
            trained = piece.trained
        style = " ".join(
            name for name, on in (("reverse", piece.trained), ("dim", piece.special), ("strike", piece.cut)) if on
        )
        text.append(clean_exactly(piece.text), style=None if marks else style or None)
    return text.append(MARK) if trained and marks else text


def chosen_row(dataset: DataSet, which: str, max_length: int) -> int:
    """The row that --row means: its number from 1, or longest, random, finding.

    Raises:
        InputError: it is none of these, or no row has a finding.
    """
    import random

    from presets.errors import InputError

    match which:
        case "longest":
            return dataset.longest(1)[0]
        case "random":
            return random.randrange(len(dataset))
        case "finding":
            found = dataset.next_finding(len(dataset) - 1, 1, max_length)
            if found is None:
                raise InputError("No row has a finding.", remedy="Show any row: --row random.")
            return found
    if not which.isdecimal() or not 1 <= int(which) <= len(dataset):
        raise InputError(
            f"There is no row '{which}': the data has {len(dataset)}.",
            remedy="Give a number from 1, or longest, random or finding.",
        )
    return int(which) - 1


def show_data(
    dataset: DataSet,
    max_length: int,
    row: int,
    console: Console,
    *,
    whole: bool = True,
    ids: bool = False,
    near: bool = False,
    config: FinetuneConfig | None = None,
) -> None:
    """Print the profile, what is wrong, and one row, with its token ids where asked for.

    Args:
        dataset: The data.
        max_length: Tokens of a row at most.
        row: Which row, from 0.
        console: Where.
        whole: Whether a long row is shown whole.
        ids: Whether the row's token ids are printed too.
        near: Whether near-identical rows were looked for.
        config: With the batch and the packing that are told; None tells nothing of packing.

    Raises:
        InputError: there is no such row.
    """
    from presets.errors import InputError
    from recommender.data.packing import limit_of, splits

    profile = dataset.profile
    if not 0 <= row < profile.rows:
        raise InputError(f"There is no row {row + 1}: the data has {profile.rows}.")

    def line(text: str) -> None:
        console.print(as_markup(text), soft_wrap=True)

    split = config is not None and splits(profile, config)
    _show_profile(profile, max_length, line, split=split, config=config)
    if near and not dataset.near.warnings:
        line("✓ no near-identical rows")
    _show_problems(dataset, max_length, line, split=split, config=config)
    limit = max_length if config is None else limit_of(profile, config)
    _show_row(dataset.sample(row, limit), console, line, whole=whole, ids=ids)


def _show_row(sample: Sample, console: Console, line: Callable[[str], None], *, whole: bool, ids: bool) -> None:
    """Print one row as the model will see it."""
    signs = console.color_system is None
    told = f"between {MARK}: what the loss sees; behind {CUT}: cut" if signs else "reversed: what the loss sees"
    line(f"--- row {sample.row + 1} as the model will see it ({told}) ---")
    for finding in sample.findings:
        line(f"! this row: {finding}")
    console.print(sample_text(sample, marks=signs, whole=whole), soft_wrap=True)
    if not whole and len(sample.pieces) > MOST:
        line(f"(the whole row: --row {sample.row + 1})")
    if ids:
        line(" ".join("?" if piece.token_id is None else str(piece.token_id) for piece in sample.pieces))


def _show_profile(
    profile: DataProfile, max_length: int, line: Callable[[str], None], *, split: bool, config: FinetuneConfig | None
) -> None:
    """Print what the data is, in rows and in tokens."""
    from recommender.data.profile.document import histogram
    from recommender.units import count, counted, percent

    line(f"{profile.shape}: {counted(profile.rows, 'row')}   {profile.shape_reason}")
    if profile.unread:
        line(f"not read: {', '.join(profile.unread)}")
    marks = "  ".join(f"p{int(q * 100)} {profile.quantile(q)}" for q in (0.5, 0.9, 0.95, 0.99))
    guessed = " (estimated from the text: no tokenizer at hand)" if profile.tokenizer == "bytes" else ""
    line(f"tokens  {marks}  max {profile.longest}  total {count(profile.total_tokens)}{guessed}")
    line(f"        {bars(histogram(profile, 40))}")
    line(_cut(profile, max_length, split=split))
    kept = profile.tokens_at(max_length)
    share = percent(profile.trained_at(max_length) / kept if kept else 0.0)
    turns = f"   turns: p50 {profile.turns_median}, max {profile.turns_most}" if profile.turns_most else ""
    method = f", found by {profile.mask_method}" if profile.mask_method not in {"", "all"} else ""
    line(f"trained on: {share} of tokens{method}   template: {profile.template}{turns}")
    if config is not None:
        line(_packing(profile, config))
    if profile.held_out is not None:
        line(f"held out: {counted(profile.held_out.rows, 'row')} in files of their own")
    for source in profile.sources if len(profile.sources) > 1 else ():
        line(f"  {source.name}: {counted(source.rows, 'row')} with weight {source.weight:g}, {source.shape}")


def _cut(profile: DataProfile, max_length: int, *, split: bool) -> str:
    """Effect of the limit on rows that are longer."""
    from recommender.units import counted, percent

    rows = counted(profile.rows_cut(max_length), "row")
    if split:
        return f"split at {max_length}: {rows}, packed in parts: nothing is cut"
    share = 1 - profile.tokens_at(max_length) / profile.total_tokens if profile.total_tokens else 0.0
    trained = 1 - profile.trained_at(max_length) / profile.trained_tokens if profile.trained_tokens else 0.0
    of_rows = percent(profile.rows_cut(max_length) / profile.rows)
    return f"cut at {max_length}: {rows} ({of_rows}), {percent(share)} of tokens, {percent(trained)} of trained ones"


def _packing(profile: DataProfile, config: FinetuneConfig) -> str:
    """Effect of packing at the configuration's batch."""
    from recommender.steps import packing_document
    from recommender.units import count, counted, percent

    found = packing_document(profile, config)
    how = "longer rows are split" if found["strategy"] == "bfd_split" else "rows stay whole"
    return (
        f"{'packed' if found['packed'] else 'if packed'} (batch {config.training.per_device_train_batch_size} × "
        f"{config.training.gradient_accumulation_steps}): padding {percent(found['padding_share'])} → 0 %, sequences "
        f"{percent(1 - found['empty_share'])} full, {count(found['steps'])} → {counted(found['steps_packed'], 'step')} "
        f"an epoch of about {counted(round(found['rows_in_step_packed']), 'row')}, {found['strategy']}: {how}"
    )


def _show_problems(
    dataset: DataSet, max_length: int, line: Callable[[str], None], *, split: bool, config: FinetuneConfig | None
) -> None:
    """Print duplicates, stops, warnings and bad rows."""
    from recommender.config.schema import Training
    from recommender.data.held_out_cut import held_out_warnings
    from recommender.steps import step_warnings
    from recommender.units import counted
    from recommender.warning import worst_first
    from tui.widgets.severity import plain_line

    profile = dataset.profile
    if profile.trains_end_of_turn is not None:
        mark = "✗" if not profile.trains_end_of_turn else "!" if profile.unended_answers else "✓"
        line(f"{mark} the end-of-turn token is {profile.end_of_turn_share if profile.ended_rows else 'not trained'}")
    if profile.duplicates:
        line(f"! {counted(profile.duplicates, 'exact duplicate')}")
    found = [*profile.stops_at(max_length), *dataset.near.warnings, *profile.warnings_at(max_length, split=split)]
    if config is not None:
        found += held_out_warnings(profile, config)
        # Of the schema's own values nobody has said that they are those of the run.
        found += step_warnings(profile, config) if config.training != Training() else ()
    for warning in worst_first(found):
        line(plain_line(warning))
    if dataset.near.earlier or dataset.near.held_out:
        line("  --row finding shows a near-duplicate")
    for bad in profile.bad_rows:
        line(f"  {bad.file}:{bad.line}: {bad.reason}" + (f": {clean(bad.start)}" if bad.start else ""))
