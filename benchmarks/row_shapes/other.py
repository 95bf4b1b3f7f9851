"""Cases that are no rows of a data set, or rows of a kind that is not trained here."""

from __future__ import annotations

from typing import Any

from benchmarks.row_shapes.case import Case, Outcome, Refused, Row


def _case(name: str, row: Row, right: Outcome, *more: Row, **settings: Any) -> Case:
    return Case(name, (row, *more), right, **settings)


OTHER: tuple[Case, ...] = (
    _case(
        "Axolotl's pre-tokenised rows",
        {"input_ids": [1, 2], "attention_mask": [1, 1], "labels": [-100, 2]},
        Refused("holds tokens (input_ids)"),
    ),
    _case(
        "Axolotl's template-free segments",
        {"segments": [{"label": True, "text": "<s>Yes."}]},
        Refused("holds segments"),
    ),
    _case(
        "translations",
        {"translation": {"en": "Hello", "de": "Hallo"}},
        Refused("'translation' holds objects with en, de"),
    ),
    _case("lists of tags", {"tags": ["a", "b"]}, Refused("no known shape")),
    _case("numbers alone", {"x": 1, "y": 2.5}, Refused("no known shape")),
    _case("LLaMA-Factory's index itself", {"a": {"file_name": "a.json"}}, Refused("index of data sets")),
    _case(
        "a format that is misspelt",
        {"question": "Q?", "answer": "Yes."},
        Refused("'alpacca' is not known"),
        settings={"format": "alpacca"},
    ),
    _case(
        "a column that is misspelt",
        {"question": "Q?", "answer": "Yes."},
        Refused("Did you mean 'question'?"),
        settings={"columns": {"instruction": "questoin"}},
    ),
    _case("half a character", {"question": "Q?", "answer": "\ud800"}, Refused("half of a character")),
)
