"""Commands that use a run's result in other programs, each exact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from trainer.results.export_targets import unknown_to_llama_cpp, unknown_to_vllm, vllm_rank
from tui.terminal.sanitize import clean

if TYPE_CHECKING:
    from trainer.history.reader import Snapshot

Command = tuple[str, str]
"""A command line, and what it does."""


def adapter_path(snapshot: Snapshot) -> Path | None:
    """Path of the result; None while there is none."""
    named = snapshot.end.get("adapter")
    if isinstance(named, str) and named:
        return snapshot.path / named
    return snapshot.adapter if (snapshot.adapter / "adapter_config.json").is_file() else None


def own_code(snapshot: Snapshot) -> bool:
    """Whether the base brought Python code of its own, which whoever loads it executes too."""
    return bool(snapshot.start.get("own_code"))


def serving(snapshot: Snapshot) -> Sequence[Command]:
    """Commands that use the result elsewhere; none while there is no result.

    An adapter that a program would misread is not offered to it: merged, it is a model like any other.
    """
    result = adapter_path(snapshot)
    if result is None:
        return ()
    config, path, name = snapshot.config, quote(clean(str(result))), clean(snapshot.run_id)
    trust = " --trust-remote-code" if own_code(snapshot) else ""
    push = (f"hf upload YOUR-NAME/{name} {path}", "pushes it to the hub")
    if config.get("method") == "full":
        return (f"vllm serve {path}{trust}", "serves it"), push
    base = quote(clean(str(config.get("model") or "BASE")))
    found: list[Command] = []
    if why := unknown_to_vllm(config):
        found.append(("vllm serve DIR", f"serves it once merged: {why}"))
    else:
        lora = f"--enable-lora --max-lora-rank {vllm_rank(config)} --lora-modules tuned={path}"
        found.append((f"vllm serve {base}{trust} {lora}", "serves it"))
    if why := unknown_to_llama_cpp(config):
        found.append(("python convert_hf_to_gguf.py DIR", f"makes it llama.cpp's once merged: {why}"))
    else:
        local = f" --base {base}" if base.startswith(("/", "'/")) else ""
        found.append((f"python convert_lora_to_gguf.py {path}{local}", "makes it llama.cpp's"))
    return *found, push
