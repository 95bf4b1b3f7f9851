"""Summary of a run that has ended: how it went, its results, the next commands. For screens and plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recommender.units import count, counted, duration, gib
from trainer.results.export_targets import only_over_its_base
from tui.dashboard.event_lines import number, whole, word
from tui.dashboard.export_commands import adapter_path, own_code, serving
from tui.dashboard.now import MARKS, beside, elapsed, field, measured_bytes
from tui.terminal.sanitize import clean, clean_lines
from tui.widgets.curves.ticks import short
from tui.widgets.rows import Row, row

if TYPE_CHECKING:
    from trainer.history.reader import EvalPoint, Snapshot

LOG_LINES = 12
"""Number of the log's last lines that stand under a failure."""


def has_ended(snapshot: Snapshot) -> bool:
    """Whether the run has ended, in whatever way."""
    return bool(snapshot.state.ended or snapshot.died)


def ending_rows(snapshot: Snapshot, *, keys: bool = False) -> tuple[Row, ...]:
    """The summary of a run that has ended.

    Args:
        snapshot: The run.
        keys: Whether keys can be pressed where this is shown.

    Returns:
        Rows, parted by empty ones; a run that failed comes with its reason, remedy and last lines of the log.
    """
    groups: Sequence[Sequence[Row]] = (
        _headline(snapshot),
        _trouble(snapshot) if snapshot.status == "failed" else (),
        _resuming(snapshot),
        _figures(snapshot),
        _before_and_after(snapshot),
        _loading(snapshot),
        _next(snapshot, keys=keys),
        _log(snapshot) if snapshot.status == "failed" else (),
    )
    rows: list[Row] = []
    for group in groups:
        if group:
            rows += [row(), *group] if rows else group
    return tuple(rows)


def loading_lines(snapshot: Snapshot) -> tuple[str, ...]:
    """Python that loads the result; empty while there is none."""
    adapter = adapter_path(snapshot)
    if adapter is None:
        return ()
    trust = ", trust_remote_code=True" if own_code(snapshot) else ""
    if snapshot.config.get("method") == "full":
        return (
            "from transformers import AutoModelForCausalLM",
            f"tuned = {str(adapter)!r}",
            f'model = AutoModelForCausalLM.from_pretrained(tuned, dtype="auto"{trust})',
        )
    base = clean(str(snapshot.config.get("model") or snapshot.start.get("model") or "the base model"))
    if why := only_over_its_base(snapshot.config):
        return (
            f"# {why}:",
            f"# lora-wizard merge {clean(snapshot.argument)} -o DIR",
            "from transformers import AutoModelForCausalLM",
            f'model = AutoModelForCausalLM.from_pretrained("DIR", dtype="auto"{trust})',
        )
    return (
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM",
        # Paths are long: on lines of their own the rest stays readable where these are wrapped.
        f"base = {base!r}",
        f"adapter = {str(adapter)!r}",
        f'model = AutoModelForCausalLM.from_pretrained(base, dtype="auto"{trust})',
        "model = PeftModel.from_pretrained(model, adapter)",
    )


def _headline(snapshot: Snapshot) -> Sequence[Row]:
    mark, tone = MARKS.get(snapshot.status, ("■", "caution"))
    word_ = "died" if snapshot.died else clean(snapshot.status)
    total = snapshot.state.total_steps
    steps = (
        f"{count(snapshot.state.step)} of {counted(total, 'step')}" if total else counted(snapshot.state.step, "step")
    )
    seconds = elapsed(snapshot)
    parts = [steps, duration(seconds) if seconds is not None else "", _tokens(snapshot)]
    return [row((f"{mark} {word_}", tone), (f"  {' · '.join(part for part in parts if part)}", "bright"), indent=2)]


def _tokens(snapshot: Snapshot) -> str:
    tokens = whole(snapshot.end, "tokens") or (snapshot.steps[-1].tokens if snapshot.steps else None)
    return counted(tokens, "token") if tokens else ""


def _trouble(snapshot: Snapshot) -> Sequence[Row]:
    reason = snapshot.died or snapshot.state.reason or word(snapshot.end, "reason")
    rows = [field("why", (clean(reason), "bad"))] if reason else []
    signal, code = snapshot.state.signal, snapshot.state.exit_code
    if signal and signal not in (reason or ""):
        rows.append(field("signal", clean(signal)))
    elif code:
        rows.append(field("exit code", str(code)))
    if remedy := word(snapshot.end, "remedy"):
        rows.append(field("what to do", (remedy, "plain")))
    return rows


def _figures(snapshot: Snapshot) -> Sequence[Row]:
    rows: list[Row] = []
    known = [point for point in snapshot.evals if point.eval_loss is not None]
    if known:
        rows += _losses(known)
    measured = measured_bytes(snapshot)
    predicted = whole(snapshot.end, "predicted_bytes") or whole(snapshot.preflight, "predicted_bytes")
    if measured:
        rows.append(field("peak memory", (gib(measured), "bright"), *_against(measured, predicted)))
    adapter = adapter_path(snapshot)
    if adapter is not None:
        rows.append(field("adapter", (clean(str(adapter)), "accent")))
        rows += _kept(snapshot)
    return rows


def _kept(snapshot: Snapshot) -> Sequence[Row]:
    """Row that names the step of the adapter's state, where it is not the last one."""
    step = whole(snapshot.end, "adapter_step")
    if step is None or step == snapshot.state.step:
        return []
    loss = number(snapshot.end, "adapter_eval_loss")
    of = f"as it was before training{': the base is as good' if loss is not None else ''}" if step == 0 else ""
    return [field("", (of or f"of step {count(step)}, whose evaluation was the best", "caution" if of else "label"))]


