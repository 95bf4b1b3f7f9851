"""YAML errors of a file in the words of somebody who wrote it by hand, with the line and a remedy."""

from __future__ import annotations

import re
from typing import Any

import yaml

from presets.errors import InputError

_TAGS = {"int": "a whole number", "float": "a number", "bool": "true or false", "timestamp": "a date"}
_LONGEST = 40
"""Characters of a value that are repeated in a message."""

_SAYINGS: tuple[tuple[str, str, str, bool], ...] = (
    (r"found character '\\t'", "a tab stands here", "Indent with spaces, not tabs.", False),
    (
        r"while scanning a quoted scalar: found unexpected (end of stream|document separator)",
        "the quote that opens here is not closed",
        "Close the quote.",
        True,
    ),
    (
        r"while parsing a flow (sequence|mapping): expected",
        "the bracket that opens here is not closed, or a comma is missing in it",
        "Close the bracket, and put a comma between its values.",
        True,
    ),
    (
        r"but found another document",
        "a second document begins here",
        "Keep one: remove the line --- and what belongs to the other.",
        False,
    ),
    (
        r"constructor for the tag '(?:tag:yaml\.org,2002:)?(.+)'",
        "it has the tag {0}, which a configuration does not take",
        "Remove the tag, or quote the value if it is text that begins with '!'.",
        False,
    ),
    (
        r"found undefined alias '(.+)'",
        "*{0} refers to nothing that the file defines",
        "Quote the value if it is text that begins with '*'.",
        False,
    ),
    (
        r"mapping values are not allowed here",
        "a second ': ' stands in a value, or the line is indented too far",
        "Quote a value that holds ': ', and indent the keys of one section alike.",
        False,
    ),
    (
        r"while scanning a simple key: could not find expected ':'",
        "the key here has no value",
        "Write it as 'key: value', with a blank behind the colon.",
        True,
    ),
    (
        r"found character '(.)' that cannot start",
        "a value cannot begin with {0}",
        "Quote the value if it is text.",
        False,
    ),
    (
        r"expected <block end>, but found '<(?:scalar|anchor|alias|tag)>'",
        "something follows where a line should end",
        "Most often a quote before this place is not closed; a quote inside quoted text is written twice.",
        False,
    ),
    (
        r"expected <block end>",
        "the line does not continue what stands above it",
        "Indent the keys of one section by the same number of spaces, and use '- ' only in a list.",
        False,
    ),
)
"""PyYAML's words ('context: problem') as a pattern, ours, the remedy, and whether to point at the thing's beginning.

The first that fits is taken; groups of the pattern fill the sentence.
"""


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, whose every complaint is a YAMLError with its place.

    SafeConstructor lets the errors of Python's own conversions through: a number of more digits than Python converts,
    a date that there is not.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Construct as the base class does.

        Raises:
            yaml.YAMLError: The value is not what it looks like.
        """
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError) as error:
            kind = _TAGS.get(node.tag.rpartition(":")[2], "a value")
            raise yaml.constructor.ConstructorError(
                None, None, f"{_start(str(node.value))} cannot be read as {kind}", node.start_mark
            ) from error


def syntax_error(error: yaml.YAMLError, text: str, name: str) -> InputError:
    """Return one error of file, line and cause, with a remedy.

    Args:
        error: PyYAML's.
        text: The file's.
        name: The file, as the person calls it.
    """
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return InputError(
            f"{name}, line {line} is not YAML: it holds the control character U+{ord(text[error.position]):04X}.",
            remedy="Remove it; in double quotes it may be written as an escape.",
        )
    if not isinstance(error, yaml.MarkedYAMLError):
        return InputError(f"{name} is not YAML: {str(error).splitlines()[0]}.", remedy=_CHECK)
    said = ": ".join(part for part in (error.context, error.problem) if part)
    for pattern, words, remedy, at_begin in _SAYINGS:
        if found := re.search(pattern, said):
            mark = (error.context_mark if at_begin else None) or error.problem_mark
            return _told(name, mark, words.format(*found.groups()), remedy)
    remedy = "Quote it if it is text." if isinstance(error, yaml.constructor.ConstructorError) else _CHECK
    return _told(name, error.problem_mark or error.context_mark, error.problem or said, remedy)


def _told(name: str, mark: yaml.Mark | None, words: str, remedy: str) -> InputError:
    place = f", line {mark.line + 1}" if mark else ""
    return InputError(f"{name}{place} is not YAML: {words}.", remedy=remedy)


def _start(value: str) -> str:
    return f"'{value}'" if len(value) <= _LONGEST else f"'{value[:_LONGEST]}…' ({len(value)} characters)"


_CHECK = "Check this line and the one above it: quotes, brackets, colons and indentation."
