"""Recognition of row formats by their columns; the person's own settings go before guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.data.formats.column_roles import REQUIRED, ROLES, roles_by_name
from recommender.data.formats.conversation_forms import Form, form_of
from recommender.data.formats.errors import ShapeError, ShapeQuestionError, with_facts
from recommender.data.formats.guess import guess, with_optional
from recommender.data.formats.questions import ask_about_columns, ask_about_speakers
from recommender.data.formats.rated_answers import FLAGS, asked_column, find_sides, question_of_marks, question_of_sides
from recommender.data.formats.role_names import SPEAKERS, TURN_KEYS, RoleMapping, role_names_in, split_columns, turns_in
from recommender.data.formats.shape import Columns, Shape
from recommender.data.sources.files import nearest
from recommender.data.sources.readers.grouped import MESSAGES

__all__ = ["REQUIRED", "ROLES", "Shape", "ShapeError", "ShapeQuestionError", "recognise"]

Rows = Sequence[Mapping[str, Any]]

_SOURCES = ("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "cloud_file_name", "script_url")
"""Keys for the source of the rows in an entry of LLaMA-Factory's index."""
_MEDIA = ("image", "images", "audio", "audios", "video", "videos", "image_path", "audio_path", "pixel_values")


def recognise(rows: Rows, *, where: str, wanted: str = "auto", given: Columns | None = None) -> Shape:
    """The format of a file by its first rows.

    Args:
        rows: The first rows, at least one.
        where: The file, for messages.
        wanted: `data.format`: a shape's name or 'auto'.
        given: `data.columns`: role to column.

    Raises:
        ShapeQuestionError: The rows can be read in several ways.
        ShapeError: Media data, an unknown format, a column that is not there, or nothing recognised.
    """
    columns = _columns(rows)
    turns = role_names_in(rows, columns)
    try:
        shape = _recognise(rows, columns, where, wanted, dict(given or {}))
        return replace(_as_used(shape, rows), seen=columns, turns=turns, form=_form(rows, shape))
    except InputError as error:
        raise with_facts(error, columns, turns, rows[0]) from error


def _recognise(rows: Rows, columns: tuple[str, ...], where: str, wanted: str, given: Columns) -> Shape:
    _refuse_media(rows, columns, where)
    given, role_mapping = split_columns(given, columns, rows)
    _check_given(given, columns, where)
    if "group" in given:
        return _grouped(given, role_mapping, columns, where)
    if role_mapping is not None:
        return replace(_tagged(rows, columns, where, wanted, given, role_mapping), role_mapping=role_mapping)
    if wanted == "kto":
        return _kto(rows, columns, where, given)
    if wanted != "auto":
        return _as_told(wanted, given, rows, columns, where)
    if given:
        return _by_roles(given, rows, columns, where)
    _ask_which_answer(rows, columns, where)
    shape = guess(rows, columns, where)
    if shape is not None and (error := _unknown_speakers(shape, rows, columns, where)):
        raise error
    if shape is None and any(_names_data(value) for row in rows for value in row.values()):
        raise InputError(
            f"{where} is an index of data sets (as LLaMA-Factory's dataset_info.json is), not rows.",
            remedy="Give one of the data files that it names.",
        )
    if shape is None:
        raise _unknown(rows, columns, where)
    return shape


def _as_used(shape: Shape, rows: Rows) -> Shape:
    """The format without roles that do not apply: a plain prompt has no system message."""
    if shape.name != "prompt-completion":
        return shape
    held = [row.get(shape.columns[role]) for row in rows for role in ("prompt", "completion")]
    if any(isinstance(value, list | Mapping) or (isinstance(value, str) and turns_in(value)) for value in held):
        return shape
    return replace(shape, columns={role: shape.columns[role] for role in ("prompt", "completion")})


def _unknown(rows: Rows, columns: Sequence[str], where: str) -> InputError:
    """The question, or the error, about rows of an unknown format."""
    for held in role_names_in(rows, columns):
        if error := ask_about_speakers(held, where, "sharegpt", "conversations"):
            return error
    return ask_about_columns(rows, columns, where) or InputError(
        f"{where}: the rows have no known shape. Columns: {_listed(columns)}.",
        remedy=_say_objects(rows, columns)
        or "Say which column is what, for example --set data.columns.instruction=COLUMN and "
        "--set data.columns.output=COLUMN, or --set data.columns.text=COLUMN.",
    )


