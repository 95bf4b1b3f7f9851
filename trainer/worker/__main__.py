"""The worker: `python -m trainer.worker RUN [--resume | --preflight-only]`. Trains one run and records its end."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from presets.errors import WizardError
from trainer.launch import complete_checkpoints
from trainer.runfolder import RunFolder, record
from trainer.worker.orphan import Orphan
from trainer.worker.requests import Requests, StopNow

OUT_OF_MEMORY_EXIT = 3
"""Told apart by the supervisor from other failures."""


def main() -> int:
    """Run as a process of its own; every way out has recorded why."""
    parser = argparse.ArgumentParser(description="Train one run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--preflight-only", action="store_true")
    chosen = parser.parse_args()
    folder = RunFolder(chosen.run.absolute())
    if chosen.preflight_only:
        return _guarded(folder, lambda: _measure(folder), print_only=True)
    requests = Requests(folder)
    requests.listen_to_signals()
    with Orphan(folder):
        return _guarded(folder, lambda: _train(folder, requests, resume=chosen.resume), print_only=False)


def _measure(folder: RunFolder) -> int:
    from trainer.worker.job import measure_only

    return measure_only(folder)


def _train(folder: RunFolder, requests: Requests, *, resume: bool) -> int:
    record(folder, "status", status="loading")
    from trainer.worker.job import train

    return train(folder, requests, resume=resume)


def _guarded(folder: RunFolder, work: Callable[[], int], *, print_only: bool) -> int:
    """Do the work; whatever ends it is said in one sentence."""
    try:
        return work()
    except StopNow:
        saved = complete_checkpoints(folder)
        after = f"its last checkpoint is {saved[-1].name}" if saved else "it left no checkpoint"
        remedy = f"`lora-wizard resume {folder.id}` continues it." if saved else None
        record(folder, "end", status="stopped", reason=f"stopped at once, as asked; {after}", remedy=remedy)
        return 0
    except WizardError as error:
        return _failed(folder, error.message, error.remedy, 2, print_only=print_only)
    except Exception as error:
        traceback.print_exc()
        if _is_out_of_memory(error):
            remedy = "Lower the batch size (accumulate more), or turn gradient checkpointing on."
            return _failed(folder, "out of memory", remedy, OUT_OF_MEMORY_EXIT, print_only=print_only)
        first = (str(error).splitlines() or [""])[0][:300]
        why = f"{type(error).__name__}: {first}"
        return _failed(folder, why, f"{folder.log.name} has the details.", 1, print_only=print_only)


def _failed(folder: RunFolder, reason: str, remedy: str, code: int, *, print_only: bool) -> int:
    if print_only:
        import json

        print(json.dumps({"reason": reason, "remedy": remedy}))
    else:
        remedy = _priced_remedy(folder) or remedy if code == OUT_OF_MEMORY_EXIT else remedy
        record(folder, "end", status="failed", reason=reason, remedy=remedy, exit_code=code)
    return code


def _priced_remedy(folder: RunFolder) -> str:
    """The least harmful change that the estimator knows, in words; empty when it knows none."""
    from recommender.config.io import load_config
    from recommender.estimate import estimate
    from recommender.model.reader import read_model
    from recommender.remedies import remedies
    from recommender.units import gib
    from trainer.supervisor import read_device

    try:
        config, device = load_config(folder.effective_config), read_device(folder)
        spec = read_model(config.model, revision=config.revision)
        found = remedies(config, spec, device, None, estimate(config, spec, device))
    except (WizardError, OSError, ValueError, KeyError, TypeError):
        return ""
    return f"{found[0].label} saves {gib(found[0].saves_bytes)}; {found[0].costs}" if found else ""


def _is_out_of_memory(error: BaseException) -> bool:
    """CUDA's own error, and the CPU allocator's, which is a plain RuntimeError or MemoryError."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


if __name__ == "__main__":
    sys.exit(main())
