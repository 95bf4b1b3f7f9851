"""Measurement of a plan's worst step in a process of its own."""

from __future__ import annotations

import json
import signal
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from presets.errors import NoError
from trainer.process.children import Cancelled, ChildAnswer, ask
from trainer.process.ending import UNTELLING
from trainer.process.strategy import devices_of, strategy_of
from trainer.run import exits
from trainer.run.folder import RunFolder, write_atomically
from trainer.run.ranks import clear

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.estimate.types import Estimate
    from recommender.machine.facts import Device


def measure_worst_step(
    config: FinetuneConfig, device: Device, planned: Estimate, cancelled: Cancelled = lambda: False
) -> dict[str, float] | None:
    """The keys of a 'preflight' event, measured by a worker that does nothing else; None when cancelled.

    Of several processes all measure at once, and the one that needs most counts.

    Args:
        config: What to measure.
        device: On which device.
        planned: The configuration's estimate.
        cancelled: Asked a few times a second.

    Raises:
        NoError: The step failed; says why, and what would help against that.
    """
    from recommender.config.io import dump_config

    with tempfile.TemporaryDirectory(prefix="lora-wizard-check-") as scratch:
        folder = RunFolder(Path(scratch))
        write_atomically(folder.config, dump_config(config))
        write_atomically(folder.effective_config, dump_config(config))
        plan = {"estimate": planned.document(), "device": asdict(device)}
        write_atomically(folder.plan, json.dumps(plan, default=str))
        launch = strategy_of(config, device, devices_of(config, device)).launch(folder, device, resume=False)
        module, environment = "trainer.worker", None
        arguments = [scratch, "--preflight-only"]
        if launch.launcher:
            clear(folder, launch.ranks)
            module, environment = "trainer.worker.launcher", launch.environment
            arguments += ["--processes", str(launch.ranks)]
        answer = ask(module, *arguments, device=device, cancelled=cancelled, environment=environment)
    if answer.cancelled:
        return None
    if answer.code == 0 and answer.document is not None:
        return answer.document
    raise step_failure(answer)


def step_failure(answer: ChildAnswer) -> NoError:
    """The error of a failed worst step, with a remedy only where one is known to help."""
    document = answer.document or {}
    told = [line for line in answer.errors.splitlines() if line.strip() and not UNTELLING.match(line)]
    why = str(document.get("reason") or f"its process ended: {[f'exit code {answer.code}', *told][-1]}")[:300]
    if answer.code == -signal.SIGKILL:
        # Nobody else sends it to a child of ours: the kernel does, when the host's memory is used up.
        return NoError(f"{why} (SIGKILL)", remedy="Lower the batch size or max_length: memory was used up.")
    if answer.code in exits.FORESEEN or document.get("remedy"):
        return NoError(why, remedy=str(document.get("remedy") or ""))
    return NoError(why, remedy="`lora-wizard doctor` checks torch and the libraries beside it.")
