"""The checks before a run, so that a failure comes now, with its remedy, and not hours into the run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from presets.errors import InputError, NoError
from recommender.data.tokens.converted import why_refused
from recommender.model.own_code import missing, question
from recommender.model.sources.missing_files import missing_tokenizer, no_weights
from recommender.plan.checks.trainable import cut_sentence, question_of_cuts, stops_of
from recommender.units import counted, gib
from recommender.warning import texts
from trainer.preflight.gate import require_trainable
from trainer.preflight.line import CheckLine, CheckStatus
from trainer.preflight.measurements import keep
from trainer.preflight.pace import out_of_bounds, times
from trainer.preflight.worst_step import measure_worst_step
from trainer.process.children import Cancelled, ChildAnswer, ask, follow
from trainer.run.folder import SPARE_BYTES, can_be_written, nearest_folder, require_place

if TYPE_CHECKING:
    from recommender.config.schema import FinetuneConfig
    from recommender.data.dataset import DataSet
    from recommender.estimate.types import Estimate
    from recommender.machine.facts import Device
    from recommender.model.spec import ModelSpec

Outcome = tuple[CheckStatus, str, str]
"""Status, detail, remedy."""
CheckSteps = Generator[tuple[int, int], None, Outcome]
"""A long check: done and total while it runs, its outcome at the end."""
UNTRIED = "not tried: fix what failed above first"


@dataclass(frozen=True)
class Subject:
    """The run to be checked."""

    config: FinetuneConfig
    device: Device
    model: ModelSpec
    dataset: DataSet
    estimate: Estimate
    runs: Path
    cancelled: Cancelled
    allow_busy: bool = False
    after: list[Estimate] = field(default_factory=list)
    """The same estimate once the worst step was measured."""

    @property
    def run_seconds(self) -> float | None:
        """Seconds of the run at the pace of the measured step; None where there is none."""
        time = self.after[-1].time if self.after else None
        return time.total_seconds if time and time.basis == "measured" else None

    def take(self, measured: dict[str, float]) -> None:
        """Keep a measured worst step; the estimate follows it even where the state folder cannot be written."""
        from recommender.estimate.estimate import estimate
        from recommender.memory.measured import measured_here

        about = (self.config, self.model, self.device, self.dataset.profile)
        one, known = keep(*about, measured), measured_here(self.device)
        if one is not None:
            self.after.append(estimate(*about, known=known if one in known else (*known, one)))


def run_checks(
    config: FinetuneConfig,
    device: Device,
    *,
    model: ModelSpec,
    dataset: DataSet,
    runs: Path,
    cancelled: Cancelled = lambda: False,
    clock: Callable[[], float] = time.monotonic,
    allow_busy: bool = False,
) -> Iterator[CheckLine]:
    """Run the list, top to bottom: each line once as 'running', then with its result.

    Args:
        config: What would be trained.
        device: What on.
        model: Its architecture, as `read_model` returned it.
        dataset: Its rows, as `profile_data` returned them.
        runs: Folder of runs.
        cancelled: Asked a few times a second; the rest is skipped once it says true.
        clock: Monotonic seconds.
        allow_busy: Whether another run on the device is no reason to stop.
    """
    from recommender.estimate.estimate import estimate

    settings = CheckLine("settings", "settings", "running")
    yield settings
    status, detail, remedy = check_settings(config, model, device, dataset)
    yield replace(settings, status=status, detail=detail, remedy=remedy)
    if status == "fail":
        # What contradicts itself has no price, and nothing else says more.
        yield from (
            replace(settings, key=key, title=title, status="skipped", detail=UNTRIED) for key, title, *_ in CHECKS
        )
        return
    expected = estimate(config, model, device, dataset.profile)
    subject = Subject(config, device, model, dataset, expected, runs, cancelled, allow_busy)
    failed = False
    for key, title, check, needs_all in CHECKS:
        line = CheckLine(key, title, "running")
        if cancelled():
            yield replace(line, status="skipped", detail="cancelled")
            continue
        if needs_all and failed:
            yield replace(line, status="skipped", detail=UNTRIED)
            continue
        failed = (yield from _checked(line, check, subject, clock)) or failed


def _checked(
    line: CheckLine,
    check: Callable[[Subject], Outcome | CheckSteps],
    subject: Subject,
    clock: Callable[[], float],
) -> Generator[CheckLine, None, bool]:
    """Yield the line as running, at each progress and with its result; return whether it failed."""
    yield line
    began = clock()
    outcome = check(subject)
    if not isinstance(outcome, tuple):
        outcome = yield from _with_progress(line, outcome)
    status, detail, remedy = outcome
    cut = line.key == "data" and status == "fail"
    yield replace(
        line,
        status=status,
        detail=detail,
        remedy=remedy,
        seconds=clock() - began,
        question=question_of_cuts(subject.dataset.profile, subject.config, subject.model) if cut else None,
        run_seconds=subject.run_seconds if line.key == "worst_step" else None,
    )
    return status == "fail"


def _with_progress(line: CheckLine, steps: CheckSteps) -> Generator[CheckLine, None, Outcome]:
    """Yield the line again at each progress of a long check; return its outcome."""
    while True:
        try:
            yield replace(line, progress=next(steps))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def check_settings(config: FinetuneConfig, model: ModelSpec, device: Device, dataset: DataSet) -> Outcome:
    """Check that the values fit each other, the model, the device and installed packages, and are near the advice."""
    from recommender.plan.checks.unusual import far_values

    try:
        require_trainable(config, model, device)
    except InputError as problem:
        return "fail", problem.message, problem.remedy
    if far := list(far_values(config, model, device, dataset.profile)):
        return "warn", " ".join(texts(far)), ""
    return "ok", "the values fit each other, the model and this device", ""


def check_disk(subject: Subject) -> Outcome:
    """Check the disk space for checkpoints, the one being written, the adapter, and a download where there is one."""
    from recommender.paths import model_cache_dir

    try:
        require_place(subject.runs)
    except InputError as problem:
        return "fail", problem.message, problem.remedy
    needed = subject.estimate.disk_bytes + SPARE_BYTES
    free = shutil.disk_usage(nearest_folder(subject.runs)).free
    if free < needed:
        return "fail", f"{gib(free)} free in {subject.runs}, {gib(needed)} needed", "Free some room, or use --runs."
    if not subject.model.has_weights and (download := subject.model.weights_bytes):
        cache = model_cache_dir()
        if not can_be_written(cache):
            return "fail", f"the model is to be downloaded and {cache} cannot be written", "Set HF_HOME elsewhere."
        cache_free = shutil.disk_usage(nearest_folder(cache)).free
        if cache_free < download:
            return (
                "fail",
                f"{gib(cache_free)} free in {cache}, the model needs {gib(download)}",
                "Set HF_HOME elsewhere.",
            )
    return "ok", f"{gib(needed)} needed for checkpoints and adapter, {gib(free)} free", ""


def check_memory(subject: Subject) -> Outcome:
    """Check the host RAM for loading."""
    import psutil

    from recommender.machine.host.host import read_host

    needed = subject.estimate.host_bytes
    free = min(psutil.virtual_memory().available, read_host(subject.runs).ram_available)
    if free < needed:
        return "warn", f"loading needs about {gib(needed)}, {gib(free)} are free", "Close something that uses memory."
    return "ok", f"about {gib(needed)} needed, torch and its libraries included, {gib(free)} free", ""


def check_model(subject: Subject) -> Outcome:
    """Check that the weights are here, or can be downloaded."""
    model = subject.model
    if model.unsupported:
        return "fail", model.unsupported, "Choose another model."
    if model.own_code and subject.config.trust_remote_code is None:
        return "fail", *question(model, subject.config.model)
    if model.has_weights:
        code = f"; runs its own code, as agreed: {', '.join(model.own_code)}" if model.own_code else ""
        return "ok", f"weights in {model.path}{code}", ""
    if model.access:
        return "fail", model.access, ""
    if model.source in {"hub", "catalogue"}:
        size = f", {gib(model.weights_bytes)}" if model.weights_bytes else ""
        return "ok", f"will be downloaded{size}", ""
    return "fail", f"{model.path or model.name} has no safetensors weights", no_weights(model.path)


def check_data(subject: Subject) -> Outcome:
    """Check that the rows can be trained on as they are."""
    from recommender.config.io import value_text

    profile = subject.dataset.profile
    if stops := stops_of(profile, subject.config):
        return "fail", stops[0].text, "`lora-wizard data` shows the rows as the model sees them."
    if profile.tokenizer != "exact" and subject.model.has_weights:
        if subject.model.path is None:
            return "fail", f"{subject.model.name} has no tokenizer here, so no row can be turned into tokens", ""
        lacks, remedy = missing_tokenizer(subject.model.path, why_refused(subject.model.path))
        return "fail", f"{subject.model.path} {lacks}, so no row can be turned into tokens", remedy
    read = f"{counted(profile.rows, 'row')}, {profile.trained_share:.0%} of tokens trained".replace("%", " %")
    if question := question_of_cuts(profile, subject.config, subject.model):
        ways = [f"{key} {value_text(held)}" for way in question.choices for key, held in way.set.items()]
        return "fail", question.text, f"Set {' or '.join(ways)}."
    if cut := cut_sentence(profile, subject.config):
        return "warn", f"{read}; {cut}", "Raise max_length to keep them whole."
    return "ok", read, ""


def check_torch(subject: Subject) -> Outcome:
    """Check that the worker's torch computes on this device."""
    return _probe(subject, "torch")


