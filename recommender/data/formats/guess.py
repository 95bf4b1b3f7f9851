"""Guess of the row format by columns alone; where there are several readings, the person is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from presets.errors import InputError
from recommender.data.formats.column_roles import REQUIRED, column_of, roles_by_name
from recommender.data.formats.conversation_forms import CONVERSATION, QUESTION_AND_ANSWER, TEXTS, form_of
from recommender.data.formats.questions import ask_about_messages, ask_which_turns
from recommender.data.formats.role_names import turns_in
from recommender.data.formats.shape import Confidence, Shape

Rows = Sequence[Mapping[str, Any]]

CONTENT_KEYS = ("content", "value", "parts", "tool_calls", "function_call")
_CONTEXT = ("input", "context", "article", "passage", "document")
_TEXT = ("text", "content", "document", "body")
_HISTORY = ("history", "chat_history", "conversation_history", "previous_messages")
_QUESTION_ALONE = ("prompt", "question", "instruction", "query", "problem")
_TURNS_AND_ANSWER = tuple(
    (asked, answer)
    for asked in ("messages", "conversations", "conversation", "chat", "dialog", "context", "history", "prompt")
    for answer in ("completion", "response", "answer", "output", "target", "assistant", "ideal", "reply")
)
"""Names of turns and of the answer that stands beside them."""


def guess(rows: Rows, columns: Sequence[str], where: str) -> Shape | None:
    """The format of the first rows; None where nothing tells.

    Args:
        rows: The first rows.
        columns: Every column of them.
        where: The file, for questions.

    Raises:
        QuestionError: They can be read in several ways.
        InputError: They are of a kind that nothing can be learnt from here.
    """
    refuse_other_kinds(rows, columns, where)
    turns = [column for column in columns if holds_turns(rows, column)]
    found = _turns_and_answer(rows, columns, turns) or _conversation(rows, columns, turns, where) or _pairs(columns)
    if found is None and (error := ask_about_messages(rows, columns, where)):
        raise error
    return found or _unsaid(rows, columns) or _text(rows, columns, where)


def refuse_other_kinds(rows: Rows, columns: Sequence[str], where: str) -> None:
    """Refuse rows that are for something else than supervised fine-tuning, with the reason.

    Raises:
        InputError: They are tokens already, steps with verdicts, or segments.
    """
    there = set(columns)
    if "input_ids" in there:
        raise InputError(
            f"{where} holds tokens (input_ids), not text: they would be of another tokenizer, and nothing shows what "
            "they say.",
            remedy="Give the rows of text that they were made from.",
        )
    if {"completions", "labels"} <= there:
        raise InputError(
            f"{where} holds steps with a verdict for each (completions, labels), which are for process reward models: "
            "supervised fine-tuning would learn the wrong steps too.",
            remedy="Give rows with one answer each.",
        )
    if "segments" in there and any(isinstance(row.get("segments"), list) for row in rows):
        raise InputError(
            f"{where} holds segments of text with a label each (Axolotl's input_output), which are not read here.",
            remedy="Give rows with prompt and completion, or with messages.",
        )


def holds_turns(rows: Rows, column: str) -> bool:
    """Whether a column holds conversations whose turns have a role."""
    first = next((turns[0] for row in rows if (turns := turns_in(row.get(column)))), None)
    return isinstance(first, Mapping) and bool({"role", "from"} & first.keys()) and any(
        key in first for key in CONTENT_KEYS
    )  # fmt: skip


def _turns_and_answer(rows: Rows, columns: Sequence[str], turns: Sequence[str]) -> Shape | None:
    """Turns that end with a question, and the answer in a column of its own."""
    lower = {column.lower(): column for column in columns}
    for asked, answer in (("prompt", "completion"), *QUESTION_AND_ANSWER, *_TURNS_AND_ANSWER):
        prompt, completion = lower.get(asked), lower.get(answer)
        if prompt is None or completion is None or not (prompt in turns or completion in turns):
            continue
        exact = (asked, answer) == ("prompt", "completion")
        if prompt in turns and not exact and not _ends_with_a_question(rows, prompt):
            continue
        used = {"prompt": prompt, "completion": completion}
        rest = roles_by_name("prompt-completion", columns, used.values())
        why = f"'{prompt}' and '{completion}': turns, and what answers them"
        return Shape("prompt-completion", {**rest, **used}, "high" if exact else "medium", why, guessed=not exact)
    return None


def _ends_with_a_question(rows: Rows, column: str) -> bool:
    """Whether no conversation of a column ends with the assistant's turn."""
    from recommender.data.formats.role_names import role_of

    last = [turns[-1] for row in rows if (turns := turns_in(row.get(column)))]
    said = [turn.get("role", turn.get("from")) for turn in last if isinstance(turn, Mapping)]
    return not any(isinstance(word, str) and role_of(word) == "assistant" for word in said)


