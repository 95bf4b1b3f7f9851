"""Texts of the Model screen: its rows, their columns, and the facts of one model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recommender.paths import expanded
from recommender.units import count, gib, gib_number
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Part, Row, Tone, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from presets.models import CatalogueModel
    from recommender.estimate.types import Estimate
    from recommender.model.anatomy import Anatomy
    from recommender.model.sources.local import LocalModel
    from recommender.model.spec import ModelSpec

WIDE = 90
"""Columns from which names stand with their owner."""
METHODS = ("full", "lora", "qlora")
USE = "use:"
"""Key of the row that takes what was typed as a hub id or a folder."""
WORDS: Mapping[str, tuple[str, Tone]] = {"yes": ("FITS", "good"), "tight": ("TIGHT", "caution"), "no": ("NO", "bad")}


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that can be chosen."""

    name: str
    """Name as `read_model` takes it."""
    title: str
    group: Literal["chosen", "disk", "catalogue"]
    parameters: int | None = None
    context: int | None = None
    disk_bytes: int | None = None
    gated: bool = False
    trouble: str = ""
    """Reason that it cannot be read; empty when it can."""
    spec: ModelSpec | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """Fit of one method."""

    fits: str
    nbytes: int


UNKNOWN = Fit("unknown", 0)
"""Of a class whose memory is learned once the model is chosen."""

Fits = Mapping[str, Mapping[str, Fit]]
"""Model name to method to fit; a model that is not priced yet is missing."""


def fit_of(estimate: Estimate) -> Fit:
    """Fit that an estimate gives, as a row shows it."""
    return Fit(estimate.fits, estimate.peak.needed_bytes)


def refused(spec: ModelSpec | None) -> str:
    """The reason why a model cannot be trained here, for its row; empty where it can."""
    return f"cannot be trained here: {spec.unsupported}" if spec and spec.unsupported else ""


def entries(local: Iterable[LocalModel], catalogue: Iterable[CatalogueModel]) -> list[Entry]:
    """Entries of the models on this disk first, then of the catalogue without them."""
    here = [
        Entry(
            model.name,
            model.name if model.source == "cache" else model.path.name,
            "disk",
            model.spec.total_parameters if model.spec else None,
            model.spec.max_position_embeddings if model.spec else None,
            model.nbytes,
            trouble=model.trouble or refused(model.spec),
            spec=model.spec,
        )
        for model in local
    ]
    known = {entry.name.lower() for entry in here}
    return here + [
        Entry(model.name, model.hub_id, "catalogue", model.parameters, model.context, gated=model.gated)
        for model in catalogue
        if model.hub_id.lower() not in known
    ]


def with_chosen(all_entries: Sequence[Entry], name: str, spec: ModelSpec | None) -> tuple[list[Entry], str]:
    """The models and the name of the chosen one's row, which is added where the list has none: a folder, a hub id.

    Args:
        all_entries: Those that were found.
        name: The chosen model as the person gave it; empty before one is chosen.
        spec: Its facts.
    """
    if not name or spec is None:
        return list(all_entries), ""
    names = {_same(one) for one in (name, spec.name, spec.hub_id) if one}
    found = next((entry for entry in all_entries if _names(entry) & names or _same_files(entry.spec, spec)), None)
    if found is not None:
        return list(all_entries), found.name
    title = name.rstrip("/").rpartition("/")[2] if spec.path is not None else name
    size = spec.weights_bytes if spec.has_weights else None
    added = Entry(
        name, title, "chosen", spec.total_parameters, spec.max_position_embeddings, size, gated=spec.gated, spec=spec
    )
    return [added, *all_entries], name


def _same_files(one: ModelSpec | None, other: ModelSpec) -> bool:
    return one is not None and one.path is not None and one.path == other.path


def _names(entry: Entry) -> set[str]:
    return {_same(entry.name)} | ({_same(entry.title)} if entry.group == "catalogue" else set())


def _same(name: str) -> str:
    """A name by which two ways of writing one model are equal."""
    folder = expanded(name)
    try:
        return str(folder.resolve()) if folder.is_dir() else name.rstrip("/").lower()
    except OSError:
        return name.lower()


def matching(all_entries: Sequence[Entry], wanted: str) -> list[Entry]:
    """Entries that have every word of the filter in their name."""
    words = wanted.lower().split()
    return [entry for entry in all_entries if all(word in f"{entry.name} {entry.title}".lower() for word in words)]


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in cells."""

    name: int
    parameters: int = 8
    context: int = 8
    disk: int = 9
    fit: int = 11

    @classmethod
    def for_width(cls, width: int) -> Columns:
        """The name takes what the others leave."""
        if width < WIDE:
            return cls(max(12, width - 7 - 5 - 8 - 3 * 11), 7, 5, 8, 11)
        return cls(min(52, max(20, width - 9 - 9 - 10 - 3 * 14)), 9, 9, 10, 14)


def header(width: int) -> Row:
    """The columns' titles."""
    at = Columns.for_width(width)
    parts = cell("name", at.name) + cell("params", at.parameters, "right")
    parts += cell("context" if width >= WIDE else "ctx", at.context, "right") + cell("on disk", at.disk, "right")
    return row((parts + "".join("  " + cell(method, at.fit - 2) for method in METHODS), "quiet"))


