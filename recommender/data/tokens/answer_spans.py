"""Find the characters of each answer in a rendered conversation, exactly or not at all.

Three ways, each proven on the row itself before it is used:

- *generation marks*: the template says what the assistant generates (`{% generation %}`).
- *prefix*: the conversation up to a question, rendered with the header that asks for an answer, is a prefix of the
  whole conversation: the answer starts behind it, which is where generation will start.
- *difference*: where that is not so, the conversation is rendered again with another answer in this one place, and the
  answer starts behind what every answer of this template begins with (`habits`).

An answer ends behind the last token that ends answers before the next turn's text, which is found by rendering another
text in that turn's place; what follows the token (some templates write a line end) is not trained, for generation has
stopped by then, and nothing is put where the template writes no such token. Generation marks are taken as they stand
(some enclose that line end, as Transformers' own mask then does); only a missing end-of-turn token is added. When no
way is exact, the row is refused with its reason. What of an answer is not trained is counted (`lost`).
For conversations of plain turns the positions are found once for each order of roles (`templates.layout`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recommender.data.formats.examples import Chat, Message, RowProblem
from recommender.data.templates.choose import ChatTemplate
from recommender.data.templates.empty_reasoning import asked_not_to, begins_empty, has_own
from recommender.data.templates.habits import Habits
from recommender.data.templates.keep_reasoning import kept
from recommender.data.templates.layout import Found, TemplateLayouts
from recommender.data.templates.lost_answers import NOTHING, Lost
from recommender.data.templates.reasoning import KEYS, Reasoning, arranged, reasoning_of, split_inline
from recommender.data.templates.render import ChatRenderer
from recommender.data.tokens.locate import Locator, ended_with
from recommender.data.tokens.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A conversation as text, with its trained spans."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Half-open character spans of the answers, in order; without empty answers."""
    answers: int
    """Answers that are to be trained and are not empty."""
    ended: int
    """Of these, how many have the end-of-turn token in their span."""
    method: str
    lost: Lost = NOTHING
    """Characters of the answers that are not trained."""
    unasked: int = 0
    """Answers that begin otherwise than the header ends with which generation will be asked for them."""
    inline: bool = False
    """Whether reasoning is trained as text between tags, though the template has a place for it."""
    empty_reasoning: int = 0
    """Answers with which an empty reasoning block is trained that the row does not have and nothing in it asks for."""
    reasoned: bool = False
    """Whether an answer is trained with reasoning of its own."""


