"""Set up .venv for `make`: standard library only, because it runs before anything is installed.

usage: python3 scripts/setup.py [--venv DIR] [--extras dev]

It reuses a working torch of the Python that runs it, installs the tested versions of constraints.txt otherwise, and
ends with an error when an NVIDIA GPU is here and the torch that would be used cannot compute on it: a silent CPU run
would waste a night. LORA_WIZARD_CPU=1 says that a CPU run is wanted all the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 9)

TORCH_PROBE = """
import json
try:
    import torch
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
else:
    answer = {"version": torch.__version__, "built_for": torch.version.cuda, "cuda": False, "error": ""}
    try:
        if torch.cuda.is_available():
            a = torch.ones(8, 8, device="cuda")
            answer["cuda"] = float((a @ a).sum()) == 512.0
    except Exception as error:
        answer["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    print(json.dumps(answer))
"""


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"setup: {text}", flush=True)


def fail(text: str) -> None:
    """End with a message that says what to do."""
    sys.exit(f"setup: error: {text}")


def probe_torch(python: Path | str) -> dict[str, object]:
    """Ask an interpreter for its torch, in a process of its own, with one real product on the GPU if there is one."""
    done = subprocess.run(
        [python, "-c", TORCH_PROBE], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    lines = done.stdout.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else {}
    except ValueError:
        answer = {}
    return answer if isinstance(answer, dict) and answer else {"error": done.stderr.strip()[-200:] or "no answer"}


def nvidia_gpu_here() -> bool:
    """Whether the kernel shows an NVIDIA device (works in containers and without nvidia-smi)."""
    return (
        Path("/dev/nvidiactl").exists() or any(Path("/proc/driver/nvidia/gpus").glob("*")) or Path("/dev/dxg").exists()
    )


def version_tuple(text: object) -> tuple[int, ...]:
    """'2.13.0+cu130' is (2, 13)."""
    return tuple(int(part) for part in str(text).split("+")[0].split(".")[:2] if part.isdigit())


def reusable(answer: dict[str, object], gpu: bool) -> bool:
    """Whether the torch that is already there can be used: new enough, and it computes on the GPU if there is one."""
    return (
        not answer.get("error")
        and version_tuple(answer.get("version")) >= OLDEST_TORCH
        and (bool(answer.get("cuda")) or not gpu)
    )


def make_venv(venv: Path, reuse: bool) -> None:
    """Create the virtual environment; it sees the outer packages only when their torch is to be reused."""
    command = [sys.executable, "-m", "venv", *(["--system-site-packages"] if reuse else []), str(venv)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode:
        fail(
            f"could not make a virtual environment ({(done.stdout + done.stderr).strip()[-300:]}).\n"
            "  On Debian and Ubuntu: apt install python3-venv."
        )


def constraints_for(reuse: bool, venv: Path) -> Path:
    """The tested versions; without torch's own pin when another torch is reused."""
    tested = ROOT / "constraints.txt"
    if not reuse:
        return tested
    kept = [
        line
        for line in tested.read_text(encoding="utf-8").splitlines()
        if not line.startswith(("torch==", "triton==", "numpy=="))
    ]
    relaxed = venv / "constraints-reused-torch.txt"
    relaxed.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return relaxed


def install(venv: Path, extras: str, reuse: bool) -> None:
    """Install the project, editable, with the tested versions."""
    python = venv / "bin" / "python"
    constraints = constraints_for(reuse, venv)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(constraints)]
    # torch first and by its exact version: an open range would let the resolver fetch a newer build.
    steps = (
        []
        if reuse
        else [[line] for line in constraints.read_text(encoding="utf-8").splitlines() if line.startswith("torch==")]
    )
    target = f"{ROOT}[{extras}]" if extras else str(ROOT)
    for step in [*steps, ["-e", target]]:
        if subprocess.run([*pip, *step], check=False).returncode:
            fail(f"pip could not install {step[-1]}; its own message stands above. Fix that and run make again.")


