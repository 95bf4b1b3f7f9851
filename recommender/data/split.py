"""Which rows are held out for evaluation: by content and seed, so that the same rows are held out every time."""

from __future__ import annotations

from hashlib import blake2b

from recommender.data.dataset import DataSet


def split(dataset: DataSet, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to hold out.

    Rows with equal content share a digest and so a side. The distinct contents are ordered by a keyed hash of their
    digest and the first of them are held out, so adding rows moves few others across. Of two or more distinct rows
    at least one is held out and at least one trained on; the share is of rows, met to within the last content's copies.

    Args:
        dataset: Rows with content digests.
        fraction: Share held out, 0 to below 1; 0 holds out none.
        seed: `training.seed`.

    Returns:
        Indices to train on and to hold out, each in file order.
    """
    digests = dataset.index.digest
    everything = list(range(len(digests)))
    copies: dict[int, int] = {}
    for digest in digests:
        copies[digest] = copies.get(digest, 0) + 1
    if fraction <= 0 or len(copies) < 2:
        return everything, []
    wanted = max(1, round(fraction * len(digests)))
    held: set[int] = set()
    count = 0
    for digest in sorted(copies, key=lambda digest: _order(digest, seed)):
        if count >= wanted or len(held) == len(copies) - 1:
            break
        held.add(digest)
        count += copies[digest]
    train = [i for i in everything if digests[i] not in held]
    return train, [i for i in everything if digests[i] in held]


def _order(digest: int, seed: int) -> bytes:
    return blake2b(digest.to_bytes(8, "big"), digest_size=8, key=str(seed).encode()).digest()


def overlap(train: DataSet, held_out: DataSet) -> int:
    """Rows of the held-out set whose content is also trained on."""
    trained = set(train.index.digest)
    return sum(digest in trained for digest in held_out.index.digest)