def model_picks(
    shown: Sequence[Entry], fits: Fits, chosen: str, wanted: str, width: int, *, listing: bool = False
) -> list[Pick]:
    """The rows: groups with their headings, then 'use …' for what was typed."""
    at = Columns.for_width(width)
    picks: list[Pick] = []
    groups = (
        ("chosen", "chosen"),
        ("disk", "on this disk"),
        ("catalogue", "catalogue: planned from its published facts"),
    )
    for group, title in groups:
        members = [entry for entry in shown if entry.group == group]
        if members:
            picks.append(Pick(f"heading:{group}", (row((title, "accent")),), fixed=True))
            picks += [_pick(entry, fits.get(entry.name, {}), chosen, at, short=width < WIDE) for entry in members]
    if wanted.strip():
        typed = clean(wanted.strip())
        picks.append(
            Pick(
                USE + wanted.strip(),
                (row(("use ", "accent"), (typed, "bright"), ("  as a hub id or a folder", "quiet")),),
            )
        )
    elif listing:
        picks.append(Pick("listing", (row(("looking for models on this disk …", "quiet")),), fixed=True))
    return picks


def _pick(entry: Entry, fits: Mapping[str, Fit], chosen: str, at: Columns, *, short: bool) -> Pick:
    title = clean(entry.title.rpartition("/")[2] if short else entry.title)
    name: Part = (
        cell(("◉ " if entry.name == chosen else "") + title, at.name),
        "good" if entry.name == chosen else "bright",
    )
    if entry.trouble:
        return Pick(entry.name, (row(name, ("  ✗ ", "bad"), (clean(entry.trouble), "label")),))
    facts = (
        cell(count(entry.parameters) if entry.parameters else "", at.parameters, "right")
        + cell(context(entry.context), at.context, "right")
        + cell(gib(entry.disk_bytes) if entry.disk_bytes is not None else "", at.disk, "right")
    )
    parts: list[Part] = [name, (facts, "label")]
    for method in METHODS:
        parts += _fit(fits.get(method), at.fit)
    return Pick(entry.name, (row(*parts),))


def context(tokens: int | None) -> str:
    """A context length as people call it: '8k', '128k'."""
    if not tokens:
        return ""
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def _fit(fit: Fit | None, width: int) -> list[Part]:
    if fit is None:
        return [(cell("  …", width), "quiet")]
    if fit is UNKNOWN:
        return [(cell("  ?", width), "quiet")]
    word, tone = WORDS[fit.fits]
    figure = gib_number(fit.nbytes)
    if len(word) + len(figure) + 3 > width:
        # A figure that would touch the word goes without its decimal.
        figure = f"{fit.nbytes / 2**30:.0f}"
    return [("  ", "quiet"), (cell(word, 5), tone), (cell(figure, width - 7, "right"), "label")]


def facts(entry: Entry | None, spec: ModelSpec | None, device: str) -> list[Row]:
    """Rows of the facts known of the model under the cursor."""
    if entry is None:
        return [row(("enter takes what was typed: a hub id such as org/model, or a folder with config.json", "quiet"))]
    if entry.trouble:
        return [row(("✗ ", "bad"), (clean(entry.trouble), "plain"), indent=2)]
    if spec is None:
        return [row((clean(entry.title), "bright"), ("  reading …", "quiet"))]
    if spec.needs_anatomy:
        what = f"   {clean(spec.architecture)}: what it is made of is learned from its class once it is chosen"
        return [row((clean(entry.title), "bright"), (what, "label")), *_access(entry, spec)]
    rows = [
        row(
            (clean(entry.title), "bright"),
            (f"   {clean(spec.architecture)}  {count(spec.total_parameters)} parameters", "label"),
            ("" if spec.parameters_exact else " (computed)", "quiet"),
        ),
        row(
            ("layers ", "quiet"), (str(spec.num_layers), "label"),
            ("  width ", "quiet"), (str(spec.hidden_size), "label"),
            ("  heads " if spec.num_heads else "", "quiet"),
            (f"{spec.num_heads}/{spec.num_kv_heads}" if spec.num_heads else "", "label"),
            ("  vocabulary ", "quiet"), (count(spec.vocab_size), "label"),
            ("  stored as ", "quiet"), (clean(spec.quantization or spec.dtype or "unknown"), "label"),
            ("  experts " if spec.num_experts else "", "quiet"), (str(spec.num_experts or ""), "label"),
        ),
    ]  # fmt: skip
    if spec.anatomy is not None and len(spec.anatomy.kinds) > 1:
        rows.append(row(("of ", "quiet"), (said_kinds(spec.anatomy), "label")))
    rows += _access(entry, spec)
    if spec.own_code:
        files = clean(", ".join(spec.own_code))
        rows.append(row(("! ", "caution"), f"built by Python code of its own ({files}): you are asked first", indent=2))
    rows.append(row((f"FITS TIGHT NO: the worst step in GiB on {device}, batch 1 at 1 024 tokens", "quiet")))
    return rows


def said_kinds(anatomy: Anatomy) -> str:
    """The kinds of layer and how many there are of each, such as '24 linear attention + dense, 8 full …'."""
    counted = Counter[str]()
    for kind in anatomy.kinds:
        parts = [part for part in (*kind.mixer.split("+"), kind.mlp) if part != "none"]
        counted[" + ".join(parts).replace("_", " ")] += kind.count
    return ", ".join(f"{number} {name}" for name, number in counted.items())


def _access(entry: Entry, spec: ModelSpec) -> list[Row]:
    if spec.access:
        return [row(("! ", "caution"), (clean(spec.access), "plain"), indent=2)]
    if spec.has_weights:
        return [row(("✓ ", "good"), "its weights are on this disk")]
    if entry.gated or spec.gated:
        return [row(("! ", "caution"), "gated: its licence must be accepted on the hub, and a token be at hand")]
    size = f" ({gib(spec.weights_bytes)})" if spec.weights_bytes else ""
    return [row(("· ", "quiet"), (f"its weights{size} are downloaded before training", "label"))]
