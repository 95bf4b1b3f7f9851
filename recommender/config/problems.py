"""Validation errors of a configuration, a sentence each: pydantic's errors in the user's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_origin

from presets.errors import InputError
from recommender.config.keys import fields, nearest, sections
from recommender.config.schema import Source

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_LIMITS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of ordinary size",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "a section of keys with values",
    "model_attributes_type": "a section of keys with values",
}


def input_error(error: ValidationError, *, where: str = "", lines: Mapping[str, int] | None = None) -> InputError:
    """Translate a validation error.

    Args:
        error: What pydantic found.
        where: The file's name, put before each sentence; empty when the values came from elsewhere.
        lines: Dotted key to 1-based line in that file.
    """
    sentences = sentences_of(error, where=where, lines=lines or {})
    if len(sentences) == 1:
        return InputError(sentences[0], remedy="`lora-wizard schema` prints every key and what it takes.")
    return InputError(
        f"{where or 'The configuration'} has {len(sentences)} problems; the first: {sentences[0]}",
        remedy="`lora-wizard schema` prints every key and what it takes.",
        detail="\n".join(sentences[1:]),
    )


def sentences_of(error: ValidationError, *, where: str, lines: Mapping[str, int]) -> list[str]:
    """Return a sentence for each wrong key; a value that fits none of several kinds is one problem, not several."""
    grouped: dict[str, list[ErrorDetails]] = {}
    # An unknown key comes first: it is most often the misspelt one that another problem says is missing.
    for detail in sorted(_meant(error.errors(include_url=False)), key=lambda one: one["type"] != "extra_forbidden"):
        grouped.setdefault(_key(detail), []).append(detail)
    return [_place(where, key, lines) + _sentence(key, details) for key, details in grouped.items()]


def _meant(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drop errors of a union's text member where a mapping was given: its keys are wrong."""
    deeper = {detail["loc"][:-2] for detail in details if detail["loc"][-2:-1] == (Source.__name__,)}
    return [one for one in details if not (one["type"] == "string_type" and one["loc"][:-1] in deeper)]


def _key(detail: ErrorDetails) -> str:
    """The key that an error is about: its location without the names of union members."""
    parts: list[str] = []
    for part in detail["loc"]:
        name = ".".join([*parts, str(part)])
        known = name in fields() or name in sections() or (detail["type"] == "extra_forbidden" and not _inside(parts))
        if isinstance(part, int) and parts:
            parts[-1] = f"{parts[-1]}[{part}]"
        elif (
            known
            or _is_mapping(".".join(parts))
            or (detail["type"] != "extra_forbidden" and str(part) in Source.model_fields and "[" in parts[-1])
        ):
            parts.append(str(part))
    return ".".join(parts)


def _is_mapping(name: str) -> bool:
    """Whether a key's value is a mapping whose keys are the person's own, such as `lora.rank_pattern`."""
    return name in fields() and get_origin(fields()[name].annotation) is dict


def _inside(parts: Sequence[str]) -> bool:
    """Whether these parts already lead to a value, so that what follows names a union member."""
    name = ".".join(parts).partition("[")[0]
    return name in fields() and name not in sections()


def _place(where: str, key: str, lines: Mapping[str, int]) -> str:
    if not where:
        return ""
    line = next((lines[name] for name in (key, key.partition("[")[0]) if name in lines), None)
    return f"{where}, line {line}: " if line else f"{where}: "


def _sentence(key: str, details: Sequence[ErrorDetails]) -> str:
    kind = details[0]["type"]
    unknown = next((detail["loc"][-1] for detail in details if detail["type"] == "extra_forbidden"), None)
    if unknown is not None and "[" in key:
        return f"{key} has a key that it does not take: {unknown}."
    if kind == "extra_forbidden":
        return _unknown(key)
    if kind == "invalid_key":
        return f"Keys must be text{_not_given(details[0])}."
    if kind == "missing":
        return f"{key} is missing."
    if kind in ("value_error", "assertion_error"):
        said = str(details[0].get("ctx", {}).get("error", details[0]["msg"]))
        return f"{key} {said}." if said.startswith("must ") else f"{said}."
    wanted = " or ".join(dict.fromkeys(_wanted(detail) for detail in details))
    return f"{key or 'The file'} must be {wanted}{_not_given(details[0])}."


def _not_given(detail: ErrorDetails) -> str:
    given = _shown(detail["input"])
    return "" if given is None else f", not {given}"


def _unknown(key: str) -> str:
    near = nearest(key, key.rpartition(".")[0])
    return f"{key} is not a key of the configuration" + (f"; did you mean {near}?" if near else ".")


def _wanted(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return f"{words} {context[name]:g}"
    if kind in ("literal_error", "enum"):
        return str(context["expected"]).replace("'", "")
    if kind == "none_required":
        return "null"
    if kind == "string_too_short":
        return "some text"
    return _KINDS.get(kind, detail["msg"].lower())


def _shown(value: Any) -> str | None:
    """The value as a person would recognise it; None when it is too large to repeat."""
    text = (
        {None: "empty", True: "true", False: "false"}.get(value) if value is None or isinstance(value, bool) else None
    )
    text = text or (f"'{value}'" if isinstance(value, str) else str(value))
    return text if len(text) <= 60 else None