def _unknown_speakers(shape: Shape, rows: Rows, columns: Sequence[str], where: str) -> InputError | None:
    """Raise the question who is the assistant, in a column of turns without a known role name."""
    role = "messages" if shape.name == "messages" else "conversations"
    column = shape.columns.get(role, "")
    if form_of(rows, column) is not None:
        return None
    named = [held for held in role_names_in(rows, columns) if held.column == column]
    return ask_about_speakers(named[0], where, shape.name, role) if named else None


def _say_objects(rows: Rows, columns: Sequence[str]) -> str:
    """The remedy for columns that hold objects, as translations do; empty where there are none."""
    for column in columns:
        keys = list(
            dict.fromkeys(str(key) for row in rows if isinstance(row.get(column), Mapping) for key in row[column])
        )
        if len(keys) > 1:
            return (
                f"'{column}' holds objects with {_listed(keys)}: give each row these as columns of its own, then say "
                "which is what, with --set data.columns.instruction=COLUMN and --set data.columns.output=COLUMN."
            )
    return ""


def _names_data(entry: Any) -> bool:
    """Whether a value is an entry of LLaMA-Factory's dataset_info.json."""
    return isinstance(entry, Mapping) and any(key in entry for key in _SOURCES)


def _tagged(rows: Rows, columns: Sequence[str], where: str, wanted: str, given: Columns, keys: RoleMapping) -> Shape:
    """The format of conversations whose turn keys the person has named."""
    named = given.get("conversations") or given.get("messages")
    column = named or next(
        (
            name
            for name in columns
            if any(_is_turn(turn, keys.role, keys.content) for turn in turns_in(rows[0].get(name)))
        ),
        None,
    )
    if column is None:
        raise InputError(
            f"{where} has no column of turns with '{keys.role}' and '{keys.content}'. It has: {_listed(columns)}.",
            remedy="Name the keys of a turn: --set data.columns.role=KEY --set data.columns.content=KEY.",
        )
    name = wanted if wanted in {"messages", "sharegpt"} else "sharegpt"
    role = "messages" if name == "messages" else "conversations"
    used = with_optional(name, columns, **{role: column}) | {
        key: held for key, held in given.items() if key in {"system", "tools"}
    }
    return Shape(name, used, "high", f"turns of '{column}' as data.columns says")


def _grouped(given: Columns, role_mapping: RoleMapping | None, columns: Sequence[str], where: str) -> Shape:
    """The format of conversations made of rows with one message each."""
    mapping = role_mapping or RoleMapping(*TURN_KEYS)
    for key, column in (("role", mapping.role), ("content", mapping.content)):
        if column not in columns:
            raise InputError(
                f"{where} has no column '{column}' (data.columns.{key}). It has: {_listed(columns)}.",
                remedy=f"Say which column it is: --set data.columns.{key}=COLUMN.",
            )
    rest = with_optional("messages", columns, group=given["group"]) | dict(given)
    why = f"rows with the same '{given['group']}' are one conversation, as data.columns says"
    return Shape("messages", {**rest, "messages": MESSAGES}, "high", why, role_mapping=mapping)


def _columns(rows: Rows) -> tuple[str, ...]:
    """Columns in the order of their first appearance."""
    return tuple(dict.fromkeys(str(column) for row in rows for column in row))


def _listed(columns: Sequence[str]) -> str:
    """The first dozen columns for a message."""
    more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
    return ", ".join(columns[:12]) + more if columns else "none"


def _check_given(given: Columns, columns: Sequence[str], where: str) -> None:
    known = {role for roles in ROLES.values() for role in roles} | {*SPEAKERS, *TURN_KEYS}
    for role, column in given.items():
        if role not in known:
            near = nearest(role, known)
            raise InputError(
                f"data.columns names the role '{role}', which no shape has.",
                remedy=f"Did you mean '{near}'?" if near else f"Roles are {', '.join(sorted(known))}.",
            )
        if column not in columns:
            near = nearest(column, columns)
            raise InputError(
                f"{where} has no column '{column}' (data.columns.{role}). It has: {_listed(columns)}.",
                remedy=f"Did you mean '{near}'?" if near else "Name one of these.",
            )


