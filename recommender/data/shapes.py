"""Recognise the shape of rows by their columns; what people name by hand goes before what is guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from presets.errors import InputError
from recommender.data.files import nearest
from recommender.data.shape_errors import ShapeError, ShapeQuestionError, with_facts
from recommender.data.sides import FLAGS, asked_column, find_sides, question_of_marks, question_of_sides
from recommender.data.turn_forms import CONVERSATION, QUESTION_AND_ANSWER, TEXTS, Form, form_of
from recommender.data.turn_words import SPEAKERS, TURN_KEYS, Tags, TurnWords, tags_of, turn_words, turns_in

__all__ = ["REQUIRED", "ROLES", "Shape", "ShapeError", "ShapeQuestionError", "recognise"]

Sure = Literal["high", "medium", "low"]
Columns = Mapping[str, str]
Rows = Sequence[Mapping[str, Any]]

ROLES = {
    "alpaca": ("instruction", "input", "output", "history", "system"),
    "sharegpt": ("conversations", "system", "tools"),
    "messages": ("messages", "system", "tools"),
    "prompt-completion": ("prompt", "completion", "system", "tools"),
    "preference": ("prompt", "chosen", "rejected", "winner", "system", "tools"),
    "kto": ("label",),
    "text": ("text",),
}
"""Roles of each shape, the names that `data.columns` takes.

Preference and kto are only taken when the person says so."""
REQUIRED = {
    "alpaca": ("instruction", "output"),
    "sharegpt": ("conversations",),
    "messages": ("messages",),
    "prompt-completion": ("prompt", "completion"),
    "preference": ("chosen",),
    "kto": ("label",),
    "text": ("text",),
}
_CONTEXT = ("input", "context")
_TEXT = ("text", "content", "document", "body")
_SOURCES = ("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "cloud_file_name", "script_url")
"""Where an entry of LLaMA-Factory's index has its rows from."""
_MEDIA = ("image", "images", "audio", "audios", "video", "videos", "image_path", "audio_path", "pixel_values")


@dataclass(frozen=True, slots=True)
class Shape:
    """How the rows of a file are read."""

    name: str
    """'alpaca', 'sharegpt', 'messages', 'prompt-completion', 'text' or 'preference'."""
    columns: Columns
    """Role to column."""
    sure: Sure
    why: str
    """One sentence for the screen."""
    seen: tuple[str, ...] = ()
    """Every column of the first rows, for the person to choose from."""
    flag: str = ""
    """Column that says whether a row is a good example (KTO); rows where it is false cannot be used."""
    tags: Tags | None = None
    turns: tuple[TurnWords, ...] = ()
    """How turns are written in the first rows, column by column."""
    form: Form = None
    """How conversations are written where their turns do not say whose they are."""
    guessed: bool = False
    """Whether columns were taken for question and answer by names that only sound like it."""

    @property
    def reason(self) -> str:
        """Why, and how sure."""
        return f"{self.why} (confidence {self.sure})"


def recognise(rows: Rows, *, where: str, wanted: str = "auto", given: Columns | None = None) -> Shape:
    """The shape of a file by its first rows.

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
    turns = turn_words(rows, columns)
    try:
        shape = _recognise(rows, columns, where, wanted, dict(given or {}))
        return replace(shape, seen=columns, turns=turns, form=_form(rows, shape))
    except InputError as error:
        raise with_facts(error, columns, turns) from error


def _recognise(rows: Rows, columns: tuple[str, ...], where: str, wanted: str, given: Columns) -> Shape:
    _refuse_media(rows, columns, where)
    given, tags = tags_of(given, columns, rows)
    _check_given(given, columns, where)
    if tags is not None:
        return replace(_tagged(rows, columns, where, wanted, given, tags), tags=tags)
    if wanted == "kto":
        return _kto(rows, columns, where, given)
    if wanted != "auto":
        return _as_told(wanted, given, rows, columns, where)
    if given:
        return _by_roles(given, rows, columns, where)
    _ask_which_answer(rows, columns, where)
    shape = _guess(rows, columns)
    if shape is None and any(_names_data(value) for row in rows for value in row.values()):
        raise InputError(
            f"{where} is an index of data sets (as LLaMA-Factory's dataset_info.json is), not rows.",
            remedy="Give one of the data files that it names.",
        )
    if shape is None:
        raise InputError(
            f"{where}: the rows have no known shape. Columns: {_listed(columns)}.",
            remedy=_say_turns(rows, columns)
            or _say_objects(rows, columns)
            or "Say which column is what, for example --set data.columns.instruction=COLUMN and "
            "--set data.columns.output=COLUMN, or --set data.columns.text=COLUMN.",
        )
    return shape


def _say_turns(rows: Rows, columns: Sequence[str]) -> str:
    """How the person says what the turns of these rows are; empty where there are none, or only one ever speaks."""
    for held in turn_words(rows, columns):
        role, content = held.usual()
        words = dict(held.words).get(role, ())
        if len(words) < 2:
            continue
        told = {"role": role, "content": content, "user": words[0], "assistant": words[-1]}
        said = " ".join(f"--set data.columns.{key}={value}" for key, value in told.items())
        return f"'{held.column}' holds turns. Say what they are, for example {said}."
    return ""


def _say_objects(rows: Rows, columns: Sequence[str]) -> str:
    """What to do with columns that hold objects, as translations do; empty where there are none."""
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
    """Whether this is an entry of LLaMA-Factory's dataset_info.json."""
    return isinstance(entry, Mapping) and any(key in entry for key in _SOURCES)