def _losses(known: Sequence[EvalPoint]) -> Sequence[Row]:
    first, last = known[0], known[-1]
    best = min(known, key=lambda point: point.eval_loss or 0.0)
    when = _when(first.step)
    if first is last:
        # Stopped before a second evaluation: nothing can be said yet of what training did.
        return [field("eval_loss", (short(first.eval_loss or 0.0, 4), "bright"), (f" {when}", "label"))]
    return [
        field(
            "eval_loss",
            (short(first.eval_loss or 0.0, 4), "bright"),
            (f" {when} → ", "label"),
            (short(last.eval_loss or 0.0, 4), "good" if (last.eval_loss or 0) < (first.eval_loss or 0) else "caution"),
            (" last", "label"),
        ),
        field("best", (short(best.eval_loss or 0.0, 4), "bright"), (f" {_when(best.step)}", "label")),
    ]


def _when(step: int) -> str:
    return f"at step {count(step)}" if step else "before training"


def _against(measured: int, predicted: int | None) -> tuple[tuple[str, Any], ...]:
    if not predicted:
        return ()
    off = (predicted - measured) / measured
    shown = beside(gib(predicted), gib(measured))
    return (" measured, ", "label"), (shown, "bright"), (f" predicted ({off * 100:+.0f} %)", "label")


def _before_and_after(snapshot: Snapshot) -> Sequence[Row]:
    pair = answers(snapshot)
    if pair is None:
        return ()
    prompt, before, after = pair
    rows = [field("held-out", (prompt, "plain"))]
    rows += _answer("before", before, "label")
    rows += _answer("after", after, "good")
    return rows


def answers(snapshot: Snapshot) -> tuple[str, str, str] | None:
    """One prompt that was not trained on, answered before and after.

    Returns:
        Prompt (one line), answer before and answer after (lines kept); None when either is missing.
    """
    before: dict[str, Mapping[str, Any]] = {}
    for sample in snapshot.samples:
        prompt = sample.get("prompt")
        if not isinstance(prompt, str):
            continue
        if sample.get("when") == "before":
            before[prompt] = sample
        elif sample.get("when") == "after" and prompt in before:
            return clean(prompt), str(before[prompt].get("answer") or ""), str(sample.get("answer") or "")
    return None


def _answer(label: str, text: str, tone: Any) -> list[Row]:
    lines = [line for line in clean_lines(text) if line.strip()] or ["(nothing)"]
    return [field(label if index == 0 else "", (line, tone)) for index, line in enumerate(lines)]


def _loading(snapshot: Snapshot) -> Sequence[Row]:
    lines = loading_lines(snapshot)
    return [row(("load it with", "label"))] + [row((f"  {line}", "extra"), indent=6) for line in lines] if lines else ()


def _resuming(snapshot: Snapshot) -> Sequence[Row]:
    """Command that resumes an unfinished run: said first, for it is what a person looks for then."""
    if snapshot.status == "finished" or not snapshot.checkpoints:
        return ()
    saved = max((number(saved, "step") or 0 for saved in snapshot.checkpoints), default=0)
    return [_command(f"lora-wizard resume {clean(snapshot.argument)}", f"goes on from step {count(saved)}")]


def _next(snapshot: Snapshot, *, keys: bool) -> Sequence[Row]:
    rows = [row(("next", "label"))]
    if keys and adapter_path(snapshot) is not None:
        rows.append(
            row("  ", ("ctrl+p", "accent"), ("  then: Copy the adapter's path, or these lines", "label"), indent=2)
        )
    run = clean(snapshot.argument)
    if adapter_path(snapshot) is not None and snapshot.config.get("method") != "full":
        rows.append(_command(f"lora-wizard chat {run}", "asks base and tuned model the same"))
        rows.append(_command(f"lora-wizard merge {run} -o DIR", "makes one model of both"))
    rows += [_command(command, does) for command, does in serving(snapshot)]
    rows.append(_command("lora-wizard runs", "lists every run"))
    if snapshot.status == "finished" and (change := _advice(snapshot)):
        rows.append(row("  ", (change, "plain"), indent=2))
    return rows


def _command(command: str, does: str) -> Row:
    return row("  ", (command, "accent"), (f"  {does}", "label"), indent=2)


def _advice(snapshot: Snapshot) -> str:
    """Advice for another run, from the evaluations of this one."""
    known = [point for point in snapshot.evals if point.eval_loss is not None]
    if len(known) < 3:
        return ""
    best = min(known, key=lambda point: point.eval_loss or 0.0)
    last, before = known[-1], known[-2]
    if best.step == 0 and (last.eval_loss or 0) > (best.eval_loss or 0):
        return "No evaluation was better than the one before training: try other rows, or a lower learning_rate."
    if best.step < last.step and (last.eval_loss or 0) > 1.02 * (best.eval_loss or 0):
        return f"Evaluation was best at step {count(best.step)} and rose after it: fewer epochs would do."
    if best is last and (last.eval_loss or 0) < 0.99 * (before.eval_loss or 0):
        return "Evaluation loss was still falling: another epoch may help."
    return ""


def _log(snapshot: Snapshot) -> Sequence[Row]:
    if not snapshot.log:
        return ()
    title = f"the log's last lines ({clean(str(snapshot.path / 'worker.log'))})"
    return [row((title, "label"))] + [
        row((f"  {clean(line)}", "quiet"), indent=4) for line in snapshot.log[-LOG_LINES:]
    ]
