"""Writes the adapter with its model card, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from presets.errors import InputError
from recommender.plan.starting_adapter import BASE
from trainer.models.own_code import copy_code
from trainer.run.adapter import put_in_place
from trainer.run.base_model import Base
from trainer.run.checkpoints import seal
from trainer.worker.loop.best import bytes_of_trained
from trainer.worker.output.adapter import save_adapter
from trainer.worker.output.card import model_card
from trainer.worker.output.disk_space import record, save_with_room

if TYPE_CHECKING:
    from trainer.worker.job import Job


def finish_adapter(job: Job) -> None:
    """Write adapter/ under a temporary name, then rename."""
    record(job.folder, "status", status="saving")
    temporary = job.folder.path / ".adapter.tmp"

    def save() -> None:
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            _write(job, temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    save_with_room(job.folder, bytes_of_trained(job.trainer.model), save, job.requests.poll, "saving")
    put_in_place(job.folder, temporary)


def _write(job: Job, path: Path) -> None:
    model, gathered = job.trainer.model, job.trainer.gathered
    if job.config.method == "full":
        model.save_pretrained(str(path), state_dict=gathered)
    else:
        settings = model.peft_config["default"]
        # Loaded from a folder of this machine's cache: another machine knows it by its name.
        settings.base_model_name_or_path = job.spec.hub_id or str(job.spec.path)
        settings.revision = (job.config.revision or job.spec.revision) if job.spec.hub_id else None
        try:
            save_adapter(model, path, Path(str(job.spec.path)), own_code=bool(job.own_code), gathered=gathered)
        except InputError as problem:
            message = f"The adapter is saved under the trained class's names alone: {problem.message}"
            record(job.folder, "warning", message=message, remedy=problem.remedy)
    job.trainer.processing_class.save_pretrained(str(path))
    if job.own_code and job.config.method == "full":
        # The model is this folder: without its code nobody loads it.
        copy_code(Path(str(job.spec.path)), path)
    if job.config.method != "full" and (base := Base.read(job.folder)):
        # The adapter is worth nothing over other weights, wherever somebody takes it.
        (path / BASE).write_text(json.dumps(base.public()), encoding="utf-8")
    (path / "README.md").write_text(model_card(job), encoding="utf-8")
    seal(path)
