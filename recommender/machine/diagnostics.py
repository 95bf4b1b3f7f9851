"""Diagnostics of this machine, good and bad, each with its remedy. Pure: facts in, sentences out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from recommender.machine import wheels
from recommender.machine.capability import version
from recommender.machine.facts import Diagnostic, Gpu, Host, NvmlState, NvmlStatus, Software
from recommender.machine.gpu.unused import PassedOver, cpu_is_wanted
from recommender.machine.gpu.visible import VARIABLE, order_is_certain, visible_gpus
from recommender.machine.software import missing
from recommender.units import gib

_SMALL_SHM = 2**30


def diagnostics(
    gpus: tuple[Gpu, ...],
    nvml: NvmlState,
    host: Host,
    software: Software,
    environment: Mapping[str, str] = os.environ,
    *,
    unused: PassedOver | None = None,
) -> tuple[Diagnostic, ...]:
    """All diagnostics, failures first.

    Args:
        gpus: As NVML lists them.
        nvml: How NVML is.
        host: The machine around them.
        software: Versions.
        environment: CUDA_VISIBLE_DEVICES.
        unused: The GPU that is passed over for the CPU.
    """
    if cpu_is_wanted(environment):
        # What a GPU lacks is nothing to this person.
        gpus = ()
    found = [
        *_driver(nvml, software, unused),
        *_shared(gpus),
        *_visible(gpus, environment),
        *_torch(gpus, software),
        *_packages(gpus, software),
        *_host(host),
    ]
    order = {"fail": 0, "warn": 1, "ok": 2}
    return tuple(sorted(found, key=lambda notice: order[notice.level]))


def _driver(nvml: NvmlState, software: Software, unused: PassedOver | None) -> Iterator[Diagnostic]:
    if unused is not None:
        yield Diagnostic(unused.level, unused.text, unused.remedy)
    elif nvml.status is not NvmlStatus.OK:
        yield Diagnostic("warn", nvml.message, nvml.remedy)
    if nvml.status is NvmlStatus.OK and software.driver:
        cuda = f" (CUDA {software.cuda_driver})" if software.cuda_driver else ""
        yield Diagnostic("ok", f"driver {software.driver}{cuda}")


def _shared(gpus: tuple[Gpu, ...]) -> Iterator[Diagnostic]:
    for gpu in gpus:
        if gpu.memory_shared:
            yield Diagnostic("ok", f"{gpu.name} has no memory of its own: what the host has free counts")


def _visible(gpus: tuple[Gpu, ...], environment: Mapping[str, str]) -> Iterator[Diagnostic]:
    text = environment.get(VARIABLE)
    if text is None or not gpus:
        return
    left = visible_gpus(gpus, environment)
    if len(left) < len(gpus):
        names = ", ".join(f"GPU {gpu.index} {gpu.name}" for gpu in left) or "no GPU, so plans are for this CPU"
        yield Diagnostic("warn", f"{VARIABLE}={text} leaves {names}.", f"To use the others: unset {VARIABLE}.")
    if not order_is_certain(gpus, environment):
        yield Diagnostic(
            "warn",
            f"{VARIABLE} counts in CUDA's order, which may not be that of this list: the cards differ.",
            "Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by their UUID (nvidia-smi -L).",
        )


def _torch(gpus: tuple[Gpu, ...], software: Software) -> Iterator[Diagnostic]:
    """Notices on the installed torch: one that cannot use the GPU fails with a remedy; there is no silent CPU run."""
    torch = software.versions.get("torch")
    working = [gpu for gpu in gpus if not gpu.problem]
    if torch is None:
        yield Diagnostic(
            "fail", "torch is not installed: plans can be made, training cannot start.", _install(gpus, software)
        )
    elif not working:
        cpu = "" if software.torch_cuda or "+" in torch else " (CPU)"
        yield Diagnostic("ok", f"torch {torch}{cpu}")
    elif software.torch_cuda is None:
        yield Diagnostic(
            "fail",
            f"torch {torch} is a build without CUDA: it cannot use {working[0].name}.",
            _install(working, software),
        )
    elif software.cuda_driver and not wheels.runs_on_driver(software.torch_cuda, software.cuda_driver):
        yield _driver_too_old(torch, working, software)
    else:
        yield from _kernels(torch, working, software)


def _driver_too_old(torch: str, gpus: list[Gpu], software: Software) -> Diagnostic:
    major = int(software.torch_cuda.partition(".")[0]) if software.torch_cuda else 0
    needed = wheels.MINIMUM_DRIVER.get(major)
    update = f"Update the driver to {needed} or newer" if needed else "Update the driver"
    line = _pip(gpus, software)
    return Diagnostic(
        "fail",
        f"The NVIDIA driver ({software.driver}) supports CUDA {software.cuda_driver}, and torch {torch} is built for "
        f"CUDA {software.torch_cuda}: it cannot use the GPU.",
        f"{update}, or install a torch for this driver: {line}" if line else f"{update}: no torch wheel fits this one.",
    )


def _kernels(torch: str, gpus: list[Gpu], software: Software) -> Iterator[Diagnostic]:
    build = wheels.build_of(torch, software.torch_cuda or "")
    without = [
        gpu
        for gpu in gpus
        if build is not None and gpu.compute_capability and not build.has_kernels_for(gpu.compute_capability)
    ]
    for gpu in without:
        major, minor = gpu.compute_capability or (0, 0)
        line = _pip([gpu], software)
        yield Diagnostic(
            "fail",
            f"torch {torch} (CUDA {software.torch_cuda}) has no kernels for GPU {gpu.index} {gpu.name} (compute "
            f"capability {major}.{minor}).",
            f"Install a torch that has: {line}" if line else _no_wheel(gpu, software),
        )
    if not without:
        shown = torch if "+" in torch else f"{torch} (CUDA {software.torch_cuda})"
        yield Diagnostic("ok", f"torch {shown}")


def _no_wheel(gpu: Gpu, software: Software) -> str:
    """The remedy for a card that no known torch wheel runs with this driver; a new enough driver is not blamed."""
    if gpu.compute_capability and gpu.compute_capability < (5, 0):
        return "No supported torch has kernels for a card this old: use another GPU, or plan for the CPU."
    if not wheels.is_newest(software.driver):
        needed = wheels.MINIMUM_DRIVER[13]
        return f"No known torch wheel runs it with this driver: update the driver to {needed} or newer."
    name = version(gpu.compute_capability)
    return (
        f"The driver is new enough; no known torch wheel for this machine has kernels for compute capability {name}. "
        "A build of the card's maker (NVIDIA's PyTorch container, or its wheels for Jetson) may."
    )


def _packages(gpus: tuple[Gpu, ...], software: Software) -> Iterator[Diagnostic]:
    absent = [name for name in missing(software.versions) if name != "torch"]
    if absent:
        names = ", ".join(absent)
        yield Diagnostic(
            "fail",
            f"Not installed: {names}. Training needs {'it' if len(absent) == 1 else 'them'}.",
            f"{wheels.pip_install()} {' '.join(absent)}",
        )
    for name in ("transformers", "trl", "peft", "bitsandbytes"):
        if version := software.versions.get(name):
            yield Diagnostic("ok", f"{name} {version}")
    if any(gpu.bf16 for gpu in gpus):
        flash = software.versions.get("flash-attn")
        yield Diagnostic(
            "ok", f"flash-attn {flash}" if flash else "attention by PyTorch's SDPA (flash-attn is not installed)"
        )


def _host(host: Host) -> Iterator[Diagnostic]:
    if host.kills_at_logout:
        yield Diagnostic(
            "warn",
            "logind ends your processes at logout (KillUserProcesses=yes), a running training too.",
            "Start with 'systemd-run --user --scope lora-wizard' after 'loginctl enable-linger', or have "
            "KillUserProcesses=no set in /etc/systemd/logind.conf.",
        )
    if host.shm_bytes is not None and host.shm_bytes < _SMALL_SHM:
        yield Diagnostic(
            "warn",
            f"/dev/shm is only {gib(host.shm_bytes)}: data is loaded in the training process itself.",
            "Nothing needs to be done. A container gets more with --shm-size=8g.",
        )
    variables = {"runs": "LORA_WIZARD_RUNS={0}", "model cache": "HF_HOME={0}"}
    for disk in host.disks:
        if disk.suggestion is not None:
            yield Diagnostic(
                "warn",
                f"{disk.purpose}: {disk.path} is in the container's own layer ({gib(disk.free)} free), gone with it.",
                f"Use the larger disk: export {variables[disk.purpose].format(disk.suggestion)}",
            )


def _install(gpus: list[Gpu] | tuple[Gpu, ...], software: Software) -> str:
    if line := _pip(list(gpus), software):
        return line
    if not gpus:
        return f"{wheels.pip_install()} torch=={wheels.TESTED_TORCH}"
    if not wheels.is_newest(software.driver):
        return f"Update the driver to {wheels.MINIMUM_DRIVER[13]} or newer, then: {wheels.pip_install()} torch"
    return _no_wheel(gpus[0], software)


def _pip(gpus: list[Gpu], software: Software) -> str | None:
    if not gpus:
        return None
    capabilities = [gpu.compute_capability for gpu in gpus if gpu.compute_capability]
    return wheels.pip_line(software.versions.get("torch"), software.cuda_driver, capabilities)
