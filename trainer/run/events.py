"""The kinds of line in a run's events.jsonl: the one language between worker, supervisor and every reader.

One JSON object a line, `{"v": 1, "t": <unix seconds>, "kind": …}` and the keys of its kind below. Keys may be missing
and new ones may appear; a reader ignores what it does not know. Bytes, seconds and tokens are plain numbers. A run of
several processes has one such file for each but the first, `ranks/<k>/events.jsonl`, every line of it with `rank`.

| kind | keys |
|---|---|
| status | status, reason, cause ('disk_full': of a pause that nobody asked for) |
| start | model, method, stage ('sft'; none in older runs), device, total_steps, eval_every, save_every (steps), epochs, trainable_parameters, train_rows, eval_rows, bad_rows, trained_share, precision, effective_batch_size, tokens_per_step (expected), flops_per_token, peak_flops (none on a CPU), resumed_from, own_code (file to SHA-256 of the Python code that came with the model and was executed), contents (rows and held_out, rows_sha256 and held_out_sha256: how many rows are read and held out, and the SHA-256 of their content digests; tokens_sha256: of the training rows as the model sees them), start_from (adapter, sha256: the adapter that training goes on from, and the digest of each of its files), world_size (training processes), strategy (single, ddp, fsdp: what the run really is), sharded_parameters (how many parameters are DTensors) |
| download | file, done_bytes, total_bytes |
| preflight | allocated_bytes, reserved_bytes, process_bytes, predicted_bytes, step_seconds, rows, length, basis, checkpoint_bytes, checkpoint_seconds |
| adapters | step, count (adapted modules), learning (those with a gradient), without (kinds of layer, each with its count, that cannot learn) |
| step | step, epoch, loss, learning_rate, grad_norm, tokens (so far), tokens_per_second, step_seconds, memory_bytes (allocated peak, or RSS), forward_seconds (of a run of several processes: a step's forward passes) |
| eval | step, eval_loss, rows, seconds, best |
| checkpoint | step, path (relative), bytes, seconds |
| sample | step, when ('before', 'during', 'after'), prompt, answer, expected |
| device | utilisation, temperature, power_watts, power_limit_watts, memory_used, memory_total, cpu_percent, rss_bytes, slowdown ('heat', 'power brake'), device (the GPU's UUID) |
| command | id, command, accepted, reason |
| warning | message, remedy |
| recovery | before, after, label, why, attempt, most |
| on_end | command, exit_code (none: it took too long), reason (it was not run, and why) |
| end | status, reason, remedy, exit_code, signal, first_eval_loss, last_eval_loss, best_eval_loss, best_step, adapter, adapter_step and adapter_eval_loss (of the state that it is), steps, tokens, seconds, recording_seconds (spent in the callback), peak_bytes, predicted_bytes |
"""

from __future__ import annotations

from typing import Any, Final, Literal

VERSION: Final = 1

Kind = Literal[
    "status",
    "start",
    "download",
    "preflight",
    "adapters",
    "step",
    "eval",
    "checkpoint",
    "sample",
    "device",
    "command",
    "warning",
    "recovery",
    "on_end",
    "end",
]
Status = Literal[
    "starting",
    "downloading",
    "loading",
    "preflight",
    "training",
    "evaluating",
    "saving",
    "recovering",
    "paused",
    "finished",
    "stopped",
    "failed",
]
Command = Literal["stop", "stop_now", "checkpoint", "evaluate", "pause", "continue", "stop_after_epoch"]

ENDED: Final[frozenset[str]] = frozenset({"finished", "stopped", "failed"})
"""Statuses after which nothing more happens."""

DISK_FULL: Final = "disk_full"
"""The `cause` of a pause that ends by itself once the disk has space again."""

HEARTBEAT_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 30.0
"""A heartbeat older than this with no live pid means that the run died."""


def event(kind: Kind, now: float, **keys: Any) -> dict[str, Any]:
    """Return one event as the object that its line holds.

    Args:
        kind: What happened.
        now: Unix seconds.
        **keys: The kind's own keys (table above); None values are left out.
    """
    return {"v": VERSION, "t": round(now, 3), "kind": kind, **{k: v for k, v in keys.items() if v is not None}}
