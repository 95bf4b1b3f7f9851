"""The hub's address, and whether it answers in time."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

PROBE_SECONDS = 3.0
"""Given to the hub to be reachable at all."""
_TRUE = {"1", "ON", "YES", "TRUE"}


def is_offline(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether HF_HUB_OFFLINE (or Transformers' TRANSFORMERS_OFFLINE) tells to stay off the network."""
    return any(environment.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def endpoint(environment: Mapping[str, str] = os.environ) -> str:
    """The hub's address: HF_ENDPOINT, else huggingface.co."""
    return (environment.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def reachable(seconds: float = PROBE_SECONDS) -> bool:
    """Whether something listens at the hub's address, or at the proxy that leads there, within `seconds`."""
    if is_offline():
        return False
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(endpoint())
    proxy = getproxies().get(parts.scheme)
    if proxy and parts.hostname and not proxy_bypass(parts.hostname):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))

    def connect() -> bool:
        try:
            socket.create_connection(address, timeout=seconds).close()
        except OSError:
            return False
        return True

    try:
        # A name that nobody resolves blocks for longer than any socket's own limit.
        return within(seconds, connect)
    except TimeoutError:
        return False


def within(seconds: float, work: Callable[[], T]) -> T:
    """Run `work` with a time limit and return its result; its thread is left behind when it takes longer.

    Raises:
        TimeoutError: It took longer than `seconds`.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True, name="hub")
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError
    return results[0]
