"""Runs one function in a child of its own for each of many model types, and keeps the results a line each.

Libraries are imported once, before the children are forked. A child has a limit of memory and of time, so that one type
can neither take the machine nor the others with it. Types that have a line already are not tried again.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

MEMORY: Final = 10 * 2**30
"""Bytes of address space that a child may have."""
SECONDS: Final = 600
"""Wall time after which a child is ended."""


def versions() -> dict[str, str]:
    """The libraries that a result depends on."""
    return {name: version(name) for name in ("transformers", "peft", "torch", "trl", "bitsandbytes")}


def try_each(
    types: Iterable[str], work: Callable[[str], Mapping[str, Any]], kept: Path, show: Callable[[Mapping[str, Any]], str]
) -> list[dict[str, Any]]:
    """Try every type that has no line yet.

    Args:
        types: Model types.
        work: Called in a child; what it returns is a line.
        kept: The file of lines.
        show: One line for a person.

    Returns:
        All lines of these types, in their order.
    """
    found = {line["type"]: line for line in read(kept)}
    wanted = list(types)
    for model_type in wanted:
        if model_type in found:
            continue
        began = time.monotonic()
        line = {"type": model_type, **_in_child(work, model_type)}
        line["seconds"] = round(time.monotonic() - began, 1)
        found[model_type] = line
        with kept.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        print(show(line), flush=True)
    return [found[model_type] for model_type in wanted]


def read(kept: Path) -> list[dict[str, Any]]:
    """The lines so far."""
    if not kept.is_file():
        return []
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]


def reason(problem: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text}"[:300]


def _in_child(work: Callable[[str], Mapping[str, Any]], model_type: str) -> dict[str, Any]:
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(SECONDS)
            said = json.dumps(dict(work(model_type)))
        except BaseException as problem:
            said = json.dumps({"error": reason(problem)})
        os.write(into, said.encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    if not told:
        return {"error": f"the child was ended by signal {os.WTERMSIG(status)}"}
    answer: dict[str, Any] = json.loads(told)
    return answer