def _tagged(rows: Rows, columns: Sequence[str], where: str, wanted: str, given: Columns, tags: Tags) -> Shape:
    """Conversations whose turns the person has described."""
    named = given.get("conversations") or given.get("messages")
    column = named or next(
        (
            name
            for name in columns
            if any(_is_turn(turn, tags.role, tags.content) for turn in turns_in(rows[0].get(name)))
        ),
        None,
    )
    if column is None:
        raise InputError(
            f"{where} has no column of turns with '{tags.role}' and '{tags.content}'. It has: {_listed(columns)}.",
            remedy="Name the keys of a turn: --set data.columns.role=KEY --set data.columns.content=KEY.",
        )
    name = wanted if wanted in {"messages", "sharegpt"} else "sharegpt"
    role = "messages" if name == "messages" else "conversations"
    used = _with(name, columns, **{role: column}) | {
        key: held for key, held in given.items() if key in {"system", "tools"}
    }
    return Shape(name, used, "high", f"turns of '{column}' as data.columns says")


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
    # A verdict is followed only where the person says so.
    found = {role: role for role in ROLES[wanted] if role in columns and role not in {"rejected", "winner"}}
    guess = _guess(rows, columns)
    if guess is not None and guess.name == wanted:
        found = {**guess.columns}
    if wanted == "preference" and (asked := asked_column(columns, given.values())):
        found["prompt"] = asked
    if not set(REQUIRED[wanted]) & given.keys():
        found |= _sides_told(wanted, rows, columns, where)
    used = {**found, **given}
    missing = [role for role in REQUIRED[wanted] if role not in used]
    if missing:
        raise InputError(
            f"{where} lacks a column for '{missing[0]}', which {wanted} rows need. It has: {_listed(columns)}.",
            remedy=f"Name it: --set data.columns.{missing[0]}=COLUMN, or choose another data.format.",
        )
    used = {role: column for role, column in used.items() if role in ROLES[wanted]}
    return Shape(wanted, used, "high", f"{wanted}, as data.format says")


def _sides_told(wanted: str, rows: Rows, columns: Sequence[str], where: str) -> dict[str, str]:
    """The columns of a preference pair; for other shapes none, and a comparison is asked about."""
    sides = find_sides(rows, columns)
    if wanted == "preference" and sides and len(sides.winning) == 1 and not sides.verdict:
        return {"chosen": sides.winning[0]}
    if sides and wanted != "text":
        raise question_of_sides(columns, where, sides)
    return {}


def _kto(rows: Rows, columns: Sequence[str], where: str, given: Columns) -> Shape:
    """The shape of rows marked good or bad, read without their mark."""
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
    """The shape whose required roles the person has named, completed by columns of the same name."""
    for name, required in REQUIRED.items():
        roles = {role: role for role in ROLES[name] if role in columns and role not in given.values()}
        named = {role: column for role, column in given.items() if role in ROLES[name]}
        if len(named) == len(given) and any(role in given for role in required):
            used = {**roles, **named}
            if all(role in used for role in required):
                return Shape(name, used, "high", f"{name}, as data.columns says")
    guess = recognise(rows, where=where)
    return Shape(guess.name, {**guess.columns, **given}, guess.sure, f"{guess.why}; with data.columns")


def _refuse_media(rows: Rows, columns: Sequence[str], where: str) -> None:
    held = [column for column in columns if column.lower() in _MEDIA and any(row.get(column) for row in rows)]
    if held:
        raise InputError(
            f"{where} holds images, audio or video (column '{held[0]}'): this trains on text only.",
            remedy="Give rows of text, or drop that column if the answers do not need it.",
        )