def check_gpu(venv: Path, gpu: bool) -> None:
    """End with the remedy when the GPU that is here cannot be used by the torch that was installed."""
    answer = probe_torch(venv / "bin" / "python")
    if answer.get("error") and not answer.get("version"):
        fail(f"the installed torch does not load: {answer['error']}")
    if not gpu:
        say(f"torch {answer.get('version')}; no NVIDIA GPU here: small models train on the CPU")
        return
    if answer.get("cuda"):
        say(f"torch {answer.get('version')} computes on the GPU")
        return
    built_for = answer.get("built_for")
    if not built_for:
        why = f"torch {answer.get('version')} is a CPU build"
        remedy = "install a CUDA build of torch into .venv (see 'With a GPU' in README.md)"
    else:
        why = f"torch {answer.get('version')} was built for CUDA {built_for} and the GPU does not work with it"
        remedy = (
            f"update the NVIDIA driver to one that supports CUDA {built_for} (`nvidia-smi` shows what yours supports), "
            "or install a torch build for your driver and card into .venv (see 'With a GPU' in README.md)"
        )
    detail = f" ({answer['error']})" if answer.get("error") else ""
    if os.environ.get("LORA_WIZARD_CPU") == "1":
        say(f"warning: an NVIDIA GPU is here, but {why}{detail}; going on with the CPU as LORA_WIZARD_CPU=1 says")
        return
    fail(
        f"an NVIDIA GPU is here, but {why}{detail}.\n  To use it: {remedy}.\n"
        "  To go on with the CPU: LORA_WIZARD_CPU=1 make"
    )


def stamp_of(extras: str) -> str:
    """What the installation depends on, as one hash."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt", "scripts/setup.py"):
        digest.update((ROOT / name).read_bytes())
    digest.update(f"{extras} {sys.version_info[:2]}".encode())
    return digest.hexdigest()


def stamp_file(venv: Path, extras: str) -> Path:
    """Where that hash is kept, one file for each set of extras."""
    return venv / f".stamp-{extras or 'base'}"


def up_to_date(venv: Path, extras: str) -> bool:
    """Whether this set-up, or the larger one of the developers, was done for the files as they are now."""
    if not (venv / "bin" / "lora-wizard").exists():
        return False
    stamps = ((stamp_file(venv, each), stamp_of(each)) for each in {extras, "dev"})
    return any(file.exists() and file.read_text(encoding="utf-8") == wanted for file, wanted in stamps)


def main() -> None:
    """Set up, or do nothing when nothing has changed since the last time."""
    parser = argparse.ArgumentParser(description="Set up the virtual environment of lora-wizard.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--extras", default="")
    chosen = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        fail(
            f"Python {sys.version_info[0]}.{sys.version_info[1]} is too old, 3.11 or newer is needed: "
            "install one and run `make PYTHON=python3.12`."
        )
    if up_to_date(chosen.venv, chosen.extras):
        return
    gpu = nvidia_gpu_here()
    # Only the first set-up asks: later ones must not change what the environment sees.
    fresh = not (chosen.venv / "bin" / "python").exists()
    outer = probe_torch(sys.executable) if fresh else {}
    reuse = (fresh and reusable(outer, gpu)) or (chosen.venv / "constraints-reused-torch.txt").exists()
    if fresh:
        say(f"reusing torch {outer.get('version')} of {sys.executable}" if reuse else f"making {chosen.venv.name}")
        make_venv(chosen.venv, reuse)
    say("installing the tested versions (torch is the large one; this takes some minutes)")
    install(chosen.venv, chosen.extras, reuse)
    check_gpu(chosen.venv, gpu)
    stamp_file(chosen.venv, chosen.extras).write_text(stamp_of(chosen.extras), encoding="utf-8")


if __name__ == "__main__":
    main()
