"""Missing files of a model, described alike for a folder, the hub's cache and the hub, with their remedies."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from shlex import quote
from typing import Final

SINGLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
SHARD: Final = re.compile(r"(model(?:\.safetensors)?-)(\d+)(-of-)(\d+)(\.safetensors)?")
"""A shard: `model-00001-of-00002.safetensors`, or `model.safetensors-00001-of-00002.safetensors` (Qwen 3.5).
Some count from 0 (MiniMax M2)."""
OTHERS: Final = ("adapter_model.safetensors", "optimizer.safetensors")
"""Files of that format that hold no model."""


def missing_weights(present: Collection[str], named: Collection[str] | None = None) -> str:
    """The missing part of the weights, as a clause; empty where nothing is missing, and where there are none at all.

    Args:
        present: Names of the files that are there.
        named: Those that the index names; None where it is not there, or was not read.
    """
    weights = [name for name in present if name.endswith(".safetensors") and name not in OTHERS]
    if named is not None:
        lost = sorted(set(named) - set(present))
        if lost and weights and len(lost) == len(set(named)):
            return f"{INDEX} is of other files ({lost[0]} …) than those that are there ({min(weights)} …)"
        return _some(lost, len(set(named))) if lost else ""
    if SINGLE in present or not weights:
        return ""
    shards = [found for name in weights if (found := SHARD.fullmatch(name))]
    if not shards and INDEX not in present:
        return f"its weights are in {min(weights)}, and only {SINGLE} or the files of an {INDEX} are read"
    lost, total = _lost_shards(shards)
    index = "" if INDEX in present else f"{INDEX} is missing, which says what is in which file"
    return " and ".join(part for part in (_some(lost, total) if lost else "", index) if part)


def _lost_shards(shards: Sequence[re.Match[str]]) -> tuple[list[str], int]:
    """Names of the shards that their own numbers miss, and how many there should be."""
    total = max((int(shard[4]) for shard in shards), default=0)
    here = {int(shard[2]) for shard in shards}
    first = 0 if 0 in here else 1
    before, number, of, last, after = shards[0].groups("") if shards else [""] * 5
    names = [f"{before}{n:0{len(number)}}{of}{last}{after}" for n in range(first, first + total) if n not in here]
    return names, total


def _some(lost: list[str], total: int) -> str:
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"{len(lost)} of {total} weight files {'is' if len(lost) == 1 else 'are'} missing ({lost[0]}{more})"


def hub_id_of(snapshot: Path) -> str | None:
    """The hub id of a snapshot's folder in the hub's cache; None for any other folder."""
    root = snapshot.parent.parent.name
    if snapshot.parent.name != "snapshots" or not root.startswith("models--"):
        return None
    return "/".join(root.removeprefix("models--").split("--", 1))


def get_again(folder: Path, torn: str | None = None) -> str:
    """The command that completes a model.

    Args:
        folder: Where its files are: a folder, or a snapshot in the hub's cache.
        torn: Name of a file that is there and not whole.
    """
    hub_id = hub_id_of(folder)
    if hub_id is not None:
        revision = f" --revision {folder.name}"
        if torn is None:
            return f"`hf download {hub_id}{revision}` gets what is missing; what is whole is kept."
        return f"`hf download {hub_id} {torn}{revision} --force-download` gets it again."
    into = f"`hf download ORG/NAME --local-dir {quote(str(folder))}`"
    if torn is None:
        return f"Copy what is missing from where it came; from the hub: {into}, which keeps what is whole."
    return f"Delete it and copy it from where it came again; from the hub: {into}."


def no_weights(folder: Path | None) -> str:
    """The remedy where a model's folder holds its configuration alone, or where there is no folder yet."""
    return get_again(folder) if folder else "Name a folder that has model.safetensors, or a model of the hub."


def missing_tokenizer(folder: Path, refused: str = "") -> tuple[str, str]:
    """The tokenizer file that stands in place of tokenizer.json, as a clause, and the remedy that converts it.

    Args:
        folder: The model's.
        refused: The reason why it could not be converted here, where that was tried.
    """
    names = ("tokenizer.model", "tekken.json", "tiktoken.model", "spiece.model", "vocab.json", "vocab.txt")
    older = next((name for name in names if (folder / name).is_file()), None)
    if refused:
        again = "Install it into this environment" if "pip install" in refused else "Take another copy of the model"
        return f"has {older} and no tokenizer.json, and it cannot be converted: {refused}", (
            f"{again}, or put a tokenizer.json of the same vocabulary into a copy of its folder."
        )
    place = quote(str(folder))
    if older is None:
        return "has no tokenizer.json", get_again(folder)
    code = f"from transformers import AutoTokenizer as T; T.from_pretrained('{folder}').save_pretrained('{folder}')"
    needs = ", which needs sentencepiece and protobuf installed" if older == "tokenizer.model" else ""
    return (
        f"has {older} and no tokenizer.json, the form that is read here",
        f"Make it of that{needs}: python -c {quote(code)}"
        if hub_id_of(folder) is None
        else f"Copy the model into a folder of its own (cp -rL {place} FOLDER), make tokenizer.json there{needs} "
        "(AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)), and give that folder as the model.",
    )
