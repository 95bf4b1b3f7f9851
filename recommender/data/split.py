"""Choice of the rows held out for evaluation: by content and seed, so that it is the same every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import gcd


def split(digests: Sequence[int], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train on and rows to hold out; see `held_out_contents`.

    Args:
        digests: Content digest of each row, in file order.
        fraction: Share held out, 0 to below 1; 0 holds out none.
        seed: `training.seed`.

    Returns:
        Indices to train on and to hold out, each in file order.
    """
    held = held_out_contents(digests, fraction, seed)
    train = [i for i, digest in enumerate(digests) if digest not in held]
    return train, [i for i, digest in enumerate(digests) if digest in held]


def held_out_contents(digests: Sequence[int], fraction: float, seed: int) -> set[int]:
    """The digests of the held-out contents.

    Rows with equal content share a digest and so a side. The distinct contents are ordered by a keyed hash of their
    digest, and each goes to the held-out side that fits into what the share still leaves, so adding rows moves few
    others across. Never more than the share is held out (a row where it is less than one), and at least one content
    is trained on. Of distinct rows the share is met exactly; none is held out where every content has more copies than
    the share has rows.

    Args:
        digests: Content digest of each row.
        fraction: Share held out, 0 to below 1; 0 holds out none.
        seed: `training.seed`.
    """
    copies = Counter(digests)
    held: set[int] = set()
    if fraction <= 0 or len(copies) < 2:
        return held
    left = wanted_rows(len(digests), fraction)
    for digest in sorted(copies, key=lambda digest: _order(digest, seed)):
        if not left or len(held) == len(copies) - 1:
            break
        if copies[digest] <= left:
            held.add(digest)
            left -= copies[digest]
    return held


def contents_by_copies(digests: Sequence[int]) -> dict[int, int]:
    """Histogram of duplicate-group sizes, {size: groups}: {1: 990, 2: 5} for five duplicated pairs in 1 000 rows."""
    return dict(Counter(Counter(digests).values()))


def count_held_out(digests: Sequence[int], contents: Mapping[int, int], fraction: float, seed: int) -> int:
    """Number of rows that `split` holds out, mostly without looking at a million of them.

    A content is passed over only where fewer rows are left to hold out than it has. So where those with the fewest
    copies, m, cannot run out, less than m rows are left at the end; and where every content has a multiple of m, they
    are the remainder of the rows wanted by m. With m = 1, as many are held out as are wanted.

    Args:
        digests: Content digest of each row.
        contents: `contents_by_copies` of them.
        fraction: Share held out, 0 to below 1; 0 holds out none.
        seed: `training.seed`, which matters for the count only where the contents with the fewest copies may run out.
    """
    wanted = wanted_rows(len(digests), fraction)
    if not wanted:
        return 0
    fewest = min(contents)
    if contents[fewest] > wanted // fewest and gcd(*contents) == fewest:
        return wanted - wanted % fewest
    held = held_out_contents(digests, fraction, seed)
    return sum(digest in held for digest in digests)


def wanted_rows(rows: int, fraction: float) -> int:
    """Number of rows in a share: at least one, and one is left to train on; none of a single row."""
    return min(rows - 1, max(1, round(fraction * rows))) if fraction > 0 and rows > 1 else 0


def _order(digest: int, seed: int) -> bytes:
    return blake2b(digest.to_bytes(8, "big"), digest_size=8, key=str(seed).encode()).digest()