def check_quantisation(subject: Subject) -> Outcome:
    """Check that bitsandbytes' 4-bit products work on this device."""
    if subject.config.quantization.bits is None:
        return "ok", "not used: the base stays in 16 or 32 bits", ""
    return _probe(subject, "quantisation")


def _probe(subject: Subject, what: str) -> Outcome:
    options = ["--cuda"] if subject.device.kind == "cuda" else []
    answer = ask("trainer.worker.measure.probe", what, *options, device=subject.device, cancelled=subject.cancelled)
    if answer.cancelled:
        return "skipped", "cancelled", ""
    if answer.document is None:
        last = answer.errors.splitlines()[-1:] or [f"exit code {answer.code}"]
        return "fail", f"its process ended without an answer: {last[0][:200]}", "Reinstall torch and bitsandbytes."
    document = answer.document
    return "ok" if document.get("ok") else "fail", str(document.get("detail", "")), str(document.get("remedy", ""))


def check_gpu_free(subject: Subject) -> Outcome:
    """Check that no other process holds the device."""
    from trainer.process.device_lock import device_holder, run_names, weakness

    if other := device_holder(subject.device):
        name, wanted = run_names(other)
        remedy = f"Stop it with `lora-wizard stop {wanted}`, wait, or give --allow-busy."
        return "warn" if subject.allow_busy else "fail", f"the run {name} is training on it", remedy
    if weak := weakness(subject.device):
        return "warn", weak, "Set XDG_STATE_HOME to a folder on a local disk."
    if subject.device.passed_over:
        return "warn", subject.device.passed_over, "`lora-wizard doctor` says what helps; a start takes the CPU."
    if subject.device.kind == "cpu":
        return "ok", "no other run trains on this CPU", ""
    from recommender.machine.probe import gpu_now

    gpu = gpu_now(subject.device.uuid)
    held = sum(process.used_bytes or 0 for process in gpu.processes) if gpu else 0
    if gpu and gpu.processes:
        return "warn", f"{len(gpu.processes)} other processes hold {gib(held)} on it", "End them to have it all."
    return "ok", "nothing else holds it", ""