def _as_told(wanted: str, given: Columns, rows: Rows, columns: Sequence[str], where: str) -> Shape:
    if wanted not in ROLES:
        near = nearest(wanted, ROLES)
        raise InputError(
            f"data.format '{wanted}' is not known.",
            remedy=f"Did you mean '{near}'?" if near else f"Known are auto, {', '.join(ROLES)}.",
        )
    found = roles_by_name(wanted, columns, given.values())
    if not set(REQUIRED[wanted]) <= {*given}:
        found |= _likely(wanted, rows, columns, where)
    if wanted == "preference" and (asked := asked_column(columns, {*given.values(), found.get("chosen", "")})):
        found["prompt"] = asked
    used = {**found, **given}
    missing = [role for role in REQUIRED[wanted] if role not in used]
    if missing:
        raise InputError(
            f"{where} lacks a column for '{missing[0]}', which {wanted} rows need. It has: {_listed(columns)}.",
            remedy=f"Name it: --set data.columns.{missing[0]}=COLUMN, or choose another data.format.",
        )
    used = {role: column for role, column in used.items() if role in ROLES[wanted]}
    return Shape(wanted, used, "high", f"{wanted}, as data.format says")


def _likely(wanted: str, rows: Rows, columns: Sequence[str], where: str) -> dict[str, str]:
    """The likeliest columns of a format; a comparison, or several conversation columns, are asked about.

    Raises:
        QuestionError: Which answer, or which conversation.
    """
    sides = find_sides(rows, columns)
    if wanted == "preference" and sides and len(sides.winning) == 1 and not sides.verdict:
        return {"chosen": sides.winning[0]}
    if sides and wanted != "text":
        raise question_of_sides(columns, where, sides)
    try:
        likely = guess(rows, columns, where)
    except QuestionError as error:
        if error.question.code == "which_turns" and wanted in {"messages", "sharegpt"}:
            raise
        return {}
    except InputError:
        # What is told goes before what the rows look like.
        return {}
    return {**likely.columns} if likely is not None and likely.name == wanted else {}


def _kto(rows: Rows, columns: Sequence[str], where: str, given: Columns) -> Shape:
    """The format of rows marked good or bad, read without their mark."""
    flag = given.get("label") or next((column for column in FLAGS if column in columns), "")
    if not flag:
        raise InputError(
            f"{where} has no column that marks rows as good or bad. It has: {_listed(columns)}.",
            remedy="Name it: --set data.columns.label=COLUMN, or choose another data.format.",
        )
    rest = {role: column for role, column in given.items() if role != "label"}
    unmarked = [{column: value for column, value in row.items() if column != flag} for row in rows]
    found = recognise(unmarked, where=where, given=rest)
    why = f"{found.why}; rows with '{flag}' false are left out, as data.format kto says"
    return replace(found, flag=flag, why=why)


def _by_roles(given: Columns, rows: Rows, columns: Sequence[str], where: str) -> Shape:
    """The format whose required roles the person has named, completed by columns of the same name."""
    for name, required in REQUIRED.items():
        roles = roles_by_name(name, columns, given.values())
        named = {role: column for role, column in given.items() if role in ROLES[name]}
        if len(named) == len(given) and any(role in given for role in required):
            used = {**roles, **named}
            if all(role in used for role in required):
                return Shape(name, used, "high", f"{name}, as data.columns says")
    likely = recognise(rows, where=where)
    return Shape(likely.name, {**likely.columns, **given}, likely.confidence, f"{likely.why}; with data.columns")


def _refuse_media(rows: Rows, columns: Sequence[str], where: str) -> None:
    held = [column for column in columns if column.lower() in _MEDIA and any(row.get(column) for row in rows)]
    if held:
        raise InputError(
            f"{where} holds images, audio or video (column '{held[0]}'): this trains on text only.",
            remedy="Give rows of text, or drop that column if the answers do not need it.",
        )


def _ask_which_answer(rows: Rows, columns: Sequence[str], where: str) -> None:
    """Raise the question which answers are trained, where rows have better and worse ones."""
    if sides := find_sides(rows, columns):
        raise question_of_sides(columns, where, sides)
    if marks := question_of_marks(rows, columns, where):
        raise marks


def _form(rows: Rows, shape: Shape) -> Form:
    """The format of the conversations of a shape."""
    column = shape.columns.get("messages" if shape.name == "messages" else "conversations")
    return form_of(rows, column) if column and shape.role_mapping is None else None


def _is_turn(value: Any, role: str, content: str) -> bool:
    return isinstance(value, Mapping) and role in value and (content in value or "tool_calls" in value)
