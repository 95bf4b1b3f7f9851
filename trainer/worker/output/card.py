"""The model card: base, data, settings and result of an adapter, for readers of later years."""

from __future__ import annotations

import hashlib
import json
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from presets.errors import WizardError
from recommender.config.io import dump_config
from recommender.data.sources.files import find_files
from trainer.results.export_targets import only_over_its_base
from trainer.run.masking import HIDDEN, mask
from trainer.worker.loop.best import why_kept

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from trainer.worker.job import Job

MOST_FILES = 20
"""Number of data files that are listed one by one."""
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "datasets")


def model_card(job: Job) -> str:
    """The card as Markdown with the hub's front matter (huggingface.co/docs/hub/model-cards).

    Args:
        job: The run as it ended.
    """
    base = plain(job.spec.hub_id or job.spec.name)
    library = "transformers" if job.config.method == "full" else "peft"
    front = [f"base_model: {json.dumps(base, ensure_ascii=False)}"] if job.spec.hub_id else []
    front += [f"library_name: {library}", "pipeline_tag: text-generation", "tags:", "- lora-wizard"]
    front += [f"- {job.stage.facts.name}", *(["- lora"] if library == "peft" else [])]
    configured = mask(dump_config(_shown(job.config))).rstrip()
    parts = [
        "---\n" + "\n".join(front) + "\n---",
        f"# {plain(job.folder.id)}",
        f"{_what(job)} of `{base}`, made by lora-wizard on {time.strftime('%Y-%m-%d')}.",
        "## Result\n\n" + _table(_results(job)),
        "## Data\n\n" + _table(_data(job)),
        "## Use\n\n" + _use(job, base),
        *_own_code(job),
        "## How\n\n" + _table(_versions(job)) + "\n\n```yaml\n" + configured + "\n```",
    ]
    return mask("\n\n".join(parts)) + "\n"


def _shown(config: FinetuneConfig) -> FinetuneConfig:
    """Return the configuration without the person's own command: the card goes to the hub, the command does not."""
    if config.run.on_end is None:
        return config
    return config.model_copy(update={"run": config.run.model_copy(update={"on_end": HIDDEN})})


def plain(text: str) -> str:
    """Return a text on one line, without control characters and without marks of Markdown or HTML."""
    kept = "".join(character for character in text if character.isprintable())
    return kept.replace("`", "'").replace("<", "‹").replace(">", "›").replace("|", "¦")[:300]


def _what(job: Job) -> str:
    if job.config.method == "full":
        return "A full fine-tune"
    held = f" on a {job.config.quantization.bits}-bit base" if job.config.quantization.bits else ""
    return f"A LoRA adapter (r {job.config.lora.r}, alpha {job.config.lora.lora_alpha:g}{held})"


def _results(job: Job) -> list[tuple[str, str]]:
    trainer = job.trainer
    found = [
        ("steps", f"{int(trainer.state.global_step)} of {job.steps.total}"),
        ("tokens", f"{job.recorder.tokens:,}"),
    ]
    if trainer.first_eval is not None and trainer.last_eval is not None:
        found.append(("evaluation loss", f"{trainer.first_eval:.4f} before, {trainer.last_eval:.4f} at the last look"))
    if trainer.best:
        when = f"at step {trainer.best[1]}" if trainer.best[1] else "before training"
        found.append(("best evaluation loss", f"{trainer.best[0]:.4f} {when}"))
    if job.kept and (why := why_kept(job.trainer, job.kept)):
        found.append(("what is kept", why))
    return found


def _data(job: Job) -> list[tuple[str, str]]:
    rows = [("trained rows", f"{len(job.rows.train):,}")]
    if job.rows.held_out is not None:
        rows.append(("held-out rows", f"{len(job.rows.held_out):,}"))
    rows.append(("training rows as the model sees them", f"SHA-256 `{job.rows.digest()}`"))
    found = [
        read
        for name in (*job.config.data.train_paths, *(held.path for held in job.config.data.eval_sources))
        for read in _read_from(name)
    ]
    rows += found[:MOST_FILES]
    return rows + ([("…", f"and {len(found) - MOST_FILES:,} files more")] if len(found) > MOST_FILES else [])


def _read_from(name: str) -> list[tuple[str, str]]:
    """Return the files behind a name of the configuration; a data set of the hub is none."""
    try:
        files = find_files(name)
    except WizardError:
        return [(f"`{plain(name)}`", "a data set by its name")]
    return [(f"`{plain(file.name)}`", f"SHA-256 `{_digest(file)}`") for file in files]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return "not read"


def _own_code(job: Job) -> list[str]:
    """Return the section on executed code of the base model: whoever uses the result executes it too."""
    if not job.own_code:
        return []
    rows = [(f"`{plain(name)}`", f"SHA-256 `{digest}`") for name, digest in job.own_code.items()]
    return ["## Code of the base model\n\nTrained with trust_remote_code: this code was executed.\n\n" + _table(rows)]


def _use(job: Job, base: str) -> str:
    trust = ", trust_remote_code=True" if job.own_code else ""
    if job.config.method == "full":
        return f"```python\nfrom transformers import pipeline\n\npipe = pipeline('text-generation', 'PATH'{trust})\n```"
    if why := only_over_its_base(job.config.model_dump()):
        return f"Only over the base as it was trained: {why}. Merged (`lora-wizard merge`), it is one like any other."
    return (
        "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"base = AutoModelForCausalLM.from_pretrained('{base}'{trust})\n"
        "model = PeftModel.from_pretrained(base, 'PATH')\ntokenizer = AutoTokenizer.from_pretrained('PATH')\n```"
    )


def _versions(job: Job) -> list[tuple[str, str]]:
    found = [("seed", str(job.config.training.seed))]
    for name in LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def _table(rows: list[tuple[str, str]]) -> str:
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)
