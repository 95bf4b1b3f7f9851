"""Find the characters of each answer in a rendered conversation, exactly or not at all.

Three ways, each proven on the row itself before it is used:

- *generation marks*: the template says what the assistant generates (`{% generation %}`).
- *prefix*: the conversation up to a question, rendered with the header that asks for an answer, is a prefix of the
  whole conversation: the answer starts behind it, which is where generation will start.
- *difference*: where a template rewrites earlier turns (some drop their reasoning), the conversation is rendered again
  with another answer in this one place; what stays is not the answer.

An answer is trained with the end-of-turn token behind it, and not with the line end that some templates write after
that token: generation has stopped by then. Generation marks are taken as they stand (some enclose that line end, as
Transformers' own mask then does); only a missing end-of-turn token is added. When no way is exact, the row is refused
with its reason. For conversations of plain turns the places are learnt once for each order of roles (`skeleton`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from recommender.data.examples import NOT_FOUND, Chat, Message, RowProblem
from recommender.data.jinja import ChatRenderer, TemplateProblem
from recommender.data.skeleton import Found, Skeletons
from recommender.data.templates import ChatTemplate
from recommender.data.vocabulary import Vocabulary

_FIRST, _SECOND = "Zqfirstprobe", "Kwsecondprobe"
"""Words that no template writes by itself."""
REASONING = ("reasoning_content", "thinking", "reasoning")
"""Keys that templates read an answer's reasoning from, the usual one first."""


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A conversation as text, with what is trained of it."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Half-open character spans of the answers, in order; without empty answers."""
    answers: int
    """Answers that are to be trained and are not empty."""
    ended: int
    """Of these, how many have the end-of-turn token in their span."""
    method: str