def check_logout(subject: Subject, root: Path = Path("/")) -> Outcome:  # noqa: ARG001
    """Check that the run outlives this terminal, and a logout."""
    from recommender.machine.host.logind import kills_at_logout
    from trainer.process.launch import logout_scope

    if not kills_at_logout(root):
        return "ok", "the run outlives this terminal and a logout", ""
    if logout_scope(root):
        return "ok", "the run outlives a logout in a scope of your user's systemd", ""
    return (
        "warn",
        "logind ends your processes at logout (KillUserProcesses=yes), a running training too",
        "Run `loginctl enable-linger` once; then the run gets a scope of its own.",
    )


def check_download(subject: Subject) -> CheckSteps:
    """Download missing files; afterwards the worker finds the model in the cache."""
    model = subject.model
    here = model.has_weights and not missing(model)
    if here or model.hub_id is None:
        return "ok", "not needed: the weights are here", ""
    revision = subject.config.revision
    options = ["--revision", revision] if revision else []
    options += ["--code"] if model.own_code else []
    child = follow("trainer.models.download", model.hub_id, *options, device=None, cancelled=subject.cancelled)
    while True:
        try:
            come = next(child)
        except StopIteration as end:
            return _download_outcome(end.value)
        if "done_bytes" in come:
            yield int(come["done_bytes"]), int(come["total_bytes"])


def _download_outcome(answer: ChildAnswer) -> Outcome:
    document = answer.document or {}
    if answer.cancelled:
        return "skipped", "cancelled; what has come is kept", ""
    if answer.code == 0 and "path" in document:
        return "ok", f"in {document['path']}", ""
    last = answer.errors.splitlines()[-1:] or [f"exit code {answer.code}"]
    return "fail", str(document.get("reason") or last[0])[:300], str(document.get("remedy", ""))


def check_worst_step(subject: Subject) -> Outcome:
    """Run one whole step of the longest real batch with the optimizer, and one evaluation batch."""
    try:
        measured = measure_worst_step(subject.config, subject.device, subject.estimate, subject.cancelled)
    except NoError as failure:
        return "fail", failure.message, failure.remedy
    if measured is None:
        return "skipped", "cancelled", ""
    subject.take(measured)
    taken = subject.run_seconds
    predicted = subject.estimate.peak.process_bytes
    peak = int(measured.get("process_bytes") or measured.get("allocated_bytes") or 0)
    off = f" ({(predicted - peak) / peak * 100:+.0f} %)" if peak else ""
    took = f", step {measured['step_seconds']:.1f} s" if measured.get("step_seconds") else ""
    detail = f"measured {gib(peak)}, predicted {gib(predicted)}{off}{took}"
    wrong = out_of_bounds(subject.estimate, taken, measured)
    told = "; ".join(part for part in (detail, times(subject.estimate, taken), wrong) if part)
    return "warn" if wrong or peak > subject.estimate.free_bytes else "ok", told, ""


CHECKS: tuple[tuple[str, str, Callable[[Subject], Outcome | CheckSteps], bool], ...] = (
    ("disk", "disk", check_disk, False),
    ("memory", "host RAM", check_memory, False),
    ("model", "model", check_model, False),
    ("data", "data", check_data, False),
    ("torch", "torch on this device", check_torch, False),
    ("quantisation", "quantisation", check_quantisation, False),
    ("free", "device", check_gpu_free, False),
    ("logout", "logout", check_logout, False),
    ("download", "download", check_download, True),
    ("worst_step", "one worst-case step", check_worst_step, True),
)
"""Key, title, check, and whether it is tried only when all before it held."""
