"""What a chat template can do, and how it writes an answer: found by trying it on conversations of made-up words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

from recommender.data.jinja import ChatRenderer, TemplateProblem
from recommender.data.reasoning import KEYS, TAGS
from recommender.data.templates import ChatTemplate
from recommender.data.vocabulary import Vocabulary

FIRST, SECOND = "Zqfirstprobe", "Kwsecondprobe"
"""Words that no template writes by itself."""


EMPTY = re.compile(r"\A(?:<think>\s*</think>\s*)?")
"""Reasoning that holds nothing, as some templates write it where there is none."""


class Form(NamedTuple):
    """How reasoning is written in front of an answer."""

    before: str
    between: str
    """Behind the reasoning, up to the answer's text."""


class Habits:
    """What one template does.

    Attributes:
        plain: Renders conversations without tools.
        with_tools: Renders conversations with tools.
        stops: Tokens, as text, at which this model's generation stops.
    """

    def __init__(self, template: ChatTemplate, vocabulary: Vocabulary, variables: Mapping[str, Any]) -> None:
        tokens = dict(vocabulary.special_tokens)
        if template.name not in {"model", ""} and not template.name.endswith(".jinja"):
            # Family templates name both tokens; a vocabulary without them leaves nothing in their place.
            tokens = {"bos_token": "", "eos_token": "", **tokens}
        self.plain = ChatRenderer(template.source, tokens, variables=variables)
        self.with_tools = (
            ChatRenderer(template.with_tools, tokens, variables=variables) if template.with_tools else self.plain
        )
        self._added = sorted((token for token in vocabulary.added.values() if token.strip()), key=len, reverse=True)
        stops = (vocabulary.added.get(index) for index in vocabulary.stop_ids)
        self.stops = tuple(token for token in stops if token and token.strip())

    def _rendered(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Any] = (), prompt: bool = False
    ) -> str:
        """A conversation as text; empty where the template refuses it."""
        try:
            return self.with_tools.render([*map(self.given, messages)], tools=tools, prompt=prompt)
        except TemplateProblem:
            return ""

    def given(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """A turn in the form that the template reads: its content as text, or as a list of parts."""
        content = message.get("content")
        if not self.takes_parts_only or not isinstance(content, str):
            return message
        return {**message, "content": [{"type": "text", "text": content}]}

    @cached_property
    def takes_parts_only(self) -> bool:
        """Whether content is shown as a list of parts and not as text, as in templates of models that see images."""
        part = [{"type": "text", "text": FIRST}]
        answers: list[Any] = [FIRST, part]
        shown = []
        for answer in answers:
            try:
                asked: Any = "Q" if answer is FIRST else [{"type": "text", "text": "Q"}]
                turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
                shown.append(FIRST in self.plain.render(turns))
            except TemplateProblem:
                shown.append(False)
        return shown == [False, True]

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system message is written."""
        return FIRST in self._rendered([turn("system", FIRST), turn("user", "Q"), turn("assistant", "A")])

    @cached_property
    def takes_tools(self) -> bool:
        """Whether descriptions of functions are written."""
        schema = {"name": FIRST, "description": "", "parameters": {"type": "object", "properties": {}}}
        tools = [{"type": "function", "function": schema}]
        return FIRST in self._rendered([turn("user", "Q"), turn("assistant", "A")], tools=tools)

    @cached_property
    def takes_calls(self) -> bool:
        """Whether function calls and their results are written."""
        tool = {"role": "tool", "content": SECOND, "tool_call_id": "123456789"}
        text = self._rendered([turn("user", "Q"), _call(FIRST), tool, turn("assistant", "A")])
        return FIRST in text and SECOND in text

    @cached_property
    def takes_tool_role(self) -> bool:
        """Whether a result is written where nothing was called."""
        turns = [turn("user", "Q"), turn("assistant", "A"), turn("tool", SECOND), turn("assistant", "B")]
        return SECOND in self._rendered(turns)

    @cached_property
    def reasoning_key(self) -> str:
        """The key that an answer's reasoning is read from; empty where none is read.

        Most templates read reasoning_content, gpt-oss thinking; Gemma 4's first ones read it beside calls only.
        """
        for last in (turn("assistant", "A"), _call("look")):
            for key in KEYS:
                if FIRST in self._rendered([turn("user", "Q"), {**last, key: FIRST}]):
                    return key
        return ""

    @cached_property
    def reasoning_form(self) -> Form:
        """How the last answer's reasoning is written; as most models write it where the template has no place."""
        key = self.reasoning_key
        text = self._rendered([turn("user", "Q"), {**turn("assistant", SECOND), key: FIRST}]) if key else ""
        before, found, rest = text.partition(FIRST)
        between, ends, _ = rest.partition(SECOND)
        opening = self._asked("Q") + (self.opening or "")
        if not (found and ends and self.opening is not None and before.startswith(opening)):
            return Form("<think>\n", "\n</think>\n\n")
        return Form(before.removeprefix(opening), between)

    @cached_property
    def call_form(self) -> Form:
        """How reasoning is written in front of a function call; as most models write it where that is not shown."""
        usual = Form("<think>\n", "\n</think>\n\n")
        key, opening = self.reasoning_key, self._asked("Q") + (self.opening or "")
        if not key or self.opening is None:
            return usual
        bare = self._rendered([turn("user", "Q"), _call("look")])
        text = self._rendered([turn("user", "Q"), {**_call("look"), key: FIRST}])
        before, found, rest = text.partition(FIRST)
        call = EMPTY.sub("", bare.removeprefix(opening), count=1)
        if not (found and bare.startswith(opening) and before.startswith(opening) and rest.endswith(call)):
            return usual
        return Form(before.removeprefix(opening), rest.removesuffix(call))

    def _asked(self, question: str, *, prompt: bool = False) -> str:
        return self._rendered([turn("user", question)], prompt=prompt)

    @cached_property
    def prompt_header(self) -> str:
        """What is written to ask for an answer; empty where that is nothing or cannot be told."""
        asked, prompt = self._asked("Q"), self._asked("Q", prompt=True)
        return prompt.removeprefix(asked) if prompt.startswith(asked) else ""

    @cached_property
    def header(self) -> str | None:
        """What stands between a question and a plain answer's text; None where that cannot be told."""
        asked = self._asked("Q")
        text = self._rendered([turn("user", "Q"), turn("assistant", FIRST)])
        before, found, _ = text.partition(FIRST)
        return before.removeprefix(asked) if found and before.startswith(asked) else None

    @cached_property
    def opening(self) -> str | None:
        """What every answer begins with, whatever is in it; None where that cannot be told.

        It is what the headers of a plain answer, of one with reasoning, of a function call and of the prompt have in
        common, up to the last line end or special token.
        """
        asked, prompt = self._asked("Q"), self._asked("Q", prompt=True)
        answers = [turn("assistant", FIRST), _call(FIRST), *({**turn("assistant", "A"), key: FIRST} for key in KEYS)]
        texts = [self._rendered([turn("user", "Q"), answer]) for answer in answers]
        headers = [text.partition(FIRST)[0] for text in texts if FIRST in text]
        if not headers or not all(text.startswith(asked) for text in [prompt, *headers]):
            return None
        shared = shared_start([text.removeprefix(asked) for text in [prompt, *headers]])
        shared = min((shared.partition(tag)[0] for tag, _ in TAGS), key=len)
        if asked + shared in {prompt, headers[0]}:
            return shared
        ends = [shared.rfind(sign) + len(sign) for sign in ("\n", *self._added) if sign in shared]
        return shared[: max(ends)] if ends else None

    @cached_property
    def end_of_turn(self) -> tuple[str, ...]:
        """The tokens that end an answer: the one behind the last, and one that ends earlier answers, where it does.

        Several may follow an answer. Those that follow the last and an earlier one alike close it, and of these the
        last at which generation stops is its end (Cohere 2 writes END_RESPONSE and END_OF_TURN_TOKEN; generation goes
        on behind the first). What follows the whole conversation alone (Phi-3's endoftext) does not belong to it.
        """
        turns = [turn("user", "Q"), turn("assistant", FIRST), turn("user", "Q"), turn("assistant", SECOND)]
        try:
            text = self.plain.render([*map(self.given, turns)])
        except TemplateProblem:
            return ()
        if text.count(FIRST) != 1 or text.count(SECOND) != 1:
            return ()
        last, earlier = (self._tokens_at(text.split(word)[1]) for word in (SECOND, FIRST))
        both = last[: shared_length([last, earlier])]
        if both:
            return (next((token for token in reversed(both) if token in self.stops), both[-1]),)
        behind_last = next((token for token in last if token in self.stops), last[0] if last else "")
        behind_earlier = earlier[0] if earlier and earlier[0] in self.stops else ""
        return tuple(dict.fromkeys(token for token in (behind_last, behind_earlier) if token))

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """Every token that may end an answer: `end_of_turn`, and where else generation stops."""
        return tuple(dict.fromkeys((*self.end_of_turn, *self.stops)))

    def _tokens_at(self, text: str) -> list[str]:
        """The added tokens that text begins with, blanks passed over; the longest of several."""
        found = []
        while token := next((token for token in self._added if text.lstrip().startswith(token)), ""):
            found.append(token)
            text = text.lstrip().removeprefix(token)
        return found


def shared_length(sequences: Sequence[Sequence[str]]) -> int:
    """Signs that sequences have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda signs: len({*signs}) == 1, zip(*sequences, strict=False)))


def shared_start(texts: Sequence[str]) -> str:
    """What texts have in common at their beginning."""
    return texts[0][: shared_length(texts)]


def turn(role: str, content: str) -> dict[str, Any]:
    """A turn as templates take it."""
    return {"role": role, "content": content}


def _call(name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": {"x": 1}}
    return {**turn("assistant", ""), "tool_calls": [{"type": "function", "id": "123456789", "function": function}]}