class TurnFinder:
    """Renders conversations with one template and finds their answers.

    Attributes:
        end_of_turn: The tokens, as text, that the template writes behind an answer; empty when it writes none.
        notes: How conversations are adapted to a template that lacks a role; for the warnings.
    """

    def __init__(self, template: ChatTemplate, vocabulary: Vocabulary) -> None:
        tokens = dict(vocabulary.special_tokens)
        if template.name not in {"model", ""} and not template.name.endswith(".jinja"):
            # Family templates name both tokens; a vocabulary without them leaves nothing in their place.
            tokens = {"bos_token": "", "eos_token": "", **tokens}
        self._plain = ChatRenderer(template.source, tokens)
        self._with_tools = ChatRenderer(template.with_tools, tokens) if template.with_tools else self._plain
        self._vocabulary = vocabulary
        self.notes: set[str] = set()
        self.end_of_turn = self._probe_end_of_turn()
        self._skeletons = Skeletons(self._found)

    # What the template can do, found by trying it.

    def _shows(self, messages: Sequence[dict[str, Any]], word: str, tools: Sequence[Any] = ()) -> bool:
        try:
            return word in self._with_tools.render(messages, tools=tools)
        except TemplateProblem:
            return False

    @cached_property
    def _takes_system(self) -> bool:
        messages = [{"role": "system", "content": _FIRST}, _turn("user", "Q"), _turn("assistant", "A")]
        return self._shows(messages, _FIRST)

    @cached_property
    def _takes_tools(self) -> bool:
        schema = {"name": _FIRST, "description": "", "parameters": {"type": "object", "properties": {}}}
        tools = [{"type": "function", "function": schema}]
        return self._shows([_turn("user", "Q"), _turn("assistant", "A")], _FIRST, tools)

    @cached_property
    def _takes_calls(self) -> bool:
        call = {"type": "function", "id": "123456789", "function": {"name": _FIRST, "arguments": {"x": 1}}}
        asked = [_turn("user", "Q"), {"role": "assistant", "content": "", "tool_calls": [call]}]
        answered = [*asked, {"role": "tool", "content": _SECOND, "tool_call_id": "123456789"}, _turn("assistant", "A")]
        return self._shows(answered, _FIRST) and self._shows(answered, _SECOND)

    @cached_property
    def _takes_tool_role(self) -> bool:
        return self._shows(
            [_turn("user", "Q"), _turn("assistant", "A"), _turn("tool", _SECOND), _turn("assistant", "B")], _SECOND
        )

    @cached_property
    def _reasoning_key(self) -> str:
        """The key that the last answer's reasoning is read from; empty where none is read.

        Most templates read reasoning_content, gpt-oss thinking. That of earlier answers many leave out on purpose.
        """
        for key in REASONING:
            if self._shows([_turn("user", "Q"), {**_turn("assistant", "A"), key: _FIRST}], _FIRST):
                return key
        return ""

    def _probe_end_of_turn(self) -> tuple[str, ...]:
        """The special token behind the last answer, and the one behind an earlier answer where it ends it too."""
        messages = [_turn("user", "Q"), _turn("assistant", _FIRST), _turn("user", "Q"), _turn("assistant", _SECOND)]
        try:
            text = self._plain.render(messages)
        except TemplateProblem:
            return ()
        if text.count(_FIRST) != 1 or text.count(_SECOND) != 1:
            return ()
        last = self._token_at(text.split(_SECOND)[1])
        earlier = self._token_at(text.split(_FIRST)[1])
        stops = {self._vocabulary.added.get(index) for index in self._vocabulary.stop_ids}
        return tuple(dict.fromkeys(token for token in (last, earlier if earlier in stops else None) if token))

    def _token_at(self, text: str) -> str | None:
        """The added token that text starts with, blanks passed over; the longest of several."""
        text = text.lstrip()
        matches = [token for token in self._vocabulary.added.values() if token.strip() and text.startswith(token)]
        return max(matches, key=len, default=None)

    # Conversations.

    def prompt(self, chat: Chat) -> str:
        """The conversation up to its last answer, with the header that asks for it.

        Raises:
            RowProblem: The template does not take it.
        """
        messages = self._adapted(chat)
        last = max((index for index, turn in enumerate(messages) if turn.role == "assistant"), default=len(messages))
        return self._render(chat, messages[:last], prompt=True)

    def render(self, chat: Chat) -> RenderedChat:
        """The whole conversation with the spans of its answers.

        Raises:
            RowProblem: The template does not take it, or its answers cannot be found exactly.
        """
        messages = self._adapted(chat)
        wanted = [
            index for index, turn in enumerate(messages) if turn.role == "assistant" and turn.train and not turn.empty
        ]
        plain = not chat.tools and not any(turn.extra or self._ends_in(turn.content) for turn in messages)
        skeleton = self._skeletons.of(messages) if plain else None
        if skeleton is None:
            return self._by_rendering(chat, self._with_reasoning(messages), wanted)
        text = self._render(chat, messages)
        spans = skeleton.spans(text, messages, wanted)
        if spans is None or not skeleton.proven:
            exact = self._by_rendering(chat, messages, wanted)
            if spans is not None:
                skeleton.compare(spans, exact.spans)
            return exact
        ended = sum(skeleton.ended[index] for index in wanted)
        return RenderedChat(text, spans, len(spans), ended, skeleton.method)

    def _with_reasoning(self, messages: list[Message]) -> list[Message]:
        """The turns with their reasoning under the key that the template reads."""
        usual = REASONING[0]
        if not any(usual in turn.extra for turn in messages) or self._reasoning_key == usual:
            return messages
        if not self._reasoning_key:
            self.notes.add(
                "The template has no place for reasoning: it is left out, and the answers alone are trained."
            )
            return messages
        return [
            replace(
                turn, extra={self._reasoning_key if key == usual else key: held for key, held in turn.extra.items()}
            )
            for turn in messages
        ]

    def _ends_in(self, content: str) -> bool:
        """Whether a turn itself holds the token that ends one, which makes its end a question."""
        return any(token in content for token in self.end_of_turn)

    def _found(self, messages: Sequence[Message]) -> Found | None:
        """A conversation of plain turns with all its answers, for the skeleton of its roles."""
        wanted = [index for index, turn in enumerate(messages) if turn.role == "assistant"]
        try:
            found = self._by_rendering(Chat(tuple(messages)), messages, wanted)
        except RowProblem:
            return None
        ended = tuple(self._ended(found.text, [span]) == 1 for span in found.spans)
        return Found(found.text, found.spans, ended, found.method)

    def _by_rendering(self, chat: Chat, messages: Sequence[Message], wanted: Sequence[int]) -> RenderedChat:
        if self._renderer(chat).has_marks and (marked := self._by_marks(chat, messages, wanted)):
            return marked
        text = self._render(chat, messages)
        method = "prefix"
        spans = []
        for index in wanted:
            span = self._by_prefix(chat, messages, index, text)
            if span is None:
                method, span = "difference", self._by_difference(chat, messages, index, text)
            spans.append(span)
        return RenderedChat(text, tuple(spans), len(spans), self._ended(text, spans), method)

    def _renderer(self, chat: Chat) -> ChatRenderer:
        return self._with_tools if chat.tools else self._plain

    def _render(self, chat: Chat, messages: Sequence[Message], *, prompt: bool = False) -> str:
        try:
            return self._renderer(chat).render(
                [turn.for_template() for turn in messages], tools=self._tools(chat), prompt=prompt
            )
        except TemplateProblem as error:
            raise RowProblem(f"is refused by the chat template: {error}") from error

    def _attempt(self, chat: Chat, messages: Sequence[Message], *, prompt: bool = False) -> str | None:
        try:
            return self._render(chat, messages, prompt=prompt)
        except RowProblem:
            return None

    def _tools(self, chat: Chat) -> tuple[Any, ...]:
        return chat.tools if self._takes_tools else ()

    def _adapted(self, chat: Chat) -> list[Message]:
        """The turns in roles that this template knows; each change is noted."""
        messages = list(chat.messages)
        if chat.tools and not self._takes_tools:
            self.notes.add("The template has no place for tools: their descriptions are written as a system message.")
            described = "You may call these functions:\n" + json.dumps(list(chat.tools), ensure_ascii=False)
            messages = _before(messages, "system", described)
        if not self._takes_calls:
            messages = [self._call_as_text(turn) for turn in messages]
        if any(turn.role == "tool" for turn in messages) and not (self._takes_calls or self._takes_tool_role):
            self.notes.add("The template has no role for tool results: they are written as the user's turns.")
            messages = [replace(turn, role="user") if turn.role == "tool" else turn for turn in messages]
        if messages[0].role == "system" and not self._takes_system:
            self.notes.add("The template takes no system message: it is written before the first question.")
            messages = _before(messages[1:], "user", messages[0].content)
        return messages

    def _call_as_text(self, turn: Message) -> Message:
        calls = turn.extra.get("tool_calls")
        if not calls:
            return turn
        self.notes.add("The template has no place for function calls: they are written as JSON text.")
        said = [json.dumps(call["function"], ensure_ascii=False) for call in calls]
        extra = {key: value for key, value in turn.extra.items() if key != "tool_calls"}
        return replace(turn, content="\n".join(filter(None, [turn.content, *said])), extra=extra)

    # The three ways.

    def _by_marks(self, chat: Chat, messages: Sequence[Message], wanted: Sequence[int]) -> RenderedChat | None:
        """Spans of the template's own marks; None when they do not stand one for each answer."""
        try:
            marked = self._renderer(chat).render_marked(
                [turn.for_template() for turn in messages], tools=self._tools(chat)
            )
        except TemplateProblem:
            return None
        answers = [index for index, turn in enumerate(messages) if turn.role == "assistant"]
        if len(marked.spans) != len(answers):
            return None
        found = dict(zip(answers, marked.spans, strict=True))
        spans = [(found[index][0], self._with_end(marked.text, found[index][1])) for index in wanted]
        if not all(self._holds(marked.text, span, messages[index]) for span, index in zip(spans, wanted, strict=True)):
            return None
        return RenderedChat(marked.text, tuple(spans), len(spans), self._ended(marked.text, spans), "generation marks")

    def _by_prefix(self, chat: Chat, messages: Sequence[Message], index: int, text: str) -> tuple[int, int] | None:
        asked = self._attempt(chat, messages[:index], prompt=True) if index else None
        if asked is None or not text.startswith(asked):
            return None
        if index == len(messages) - 1:
            limit = len(text)
        else:
            answered = self._attempt(chat, messages[: index + 1])
            if answered is None or not text.startswith(answered):
                return None
            limit = len(answered)
        end = self._last_end(text, len(asked), limit)
        span = (len(asked), end)
        return span if self._holds(text, span, messages[index]) else None

    def _by_difference(self, chat: Chat, messages: Sequence[Message], index: int, text: str) -> tuple[int, int]:
        refusal = RowProblem(f"has an answer (turn {index + 1}) {NOT_FOUND}")
        turn = messages[index]
        if turn.extra.get("tool_calls"):
            raise refusal
        extra = {key: value for key, value in turn.extra.items() if key not in REASONING}
        first, second = (
            self._attempt(chat, [*messages[:index], replace(turn, content=word, extra=extra), *messages[index + 1 :]])
            for word in (_FIRST, _SECOND)
        )
        if first is None or second is None or first.count(_FIRST) != 1:
            raise refusal
        before, _, behind = first.partition(_FIRST)
        fits = text.startswith(before) and text.endswith(behind) and len(before) + len(behind) < len(text)
        if second != before + _SECOND + behind or not fits:
            raise refusal
        start, stop = len(before), len(text) - len(behind)
        asked = self._attempt(chat, messages[:index], prompt=True) if index else None
        if asked is not None and len(asked) < start and text.startswith(asked):
            start = len(asked)
        span = (start, self._with_end(text, stop))
        if not self._holds(text, span, turn):
            raise refusal
        return span

    def _last_end(self, text: str, start: int, limit: int) -> int:
        """Behind the last end-of-turn token in text[start:limit]; behind the last sign when there is none."""
        places = [(text.rfind(token, start, limit), len(token)) for token in self.end_of_turn]
        position, length = max(places, default=(-1, 0))
        if position >= 0:
            return position + length
        return start + len(text[start:limit].rstrip())

    def _with_end(self, text: str, stop: int) -> int:
        """Behind the end-of-turn token that follows, when one does; else where it was."""
        if text[:stop].endswith(self.end_of_turn or ("\0",)):
            return stop
        rest = text[stop:]
        blanks = len(rest) - len(rest.lstrip())
        token = next((token for token in self.end_of_turn if rest.startswith(token, blanks)), None)
        return stop if token is None else stop + blanks + len(token)

    def _holds(self, text: str, span: tuple[int, int], turn: Message) -> bool:
        """Whether the span is this answer, whole or without what the template drops of it (its reasoning)."""
        if turn.extra.get("tool_calls"):
            return span[0] < span[1]
        held = text[span[0] : span[1]].strip()
        for token in self.end_of_turn:
            held = held.removesuffix(token)
        answer = turn.content.strip()
        return bool(held.strip()) and (answer in held or held.strip() in answer)

    def _ended(self, text: str, spans: Iterable[tuple[int, int]]) -> int:
        return sum(any(text.find(token, start, end) >= 0 for token in self.end_of_turn) for start, end in spans)


def _turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _before(messages: Sequence[Message], role: str, content: str) -> list[Message]:
    """Put content before the first turn of a role, or add such a turn in front."""
    index = next((place for place, turn in enumerate(messages) if turn.role == role), None)
    if index is None or (role == "system" and index):
        return [Message(role, content), *messages]
    joined = replace(messages[index], content=f"{content}\n\n{messages[index].content}")
    return [*messages[:index], joined, *messages[index + 1 :]]
