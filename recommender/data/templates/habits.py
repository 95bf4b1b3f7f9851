"""A chat template's abilities and its form of an answer, found by trying it on conversations of made-up words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

from recommender.data.templates.choose import ChatTemplate
from recommender.data.templates.reasoning import KEYS, TAGS
from recommender.data.templates.render import ChatRenderer, TemplateProblem
from recommender.data.tokens.vocabulary import Vocabulary

FIRST, SECOND = "Zqfirstprobe", "Kwsecondprobe"
"""Words that no template writes by itself."""


EMPTY = re.compile(r"\A(?:<think>\s*</think>\s*)?")
"""Reasoning that holds nothing, as some templates write it where there is none."""


_SCHEMA = {"name": FIRST, "description": "Of no use.", "parameters": {"type": "object", "properties": {}}}
_TOOLS = ({"type": "function", "function": _SCHEMA},)


class Form(NamedTuple):
    """The text around the reasoning in front of an answer."""

    before: str
    between: str
    """Behind the reasoning, up to the answer's text."""


class CallStyle(NamedTuple):
    """The form of a function call that a template reads: OpenAI's own is null beside a call, and text."""

    null: bool
    """Whether null stands for the text of a turn that only calls; else empty text."""
    text: bool
    """Whether arguments are JSON text; else objects."""


STYLES = tuple(CallStyle(null, text) for text in (False, True) for null in (False, True))


