"""Spans of the answers of one conversation in its text: each found by rendering, and proven or refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from recommender.data.formats.examples import LEFT_OUT, NOT_FOUND, REFUSED, Message, RowProblem
from recommender.data.templates.habits import FIRST, SECOND, Habits, shared_start
from recommender.data.templates.lost_answers import Lost, lost_of
from recommender.data.templates.reasoning import split_inline
from recommender.data.templates.render import ChatRenderer, TemplateProblem

Span = tuple[int, int]


class Located(NamedTuple):
    """A conversation as text, with its answers."""

    text: str
    spans: tuple[Span, ...]
    asked: tuple[bool, ...]
    """For each answer, whether it begins where generation will, by the header that asks for it."""
    losses: tuple[Lost, ...]
    method: str


class Locator:
    """Finds the answers of one conversation.

    Args:
        habits: What the template does.
        renderer: The template.
        tools: Functions that are described to it.
        variables: The row's own `chat_template_kwargs`.
    """

    def __init__(
        self, habits: Habits, renderer: ChatRenderer, tools: Sequence[Any], variables: Mapping[str, Any]
    ) -> None:
        self.habits = habits
        self._renderer = renderer
        self._tools = tools
        self._variables = variables

    def render(self, messages: Sequence[Message], *, prompt: bool = False) -> str:
        """The turns as text.

        Raises:
            RowProblem: The template refuses them.
        """
        try:
            return self._renderer.render(
                self._given(messages), tools=self._tools, prompt=prompt, variables=self._variables
            )
        except TemplateProblem as error:
            raise RowProblem(f"{REFUSED}: {error}") from error

    def _given(self, messages: Sequence[Message]) -> list[Mapping[str, Any]]:
        given: list[Mapping[str, Any]] = [turn.for_template() for turn in messages]
        return [*map(self.habits.given, given)] if self.habits.rewrites else given

    def attempt(self, messages: Sequence[Message], *, prompt: bool = False) -> str | None:
        """The turns as text; None where the template refuses them."""
        try:
            return self.render(messages, prompt=prompt)
        except RowProblem:
            return None

    def locate(self, messages: Sequence[Message], wanted: Sequence[int], *, shift: int = 0) -> Located:
        """The text with the wanted answers.

        Args:
            messages: Turns as the template is given them.
            wanted: Places of the answers.
            shift: Turns that the row has more than these, for their numbers in a reason.

        Raises:
            RowProblem: The template refuses it, or an answer cannot be found exactly.
        """
        if self._renderer.has_marks and (marked := self._by_marks(messages, wanted)):
            return marked
        text = self.render(messages)
        method = "prefix"
        spans, asked = [], []
        for index in wanted:
            answer = self._answer(messages, index, text)
            if answer is None:
                raise RowProblem(self._why(messages, index, text, index + 1 + shift))
            span, where_asked, simple = answer
            method = method if simple else "difference"
            spans.append(span)
            asked.append(where_asked)
        losses = _losses(text, spans, [messages[index] for index in wanted])
        return Located(text, tuple(spans), tuple(asked), losses, method)

    def _by_marks(self, messages: Sequence[Message], wanted: Sequence[int]) -> Located | None:
        """Spans of the template's own marks; None when they do not stand one for each answer."""
        try:
            text, marks = self._renderer.render_marked(
                self._given(messages), tools=self._tools, variables=self._variables
            )
        except TemplateProblem:
            return None
        answers = [index for index, turn in enumerate(messages) if turn.role == "assistant"]
        if len(marks) != len(answers):
            return None
        found = dict(zip(answers, marks, strict=True))
        spans = [
            (self._behind_given(messages, index, text, found[index][0]), self._with_end(text, found[index][1]))
            for index in wanted
        ]
        turns = [messages[index] for index in wanted]
        if not all(self._holds(text, span, turn) for span, turn in zip(spans, turns, strict=True)):
            return None
        asked = [self.begins(messages, index, text, span[0]) for index, span in zip(wanted, spans, strict=True)]
        return Located(text, tuple(spans), tuple(asked), _losses(text, spans, turns), "generation marks")

    def _behind_given(self, messages: Sequence[Message], index: int, text: str, start: int) -> int:
        """The start of a mark, behind empty reasoning that the prompt for this answer has in it."""
        asked = self.attempt(messages[:index], prompt=True) if index else None
        given = asked is not None and text.startswith(asked) and self.habits.closed(asked)
        return max(start, len(asked)) if given and asked is not None else start

    def begins(self, messages: Sequence[Message], index: int, text: str, start: int) -> bool:
        """Whether generation for this answer would begin at `start`, by the text before it."""
        asked = self.attempt(messages[:index], prompt=True) if index else None
        context = self.attempt(messages[:index]) if index else None
        if asked is None or text.startswith(asked):
            return True
        if context is None or not asked.startswith(context):
            return False
        # What stands before may be written otherwise by now (some templates drop earlier reasoning): the header counts.
        header = asked.removeprefix(context)
        return bool(header) and text[:start].endswith(header)

    def _answer(self, messages: Sequence[Message], index: int, text: str) -> tuple[Span, bool, bool] | None:
        """The span of one answer, whether it begins where generation will, and whether by prefixes alone."""
        turn = messages[index]
        for start, simple in self._starts(messages, index, text):
            ends = [
                (end, by_prefix)
                for end, by_prefix in self._ends(messages, index, text, start)
                if self._holds(text, (start, end), turn)
            ]
            if ends:
                # What ends a part of an answer (reasoning before a call) may end an answer too: the whole one counts.
                end, by_prefix = min(ends, key=lambda found: lost_of(turn, text[start : found[0]]).text)
                begins = simple or self.begins(messages, index, text, start)
                return (start, end), begins, simple and by_prefix
        return None

    def _why(self, messages: Sequence[Message], index: int, text: str, number: int) -> str:
        """The reason why an answer was not found."""
        turn = messages[index]
        bare = {key: held for key, held in turn.extra.items() if key != "tool_calls"}
        if turn.extra.get("tool_calls") and text == self._with(messages, index, replace(turn, extra=bare)):
            beside = " where text stands beside it" if turn.content.strip() else ""
            return f"has a function call (turn {number}) that {LEFT_OUT}{beside}"
        if turn.content.strip() and text == self._with(messages, index, replace(turn, content=FIRST)):
            return f"has an answer (turn {number}) that {LEFT_OUT}"
        return f"has an answer (turn {number}) {NOT_FOUND}"

    def _with(self, messages: Sequence[Message], index: int, turn: Message) -> str | None:
        """The text with one turn replaced; None where the template refuses that."""
        return self.attempt([*messages[:index], turn, *messages[index + 1 :]])

    def _starts(self, messages: Sequence[Message], index: int, text: str) -> Iterator[tuple[int, bool]]:
        """Candidate starts of an answer, the surest first, each with whether prefixes alone prove it."""
        habits = self.habits
        asked = self.attempt(messages[:index], prompt=True) if index else None
        context = None
        if asked is not None and text.startswith(asked):
            if not (habits.prompt_header and asked.endswith(habits.prompt_header)):
                context = self.attempt(messages[:index])
            # Where nothing is written to ask (behind another answer, say), a header that answers have is still to come.
            if asked != context or not habits.opening:
                yield len(asked), True
        context = context or (self.attempt(messages[:index]) if index else None)
        if habits.opening is not None and context and text.startswith(context + habits.opening):
            yield len(context) + len(habits.opening), False
        around = self._around(messages, index, replace(messages[index], content="", extra={}))
        before = around[0] if around else None
        if before is not None and habits.header is not None and habits.opening is not None:
            base = before.removesuffix(habits.header) + habits.opening
            if before.endswith(habits.header) and text.startswith(base):
                yield len(base), False
        if habits.opening is not None and before and text.startswith(before):
            # The header of a plain answer stands there whatever the answer is: all of it is behind.
            yield len(before), False
        if (start := self._parting(messages, index, text)) is not None:
            yield start, False
        if before and text.startswith(before):
            yield len(before), False

    def _parting(self, messages: Sequence[Message], index: int, text: str) -> int | None:
        """The first position where this answer differs from others, behind a token or line; None where unproven."""
        plain, *more = [Message(messages[index].role, **answer) for answer in self.habits.answers]
        other = self._with(messages, index, plain)
        behind = self._around(messages, index - 1, messages[index - 1]) if index else ("", text)
        if other is None or behind is None or not text.endswith(behind[1]):
            return None
        others = [other, *filter(None, (self._with(messages, index, turn) for turn in more))]
        start = self.habits.whole(shared_start([text, *others]))
        return start if start >= len(text) - len(behind[1]) else None

    def _ends(self, messages: Sequence[Message], index: int, text: str, start: int) -> Iterator[tuple[int, bool]]:
        """Candidate ends of an answer, the likeliest first, each with whether prefixes alone prove it."""
        limit: int | None = len(text)
        exact = index == len(messages) - 1
        if not exact:
            answered = self.attempt(messages[: index + 1])
            exact = answered is not None and text.startswith(answered)
            limit = len(answered) if exact and answered is not None else self._next_text(messages, index, text)
        if limit is not None:
            for tokens in (self.habits.end_of_turn, self.habits.ends):
                if (end := _behind_last(text, start, limit, tokens)) is not None:
                    yield end, exact
            if exact:
                yield self._with_end(text, start + len(text[start:limit].rstrip())), True
        if (stop := self._content_end(messages, index, text)) is not None:
            yield self._with_end(text, stop), False

    def _next_text(self, messages: Sequence[Message], index: int, text: str) -> int | None:
        """The start of the text in the turn behind an answer; None where it cannot be told."""
        turn = messages[index + 1]
        if turn.extra.get("tool_calls"):
            return None
        around = self._around(messages, index + 1, turn)
        return len(around[0]) if around and text.startswith(around[0]) else None

    def _content_end(self, messages: Sequence[Message], index: int, text: str) -> int | None:
        """The end of an answer's text; None where that cannot be told."""
        turn = messages[index]
        if turn.extra.get("tool_calls") or not turn.content.strip():
            return None
        around = self._around(messages, index, turn)
        return len(text) - len(around[1]) if around and text.endswith(around[1]) else None

    def _around(self, messages: Sequence[Message], index: int, turn: Message) -> tuple[str, str] | None:
        """The text before and behind one turn; None where it depends on the turn's content."""
        inline = split_inline(turn.content) if turn.role == "assistant" else None
        head = turn.content[: len(turn.content) - len(inline.answer)] if inline and inline.answer else ""
        texts = [
            self.attempt([*messages[:index], replace(turn, content=head + word), *messages[index + 1 :]])
            for word in (FIRST, SECOND)
        ]
        first, second = texts
        if first is None or second is None or first.count(FIRST) != 1:
            return None
        before, _, behind = first.partition(FIRST)
        return (before, behind) if second == before + SECOND + behind else None

    def _with_end(self, text: str, stop: int) -> int:
        """The position behind the token that ends an answer, when one follows; else the given one."""
        ends = self.habits.ends
        if text[:stop].endswith(ends or ("\0",)):
            return stop
        rest = text[stop:]
        blanks = len(rest) - len(rest.lstrip())
        token = next((token for token in ends if rest.startswith(token, blanks)), None)
        return stop if token is None else stop + blanks + len(token)

    def _holds(self, text: str, span: Span, turn: Message) -> bool:
        """Whether the span is this answer, whole or without what the template drops of it."""
        held = text[span[0] : span[1]].strip()
        for token in self.habits.ends:
            held = held.removesuffix(token).rstrip()
        if not held:
            return False
        calls = [call.get("function", call)["name"] for call in turn.extra.get("tool_calls") or ()]
        if calls:
            return all(name in held for name in calls)
        return not lost_of(turn, held).text or held in turn.content


def _losses(text: str, spans: Sequence[Span], turns: Sequence[Message]) -> tuple[Lost, ...]:
    return tuple(lost_of(turn, text[start:end]) for (start, end), turn in zip(spans, turns, strict=True))


def _behind_last(text: str, start: int, limit: int, tokens: Sequence[str]) -> int | None:
    """The position behind the last of some tokens in a part of the text; None when none is there."""
    positions = [(text.rfind(token, start, limit), len(token)) for token in tokens]
    position, length = max(positions, default=(-1, 0))
    return position + length if position >= 0 else None


def ended_with(text: str, span: Span, ends: Sequence[str]) -> bool:
    """Whether a span ends with a token that ends answers, line ends behind it passed over."""
    return bool(ends) and text[span[0] : span[1]].rstrip().endswith(tuple(ends))
