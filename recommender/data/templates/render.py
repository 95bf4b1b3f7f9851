"""Render chat templates as Transformers renders them, without Transformers.

The environment follows `transformers.utils.chat_template_utils` (5.x): an immutable sandbox, trim_blocks and
lstrip_blocks, loop controls, `tojson` without HTML escapes, `raise_exception`, `strftime_now`, and the
`{% generation %}` tag around what the assistant says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from presets.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Template

_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
"""Private-use characters that stand around marked text while it is rendered, and are taken out again."""
_OF_DICTS = frozenset(dir(dict))
"""Attributes that every dict has: what is stored under such a name is reached otherwise."""
_MARKED = re.compile(r"\{%-?\+?\s*generation\s*-?\+?%\}")


class TemplateProblem(Exception):
    """The template refused a conversation (`raise_exception`) or failed on it."""


class Marked(NamedTuple):
    """A rendered conversation and the characters that the template's generation marks enclose."""

    text: str
    spans: tuple[tuple[int, int], ...]


class ChatRenderer:
    """A compiled chat template with the model's special tokens.

    Args:
        source: Jinja source.
        special_tokens: Named special tokens that templates read: bos_token, eos_token …
        now: Clock for `strftime_now`, which puts today's date into some system prompts.
        variables: Values of other variables that the template reads (`chat_template_kwargs`).

    Raises:
        InputError: The template is not valid Jinja.
    """

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str],
        now: Callable[[], datetime] = datetime.now,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self.source = source
        self.special_tokens = dict(special_tokens)
        self.has_marks = bool(_MARKED.search(source))
        self._now = now
        self._template = _compile(source, marks=False)
        self._marking = _compile(source, marks=True) if self.has_marks else self._template
        self._globals = {
            **self._template.environment.globals,
            "documents": None,
            "strftime_now": lambda form: self._now().strftime(form),
            **self.special_tokens,
            **(variables or {}),
        }

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Any] = (),
        prompt: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The conversation as text.

        Args:
            messages: Turns with role and content.
            tools: JSON schemas of functions.
            prompt: Whether the header that asks for the next answer follows (`add_generation_prompt`).
            variables: This conversation's own values of variables.

        Raises:
            TemplateProblem: The template does not take this conversation.
        """
        return self._run(self._template, messages, tools, prompt, variables)

    def render_marked(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Any] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> Marked:
        """The conversation with the spans that `{% generation %}` encloses.

        Raises:
            TemplateProblem: The template does not take it, or changes the marked text afterwards.
        """
        plain = self.render(messages, tools=tools, variables=variables)
        marked = self._run(self._marking, messages, tools, False, variables)
        pieces = re.split(f"([{_OPEN}{_CLOSE}])", marked)
        spans: list[tuple[int, int]] = []
        position, opened = 0, 0
        for piece in pieces:
            if piece == _OPEN:
                opened = position
            elif piece == _CLOSE:
                spans.append((opened, position))
            else:
                position += len(piece)
        if "".join(piece for piece in pieces if piece not in {_OPEN, _CLOSE}) != plain:
            raise TemplateProblem("its generation marks do not stand where the text is")
        return Marked(plain, tuple(spans))

    def _run(
        self,
        template: Template,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Any],
        ask: bool,
        variables: Mapping[str, Any] | None,
    ) -> str:
        import jinja2

        try:
            # As Template.render does it, which makes a dict of all globals anew for each row.
            context = template.new_context(
                {
                    **self._globals,
                    **(variables or {}),
                    "messages": list(messages),
                    "tools": list(tools) or None,
                    "add_generation_prompt": ask,
                },
                shared=True,
            )
            return template.environment.concat(template.root_render_func(context))
        except jinja2.TemplateError as error:
            raise TemplateProblem(str(error) or type(error).__name__) from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            # A template is a program of somebody else's: what it trips over is about this conversation.
            raise TemplateProblem(f"{type(error).__name__}: {error}") from error


def variables_of(source: str) -> frozenset[str]:
    """Names that a template reads and does not set itself: messages, tools, enable_thinking."""
    from jinja2 import meta

    template = _compile(source, marks=False)
    return frozenset(meta.find_undeclared_variables(template.environment.parse(source)))


@lru_cache(maxsize=128)
def _compile(source: str, *, marks: bool) -> Template:
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.runtime import LoopContext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %} … {% endgeneration %}`."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_enclose"), [], [], body).set_lineno(line)

        def _enclose(self, caller: Callable[[], str]) -> str:
            return f"{_OPEN}{caller()}{_CLOSE}" if marks else caller()

    class Environment(ImmutableSandboxedEnvironment):
        """The sandbox, with a short way to what every template reads for every turn and what is always safe."""

        def getattr(self, obj: Any, attribute: str) -> Any:
            if type(obj) is dict and attribute in obj and attribute not in _OF_DICTS:
                return obj[attribute]
            if type(obj) is LoopContext and not attribute.startswith("_"):
                return getattr(obj, attribute, self.undefined(obj=obj, name=attribute))
            return super().getattr(obj, attribute)

    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        line = f" (line {error.lineno})" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise InputError(
            f"The chat template is not valid Jinja{line}: {error.message}.",
            remedy="Repair it, or choose another with data.template.",
        ) from error


def _raise(message: str) -> None:
    raise TemplateProblem(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes <, > and & for HTML, which a prompt must not."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
