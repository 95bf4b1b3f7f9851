"""Reader of safetensors headers: every tensor's name, type and shape, without reading a single weight."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from presets.errors import InputError
from recommender.model.sources.missing_files import INDEX, SINGLE, get_again, missing_weights

_LARGEST_HEADER = 100_000_000
"""Bytes; the limit that the safetensors format's own reader sets."""
_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64", "F8_E4M3": "float8_e4m3fn"}
_BUFFERS = ("rotary_emb.inv_freq", ".masked_bias", ".attn.bias")
"""Ends of tensor names that old checkpoints store and that are no parameters."""

_LFS_POINTER = b"version https://git-lfs"
"""The start of a Git LFS pointer, which replaces a large file in a clone made without Git LFS (its specification)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a safetensors file."""

    dtype: str
    """As the format names it, such as 'BF16'."""
    shape: tuple[int, ...]
    start: int
    """First byte in the file."""
    end: int
    """Byte after its last one."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The contents of one model's safetensors files, from their headers."""

    shapes: Mapping[str, tuple[int, ...]]
    """Tensor name to shape, buffers left out."""
    dtype: str | None
    """The type that most of the parameters are stored in."""
    nbytes: int
    """Size of the files."""
    packed: bool = False
    """Whether any tensor is of bytes: that is how bitsandbytes stores 4-bit weights, two in a byte."""

    def parameters(self, *, tied: bool) -> int:
        """Parameters in the files; a stored copy of a tied head does not count."""
        return sum(math.prod(shape) for name, shape in self.shapes.items() if not (tied and name == "lm_head.weight"))


def read_weights(folder: Path) -> Weights | None:
    """Read the headers of a model folder's safetensors files; None where it has none.

    Raises:
        InputError: A file is missing, torn or no safetensors file.
    """
    if missing := not_here(folder):
        raise InputError(f"{folder} is not whole: {missing}.", remedy=get_again(folder))
    files = weight_files(folder)
    if not files:
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    stored: Counter[str] = Counter()
    for path in files:
        for name, entry in read_entries(path).items():
            if not name.endswith(_BUFFERS):
                shapes[name] = entry.shape
                stored[entry.dtype] += math.prod(entry.shape)
    common = stored.most_common(1)[0][0] if stored else ""
    nbytes = sum(path.stat().st_size for path in files)
    return Weights(shapes, _DTYPES.get(common, common.lower() or None), nbytes, packed="U8" in stored)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that a model is loaded from, as Transformers takes them: the single file, else the index's shards.

    Shards may be there or not; without either there are none. An index may be left over beside a single file.
    """
    if (folder / SINGLE).exists():
        return (folder / SINGLE,)
    index = folder / INDEX
    if not index.exists():
        return ()
    return tuple(folder / name for name in sorted(set(read_index(index)["weight_map"].values())))


def not_here(folder: Path) -> str:
    """The missing part of a folder's weights, as a clause; empty where nothing is missing, or there are none."""
    present = [path.name for path in folder.iterdir() if path.exists()]
    reads_index = INDEX in present and SINGLE not in present
    named = read_index(folder / INDEX)["weight_map"].values() if reads_index else None
    return missing_weights(present, named)


def read_index(path: Path) -> dict[str, Any]:
    """Read an index file: `weight_map` (tensor to file) and perhaps `metadata.total_size`.

    Raises:
        InputError: It is no such file, or names a file outside its folder.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON.", remedy=get_again(path.parent, path.name), detail=str(error)
        ) from error
    names = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{path} has no weight_map of file names.", remedy=get_again(path.parent, path.name))
    if outside := [name for name in names.values() if Path(name).name != name]:
        raise InputError(
            f"{path} names {outside[0]!r}, which is not in its own folder.", remedy=get_again(path.parent, path.name)
        )
    return dict(document)


def read_entries(path: Path) -> dict[str, Entry]:
    """Read one file's header: tensor name to its type, shape and place.

    The format: 8 bytes little-endian length, then that many bytes of JSON, then the tensors at `data_offsets`
    (https://huggingface.co/docs/safetensors, 'Format').

    Raises:
        InputError: The file is torn, or no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if not size:
                raise InputError(f"{path} is empty.", remedy=get_again(path.parent, path.name))
            start = file.read(len(_LFS_POINTER))
            if start == _LFS_POINTER:
                raise InputError(
                    f"{path} is a Git LFS pointer, not the weights.",
                    remedy="Run `git lfs pull` in its folder, or download the model again.",
                )
            file.seek(8)
            length = int.from_bytes(start[:8], "little")
            if size < 8 or not 2 <= length <= min(_LARGEST_HEADER, size - 8):
                raise _torn(path, f"the header should be {length} bytes and the file is {size}")
            header = json.loads(file.read(length))
        entries = {name: _entry(entry, 8 + length) for name, entry in header.items() if name != "__metadata__"}
        if (end := max((entry.end for entry in entries.values()), default=0)) > size:
            raise _torn(path, f"{end - size} bytes are missing at its end")
        return entries
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise _torn(path, "its header cannot be read", str(error)) from error


def _entry(raw: Mapping[str, Any], data: int) -> Entry:
    start, end = (data + int(offset) for offset in raw["data_offsets"])
    return Entry(str(raw["dtype"]), tuple(int(width) for width in raw["shape"]), start, end)


def _torn(path: Path, how: str, detail: str = "") -> InputError:
    return InputError(
        f"{path} is torn or is no safetensors file: {how}.",
        remedy=get_again(path.parent, path.name),
        detail=detail,
    )