def _conversation(rows: Rows, columns: Sequence[str], turns: Sequence[str], where: str) -> Shape | None:
    if not turns:
        return None
    pair = _pairs(columns)
    history = next((column for column in turns if column.lower() in _HISTORY), None)
    if pair is not None and history and len(turns) == 1:
        return pair
    if len(turns) > 1:
        raise ask_which_turns(rows, turns, where)
    (column,) = turns
    first = next(held[0] for row in rows if (held := turns_in(row.get(column))))
    confidence: Confidence = "high" if column in {"messages", "conversations", "conversation"} else "medium"
    name, role, own = ("messages", "role", "messages") if "role" in first else ("sharegpt", "from", "conversations")
    content = next((key for key in CONTENT_KEYS if key in first), "content")
    return Shape(
        name,
        with_optional(name, columns, **{own: column}),
        confidence,
        f"the column '{column}' holds turns with {role} and {content}",
    )


def with_optional(name: str, columns: Sequence[str], **used: str) -> dict[str, str]:
    """The columns used, and the optional roles whose column has the role's own name."""
    optional = roles_by_name(name, columns, used.values())
    return {**used, **{role: column for role, column in optional.items() if role not in REQUIRED[name]}}


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
        past = next((lower[name] for name in _HISTORY if name in lower), None)
        used |= {"history": past} if past else {}
        system = column_of("system", columns)
        used |= {"system": system} if system else {}
        plain = question == "instruction" and answer == "output"
        why = f"columns {', '.join(used.values())}"
        if plain:
            return Shape("alpaca", used, "high", why)
        return Shape("alpaca", used, "medium", f"{why}: question and answer", guessed=True)
    return None


def _unsaid(rows: Rows, columns: Sequence[str]) -> Shape | None:
    """The format of conversations whose turns have no role."""
    for column in columns:
        form = form_of(rows, column)
        if form is None or (form == TEXTS and column.lower() not in CONVERSATION):
            continue
        used = with_optional("sharegpt", columns, conversations=column)
        held = "texts, the person's and the assistant's in turn" if form == TEXTS else f"{form[0]} and {form[1]}"
        return Shape("sharegpt", used, "medium", f"the column '{column}' holds {held}", guessed=True)
    return None


def _text(rows: Rows, columns: Sequence[str], where: str) -> Shape | None:
    name = next((column for column in columns if column.lower() in _TEXT), None)
    strings = [column for column in columns if any(isinstance(row.get(column), str) for row in rows)]
    if name is not None and name in strings:
        confidence: Confidence = "high" if name.lower() == "text" else "medium"
        return Shape("text", {"text": name}, confidence, f"a column '{name}' and no question or answer beside it")
    if len(columns) == 1 and strings:
        _refuse_questions_alone(strings, where)
        return Shape("text", {"text": strings[0]}, "low", f"'{strings[0]}' is the only column")
    return None


def _refuse_questions_alone(columns: Iterable[str], where: str) -> None:
    alone = [column for column in columns if column.lower() in _QUESTION_ALONE]
    if alone:
        raise InputError(
            f"{where} holds questions without answers ('{alone[0]}' is its only column), as GRPO takes them: "
            "supervised fine-tuning has nothing to learn from them.",
            remedy=f"Give rows with answers. If it is text to be trained whole: --set data.columns.text={alone[0]}.",
        )