class Habits:
    """The behaviour of one template.

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
            return self.with_tools.render([*map(self.given, messages)], tools=tools or self._tried_tools, prompt=prompt)
        except TemplateProblem:
            return ""

    def given(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """A turn in the form that the template reads: its content as text or parts, its calls in their style."""
        if message.get("tool_calls") and self.call_style not in {None, STYLES[0]}:
            message = _styled(message, self.call_style)
        return self._in_parts(message)

    def _in_parts(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        content = message.get("content")
        if not self.takes_parts_only or not isinstance(content, str):
            return message
        return {**message, "content": [{"type": "text", "text": content}]}

    @cached_property
    def rewrites(self) -> bool:
        """Whether `given` changes any turn."""
        return self.takes_parts_only or self.call_style not in {None, STYLES[0]}

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
        return FIRST in self._rendered([turn("user", "Q"), turn("assistant", "A")], tools=_TOOLS)

    @property
    def takes_calls(self) -> bool:
        """Whether function calls and their results are written."""
        return self.call_style is not None

    @cached_property
    def call_style(self) -> CallStyle | None:
        """The style in which the template writes calls and their results; None where it does in none.

        Another style than the usual one is taken where calls then end as answers do. Of empty text and null the one
        is taken that adds less: some templates write an empty answer behind a call whose text is empty (R1-Distill),
        others the word None for null.
        """
        tool = {"role": "tool", "content": SECOND, "tool_call_id": "123456789"}
        written = {}
        for style in STYLES:
            turns = [turn("user", "Q"), _styled(_call(FIRST), style), tool, turn("assistant", "A")]
            with suppress(TemplateProblem):
                text = self.with_tools.render([*map(self._in_parts, turns)], tools=self._tried_tools)
                call = text.partition(FIRST)[2].partition(SECOND)[0]
                ended = style == STYLES[0] or any(token in call for token in self.ends)
                if call and ended and SECOND in text and not (style.null and "None" in text):
                    written[style] = text
        return min(written, key=lambda style: (style.text, len(written[style])), default=None)

    def _rendered_with_tools(self, given: Sequence[Mapping[str, Any]]) -> str:
        try:
            return self.with_tools.render(given, tools=_TOOLS)
        except TemplateProblem:
            return ""

    @cached_property
    def _tried_tools(self) -> tuple[Any, ...]:
        """The tools given where the template is tried: none, but a function where it takes nothing else."""
        for tools in ((), _TOOLS):
            with suppress(TemplateProblem):
                self.with_tools.render([self._in_parts(turn("user", "Q"))], tools=tools)
                return tools
        return ()

    @cached_property
    def takes_tool_role(self) -> bool:
        """Whether a result is written where there was no call."""
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
        """The text around the last answer's reasoning; as most models write it where the template has no place."""
        key = self.reasoning_key
        text = self._rendered([turn("user", "Q"), {**turn("assistant", SECOND), key: FIRST}]) if key else ""
        before, found, rest = text.partition(FIRST)
        between, ends, _ = rest.partition(SECOND)
        opening = self._asked("Q") + (self.opening or "")
        if not (found and ends and self.opening is not None and before.startswith(opening)):
            return Form("<think>\n", "\n</think>\n\n")
        return Form(before.removeprefix(opening), between)

    @cached_property
    def reasoning_tags(self) -> tuple[tuple[str, str], ...]:
        """The tags that may stand before and behind reasoning: the usual ones, and this template's."""
        own = (self.reasoning_form.before.strip(), self.reasoning_form.between.strip())
        return (*TAGS, *([own] if self.reasoning_key and all(own) and own not in TAGS else []))

    def closed(self, before: str) -> bool:
        """Whether the text before an answer ends with the end of reasoning."""
        return before.rstrip().endswith(tuple(closing for _, closing in self.reasoning_tags))

    @cached_property
    def asks_closed(self) -> bool:
        """Whether the generation prompt contains an empty reasoning block."""
        return self.closed(self.prompt_header)

    @cached_property
    def call_form(self) -> Form:
        """The text around reasoning in front of a function call; as most models write it where that is not shown."""
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
        """The generation prompt's header; empty where there is none or it cannot be told."""
        asked, prompt = self._asked("Q"), self._asked("Q", prompt=True)
        return prompt.removeprefix(asked) if prompt.startswith(asked) else ""

    @cached_property
    def header(self) -> str | None:
        """The text between a question and a plain answer; None where that cannot be told."""
        asked = self._asked("Q")
        text = self._rendered([turn("user", "Q"), turn("assistant", FIRST)])
        before, found, _ = text.partition(FIRST)
        return before.removeprefix(asked) if found and before.startswith(asked) else None

    @cached_property
    def opening(self) -> str | None:
        """The beginning that all answers share, whatever is in them; None where that cannot be told.

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
        return shared[: self.whole(shared)] or None

    def whole(self, text: str) -> int:
        """Characters up to the last line end or special token of a text; 0 where it has none."""
        return max((text.rfind(sign) + len(sign) for sign in ("\n", *self._added) if sign in text), default=0)

    @cached_property
    def answers(self) -> list[dict[str, Any]]:
        """One answer of each kind, as arguments of `Message`: plain, behind reasoning, and a call."""
        found: list[dict[str, Any]] = [{"content": FIRST}]
        if self.reasoning_key:
            found.append({"content": FIRST, "extra": {self.reasoning_key: SECOND}})
        if self.takes_calls:
            found.append({"content": "", "extra": {"tool_calls": _call(FIRST)["tool_calls"]}})
        return found

    @cached_property
    def end_of_turn(self) -> tuple[str, ...]:
        """The tokens that end an answer: the one behind the last, and one that ends earlier answers, where it does.

        Several may follow an answer. Those that follow the last and an earlier one alike close it, and of these the
        last at which generation stops is its end (Cohere 2 writes END_RESPONSE and END_OF_TURN_TOKEN; generation goes
        on behind the first). What follows the whole conversation alone (Phi-3's endoftext) does not belong to it.
        """
        turns = [turn("user", "Q"), turn("assistant", FIRST), turn("user", "Q"), turn("assistant", SECOND)]
        given = [*map(self._in_parts, turns)]
        try:
            text = self.plain.render(given)
        except TemplateProblem:
            text = self._rendered_with_tools(given)
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
    """Length of the longest common prefix of sequences."""
    return sum(1 for _ in takewhile(lambda signs: len({*signs}) == 1, zip(*sequences, strict=False)))


def shared_start(texts: Sequence[str]) -> str:
    """The longest common prefix of texts."""
    return texts[0][: shared_length(texts)]


def turn(role: str, content: str) -> dict[str, Any]:
    """A turn in the form that templates read."""
    return {"role": role, "content": content}


def _call(name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": {"x": 1}}
    return {**turn("assistant", ""), "tool_calls": [{"type": "function", "id": "123456789", "function": function}]}


def _styled(message: Mapping[str, Any], style: CallStyle) -> dict[str, Any]:
    """A turn with a call, in a style."""
    calls = message["tool_calls"]
    if style.text:
        calls = [
            {**call, "function": {**call["function"], "arguments": _as_json(call["function"].get("arguments"))}}
            for call in calls
        ]
    empty = style.null and message.get("content") == ""
    return {**message, **({"content": None} if empty else {}), "tool_calls": calls}


def _as_json(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
