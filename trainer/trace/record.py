"""A recorder of every storage's allocation and release.

A storage is born when an operation's output first shows it, and dies when its last reference goes, which a weak
reference to the Python object of the storage tells (PyTorch keeps that object as long as the storage).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.ops.prim.device.default
HOST = "host"
"""Category of storages that a real run keeps in host memory: not replayed."""


@dataclass(slots=True)
class Recording:
    """The recorded events, in order. A birth is the number of a storage plus one, a death its negative, 0 a mark."""

    events: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes, by number of storage."""
    categories: list[str] = field(default_factory=list)
    """By number of storage."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records births and deaths of storages while it is active, one category at a time.

    Args:
        hidden: Bytes that a kernel takes and gives back without dispatch seeing it, by operation.
    """

    def __init__(self, hidden: dict[Any, Any] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recording = Recording()
        self.category = "activations"
        self._living: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self._hidden = hidden or {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and record the storages that it makes and that its kernel hides."""
        if func is DEVICE:
            # The most frequent call by far; a fake tensor knows its device without dispatch.
            return args[0].fake_device if hasattr(args[0], "fake_device") else func(*args)
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.see(out)
        elif isinstance(out, (tuple, list)):
            for each in out:
                if isinstance(each, torch.Tensor):
                    self.see(each)
        if (temporary := self._hidden.get(func)) is not None:
            self.passing(temporary(args, out))
        return out

    def see(self, tensor: torch.Tensor) -> int:
        """The number of a tensor's storage, recorded as born now if it is new.

        Returns:
            The number, -1 for storage that holds nothing.
        """
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._living.get(key)
        if known is not None:
            return known[0]
        size = storage.nbytes()
        if not size:
            return -1
        number = self._birth(size, self.category)
        events, living = self.recording.events, self._living

        def died(_: Any) -> None:
            living.pop(key, None)
            events.append(-number - 1)

        living[key] = (number, weakref.ref(storage, died))
        return number

    def label(self, tensor: torch.Tensor, category: str) -> None:
        """Change the category of a known tensor's storage."""
        number = self.see(tensor)
        if number >= 0:
            self.recording.categories[number] = category

    def passing(self, size: int, category: str | None = None) -> None:
        """Record bytes allocated and freed within an operation."""
        if size:
            number = self._birth(size, category or self.category)
            self.recording.events.append(-number - 1)

    def staying(self, size: int, category: str) -> None:
        """Record bytes that are allocated and kept."""
        self._birth(size, category)

    def mark(self) -> None:
        """Record the end of loading."""
        self.recording.events.append(0)

    @contextmanager
    def within(self, category: str) -> Iterator[None]:
        """Give a category to all storages that are born inside."""
        before, self.category = self.category, category
        try:
            yield
        finally:
            self.category = before

    def _birth(self, size: int, category: str) -> int:
        recording = self.recording
        number = len(recording.sizes)
        recording.sizes.append(size)
        recording.categories.append(category)
        recording.events.append(number + 1)
        return number