class TurnFinder:
    """Renders conversations with one template and finds their answers.

    Args:
        template: The template.
        vocabulary: The model's tokenizer.
        variables: `data.chat_template_kwargs`.
        reasoning: `data.reasoning`.

    Attributes:
        habits: What the template does.
        end_of_turn: The tokens, as text, that the template writes behind an answer; empty when it writes none.
        notes: How conversations are adapted to a template that lacks a role; for the warnings.
    """

    def __init__(
        self,
        template: ChatTemplate,
        vocabulary: Vocabulary,
        variables: Mapping[str, Any] | None = None,
        reasoning: Reasoning = "auto",
    ) -> None:
        self.template = template
        self.vocabulary = vocabulary
        self.variables = dict(variables or {})
        self.reasoning = reasoning
        self.notes: set[str] = set()
        self.habits = Habits(template, vocabulary, self.variables)
        self.end_of_turn = self.habits.end_of_turn
        self._simple = Locator(self.habits, self.habits.plain, (), {})
        """Of conversations that bring neither tools nor variables of their own."""
        self._layouts = TemplateLayouts(self._found)

    def prompt(self, chat: Chat) -> str:
        """The conversation up to its last answer, with the header that asks for it.

        Raises:
            RowProblem: The template does not take it.
        """
        messages = self.given(chat)
        last = max((index for index, turn in enumerate(messages) if turn.role == "assistant"), default=len(messages))
        return self._locator(chat).render(messages[:last], prompt=True)

    def render(self, chat: Chat) -> RenderedChat:
        """The whole conversation with the spans of its answers.

        Raises:
            RowProblem: The template does not take it, or its answers cannot be found exactly.
        """
        messages = self._adapted(chat)
        wanted = [
            index for index, turn in enumerate(messages) if turn.role == "assistant" and turn.train and not turn.empty
        ]
        plain = not (chat.tools or chat.variables) and not any(
            turn.extra or self._ends_in(turn.content) for turn in messages
        )
        layout = self._layouts.of(messages) if plain else None
        if layout is None:
            return self._by_rendering(chat, messages, wanted)
        text = self._locator(chat).render(messages)
        spans = layout.spans(text, messages, wanted)
        reasoned = any(reasoning_of(messages[index]).strip() for index in wanted)
        # Where prompts open the reasoning, whether an answer begins there depends on what it begins with.
        if spans is None or not layout.proven or (reasoned and not layout.all_asked):
            exact = self._by_rendering(chat, messages, wanted)
            if spans is not None:
                layout.compare(spans, exact.spans)
            return exact
        ended = len(wanted) if layout.all_ended else sum(layout.ended[index] for index in wanted)
        unasked = 0 if layout.all_asked else sum(not layout.asked[index] for index in wanted)
        given = Lost(sum([len(messages[index].content) for index in wanted]))
        inline = self._inline(chat, messages, wanted)
        empty = sum(layout.empty[index] and not has_own(self.habits, messages[index]) for index in wanted)
        empty = 0 if empty and (reasoned or asked_not_to(messages)) else empty
        method = layout.method
        return RenderedChat(text, spans, len(spans), ended, method, given, unasked, inline, empty, reasoned)

    def given(self, chat: Chat) -> list[Message]:
        """The turns in the form that the template reads."""
        return self._for_template(self._adapted(chat))

    def _inline(self, chat: Chat, messages: Sequence[Message], wanted: Sequence[int]) -> bool:
        """Whether reasoning is rendered as text, though the template reads reasoning from a key."""
        if self.reasoning == "keep" or not self.habits.reasoning_key:
            return False  # as text is what was asked for, or all there is
        if not any(split_inline(messages[index].content) for index in wanted):
            return False
        locator = self._locator(chat)
        moved = locator.attempt(self._for_template(arranged(messages, "split")))
        return moved is not None and moved != locator.attempt(messages)

    def _ends_in(self, content: str) -> bool:
        """Whether a turn contains an end-of-turn token, so that its end is ambiguous."""
        return any(token in content for token in self.habits.ends)

    def _found(self, messages: Sequence[Message]) -> Found | None:
        """A conversation of plain turns with all its answers, for the layout of its roles."""
        wanted = [index for index, turn in enumerate(messages) if turn.role == "assistant"]
        try:
            located = self._locator(Chat(tuple(messages))).locate(messages, wanted)
        except RowProblem:
            return None
        ended = tuple(ended_with(located.text, span, self.habits.ends) for span in located.spans)
        empty = tuple(
            begins_empty(self.habits, located.text, span, messages[index])
            for index, span in zip(wanted, located.spans, strict=True)
        )
        return Found(located.text, located.spans, ended, located.asked, empty, located.method)

    def _by_rendering(self, chat: Chat, messages: Sequence[Message], wanted: Sequence[int]) -> RenderedChat:
        given = self._for_template(messages)
        found = self._locator(chat).locate(given, wanted, shift=len(chat.messages) - len(messages))
        if self.reasoning == "keep" and any(lost.reasoning for lost in found.losses):
            found = kept(self._locator(chat), found, given, wanted)
        ended = sum(ended_with(found.text, span, self.habits.ends) for span in found.spans)
        lost = sum(found.losses, NOTHING)
        inline = not lost.reasoning and self._inline(chat, messages, wanted)
        turns = [given[index] for index in wanted]
        reasoned = not lost.reasoning and any(reasoning_of(turn).strip() for turn in turns)
        empty = sum(
            begins_empty(self.habits, found.text, span, turn) for span, turn in zip(found.spans, turns, strict=True)
        )
        return RenderedChat(
            found.text,
            found.spans,
            len(found.spans),
            ended,
            found.method,
            lost,
            found.asked.count(False),
            inline,
            0 if empty and (reasoned or asked_not_to(messages)) else empty,
            reasoned,
        )

    def _locator(self, chat: Chat) -> Locator:
        if not (chat.tools or chat.variables):
            return self._simple
        tools = chat.tools if self.habits.takes_tools else ()
        return Locator(self.habits, self._renderer(chat), tools, chat.variables)

    def _renderer(self, chat: Chat) -> ChatRenderer:
        return self.habits.with_tools if chat.tools else self.habits.plain

    def _for_template(self, messages: Sequence[Message]) -> list[Message]:
        """The turns with their reasoning under the key that the template reads."""
        key = self.habits.reasoning_key if any(KEYS[0] in turn.extra for turn in messages) else ""
        if key in {"", KEYS[0]}:
            return list(messages)
        return [
            replace(turn, extra={key if name == KEYS[0] else name: held for name, held in turn.extra.items()})
            for turn in messages
        ]

    def _adapted(self, chat: Chat) -> list[Message]:
        """The turns in roles that this template knows, reasoning where it is wanted; each change is noted."""
        habits = self.habits
        messages = arranged(chat.messages, self.reasoning)
        if chat.tools and not habits.takes_tools:
            self.notes.add(
                "The chat template has no place for descriptions of functions: they are written as a system message."
            )
            described = "You may call these functions:\n" + json.dumps(list(chat.tools), ensure_ascii=False)
            messages = _before(messages, "system", described)
        if not habits.takes_calls:
            messages = [self._call_as_text(turn) for turn in messages]
        if any(turn.role == "tool" for turn in messages) and not (habits.takes_calls or habits.takes_tool_role):
            self.notes.add(
                "The chat template does not take results of functions: they are written as the user's turns."
            )
            messages = [replace(turn, role="user") if turn.role == "tool" else turn for turn in messages]
        if messages[0].role == "system" and not habits.takes_system:
            self.notes.add("The chat template takes no system message: it is written before the first question.")
            messages = _before(messages[1:], "user", messages[0].content)
        return messages

    def _call_as_text(self, turn: Message) -> Message:
        calls = turn.extra.get("tool_calls")
        if not calls:
            return turn
        self.notes.add("The chat template does not take function calls: they are written as JSON text.")
        said = [json.dumps(call["function"], ensure_ascii=False) for call in calls]
        extra = {key: value for key, value in turn.extra.items() if key != "tool_calls"}
        return replace(turn, content="\n".join(filter(None, [turn.content, *said])), extra=extra)


def _before(messages: Sequence[Message], role: str, content: str) -> list[Message]:
    """Put content before the first turn of a role, or add such a turn in front."""
    index = next((place for place, turn in enumerate(messages) if turn.role == role), None)
    if index is None or (role == "system" and index):
        return [Message(role, content), *messages]
    joined = replace(messages[index], content=f"{content}\n\n{messages[index].content}")
    return [*messages[:index], joined, *messages[index + 1 :]]