def _ask_which_answer(rows: Rows, columns: Sequence[str], where: str) -> None:
    """Ask which answers are trained where rows have better and worse ones."""
    if sides := find_sides(rows, columns):
        raise question_of_sides(columns, where, sides)
    if marks := question_of_marks(rows, columns, where):
        raise marks


def _guess(rows: Rows, columns: Sequence[str]) -> Shape | None:
    return _conversation(rows, columns) or _pairs(columns) or _unsaid(rows, columns) or _text(rows, columns)


def _unsaid(rows: Rows, columns: Sequence[str]) -> Shape | None:
    """Conversations whose turns do not say whose they are."""
    for column in columns:
        form = form_of(rows, column)
        if form is None or (form == TEXTS and column.lower() not in CONVERSATION):
            continue
        used = _with("sharegpt", columns, conversations=column)
        held = "texts, the person's and the assistant's in turn" if form == TEXTS else f"{form[0]} and {form[1]}"
        return Shape("sharegpt", used, "medium", f"the column '{column}' holds {held}", guessed=True)
    return None


def _form(rows: Rows, shape: Shape) -> Form:
    """How the conversations of a shape are written."""
    column = shape.columns.get("messages" if shape.name == "messages" else "conversations")
    return form_of(rows, column) if column and shape.tags is None else None


def _is_turn(value: Any, role: str, content: str) -> bool:
    return isinstance(value, Mapping) and role in value and (content in value or "tool_calls" in value)


def _conversation(rows: Rows, columns: Sequence[str]) -> Shape | None:
    if {"prompt", "completion"} <= set(columns) and any(turns_in(row.get("completion")) for row in rows):
        return Shape(
            "prompt-completion",
            _with("prompt-completion", columns, prompt="prompt", completion="completion"),
            "high",
            "prompt and completion are lists of turns",
        )
    by_name = sorted(columns, key=lambda name: name not in {"messages", "conversations", "conversation"})
    for column in by_name:
        first = next((turns[0] for row in rows if (turns := turns_in(row.get(column)))), None)
        sure: Sure = "high" if column in {"messages", "conversations", "conversation"} else "medium"
        if _is_turn(first, "role", "content"):
            why = f"the column '{column}' holds turns with role and content"
            return Shape("messages", _with("messages", columns, messages=column), sure, why)
        if _is_turn(first, "from", "value"):
            why = f"the column '{column}' holds turns with from and value"
            return Shape("sharegpt", _with("sharegpt", columns, conversations=column), sure, why)
    return None


def _with(name: str, columns: Sequence[str], **used: str) -> dict[str, str]:
    """The columns used, and the optional roles whose column has the role's own name."""
    optional = {role: role for role in ROLES[name] if role in columns and role not in REQUIRED[name]}
    return {**used, **{role: column for role, column in optional.items() if column not in used.values()}}


def _pairs(columns: Sequence[str]) -> Shape | None:
    lower = {column.lower(): column for column in columns}
    if {"prompt", "completion"} <= lower.keys():
        used = {"prompt": lower["prompt"], "completion": lower["completion"]}
        return Shape("prompt-completion", used, "high", "columns prompt and completion")
    for question, answer in QUESTION_AND_ANSWER:
        if not (question in lower and answer in lower):
            continue
        used = {"instruction": lower[question], "output": lower[answer]}
        context = next((name for name in _CONTEXT if name in lower and name not in {question, answer}), None)
        used |= {"input": lower[context]} if context else {}
        used |= {role: lower[role] for role in ("history", "system") if role in lower}
        plain = question == "instruction" and answer == "output"
        why = f"columns {', '.join(used.values())}"
        if plain:
            return Shape("alpaca", used, "high", why)
        return Shape("alpaca", used, "medium", f"{why}: question and answer", guessed=True)
    return None


def _text(rows: Rows, columns: Sequence[str]) -> Shape | None:
    name = next((column for column in columns if column.lower() in _TEXT), None)
    strings = [column for column in columns if any(isinstance(row.get(column), str) for row in rows)]
    if name is not None and name in strings:
        sure: Sure = "high" if name.lower() == "text" else "medium"
        return Shape("text", {"text": name}, sure, f"a column '{name}' and no question or answer beside it")
    if len(columns) == 1 and strings:
        return Shape("text", {"text": strings[0]}, "low", f"'{strings[0]}' is the only column")
    return None
