"""Comparison of two runs: their settings and their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.history.reader import RunReader, Snapshot
from trainer.run.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs."""

    runs: tuple[str, str]
    settings: dict[str, tuple[Any, Any]]
    """Dotted key to both values, where they differ."""
    results: dict[str, tuple[Any, Any]]
    """Name to both values, None where a run has none."""
    not_comparable: tuple[str, ...] = ()
    """Differences that make the losses incomparable, in words; empty where they can be compared."""

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def compare(first: Path, second: Path) -> Comparison:
    """Compare two runs, live or old.

    Raises:
        InputError: A configuration that cannot be read.
    """
    from recommender.config.edit import diff
    from recommender.config.io import load_config

    shots = RunReader(first).poll(), RunReader(second).poll()
    configs = [load_config(_config(RunFolder(path))) for path in (first, second)]
    results = {name: (figure(shots[0]), figure(shots[1])) for name, figure in FIGURES.items()}
    shown = {name: pair for name, pair in results.items() if pair != (None, None)}
    settings = diff(*configs)
    return Comparison((first.name, second.name), settings, shown, _incomparable(settings, shots))


def _incomparable(settings: Mapping[str, Any], shots: tuple[Snapshot, Snapshot]) -> tuple[str, ...]:
    """The settings and held-out rows by which the losses of the two runs cannot be compared.

    Which rows are held out is known by their content where both runs wrote that down; else by what decides it.
    """
    differ = [key for key in TOKENS if any(one == key or one.startswith(f"{key}.") for one in settings)]
    held = [(shot.start.get("contents") or {}).get("held_out_sha256") for shot in shots]
    same = held[0] == held[1] if all(held) else not set(HELD_OUT) & settings.keys()
    return (*(f"{key.rpartition('.')[2]} differs" for key in differ), *(() if same else ("held-out rows differ",)))


TOKENS = (
    "model",
    "data.max_length",
    "data.template",
    "data.chat_template_kwargs",
    "data.reasoning",
    "data.answers",
    "data.train_on",
    "data.format",
    "data.columns",
)
"""Settings that decide which tokens a row becomes and which of them the loss is of."""
HELD_OUT = ("data.train", "data.eval", "data.eval_fraction", "data.skip_bad_rows", "training.seed")
"""Settings that decide which rows are held out."""


def _config(folder: RunFolder) -> Path:
    return folder.effective_config if folder.effective_config.is_file() else folder.config


def _first_eval(shot: Snapshot) -> float | None:
    return shot.evals[0].eval_loss if shot.evals else None


def _last_eval(shot: Snapshot) -> float | None:
    return shot.evals[-1].eval_loss if shot.evals else None


def _best(shot: Snapshot) -> tuple[float, int] | None:
    known = [(point.eval_loss, point.step) for point in shot.evals if point.eval_loss is not None]
    return min(known) if known else None


def _speed(shot: Snapshot) -> float | None:
    """Median of tokens a second."""
    known = sorted(point.tokens_per_second for point in shot.steps if point.tokens_per_second)
    return known[len(known) // 2] if known else None


def _peak(shot: Snapshot) -> int | None:
    known = [point.memory_bytes for point in shot.steps if point.memory_bytes]
    return max(known) if known else None


FIGURES: dict[str, Callable[[Snapshot], Any]] = {
    "status": lambda shot: shot.status,
    "steps": lambda shot: shot.state.step,
    "loss": lambda shot: shot.state.loss,
    "first_eval_loss": _first_eval,
    "last_eval_loss": _last_eval,
    "best_eval_loss": lambda shot: best[0] if (best := _best(shot)) else None,
    "best_step": lambda shot: best[1] if (best := _best(shot)) else None,
    "tokens": lambda shot: shot.steps[-1].tokens if shot.steps else None,
    "tokens_per_second": _speed,
    "peak_bytes": _peak,
    "trainable_parameters": lambda shot: shot.start.get("trainable_parameters"),
}
