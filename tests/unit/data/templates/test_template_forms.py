"""Answers under templates that write them in unusual places and forms: found exactly, or refused for what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recommender.data.formats.examples import Chat, Message, RowProblem
from tests.fixtures.vocabularies import CHATML
from tests.unit.data.tokens.test_turns import FORGETFUL, finder, trained

USER, RESULT = Message("user", "How deep?"), Message("tool", "453 m")
TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
END = "<|im_end|>"
BEGIN = "{% for m in messages %}"
HEADER = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
ASSISTANT = "<|im_start|>assistant\n"
TOOL_TURN = "{% elif m.role == 'tool' %}<|im_start|>tool\n{{ m.content }}<|im_end|>"
OTHERS = "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
CALLS = "{% for c in m.tool_calls %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}"

UNASKED_BEHIND_ANSWERS = (  # as Apriel 1.6: nothing asks behind an answer, and the last one has no end
    BEGIN + "{% if m.role == 'assistant' %}" + ASSISTANT + "{{ m.content }}{% if not loop.last %}<|im_end|>{% endif %}"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endif %}"
    "{% if loop.last and add_generation_prompt and m.role != 'assistant' %}" + ASSISTANT + "{% endif %}{% endfor %}"
)
ALWAYS_ASKING = (  # as Command R7B: the header that asks is always written, with reasoning that holds nothing
    BEGIN + "{% if m.role == 'assistant' %}" + ASSISTANT + "{% if m.tool_calls %}<|user|>{{ m.reasoning_content }}"
    "<|system|>"
    + CALLS
    + "{% else %}<|assistant|>{{ m.content }}{% endif %}<|im_end|>"
    + OTHERS
    + ASSISTANT
    + "<|user|><|system|>"
)
OPENED_ONCE = (  # as R1-Distill: only the first call has a header, and only the last result is closed
    "{% set ns = namespace(first=true) %}" + BEGIN + "{% if m.role == 'assistant' %}{% if m.tool_calls %}"
    "{% if ns.first %}"
    + ASSISTANT
    + "{% else %}{{ '\n' }}{% endif %}{% set ns.first = false %}<|user|>"
    + CALLS
    + "<|im_end|>"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}{% elif m.role == 'tool' %}<|system|>{{ m.content }}<|assistant|>"
    "{% if loop.last or not loop.nextitem.tool_calls %}<|end|>{% endif %}"
    + OTHERS
    + "{% if add_generation_prompt and messages[-1].role != 'tool' %}"
    + ASSISTANT
    + "{% endif %}"
)
CALLS_OR_TEXT = (  # as an older DeepSeek-R1: where there is text, calls are left out
    BEGIN
    + "{% if m.role == 'assistant' %}"
    + ASSISTANT
    + "{% if m.content %}{{ m.content }}{% else %}"
    + CALLS
    + "{% endif %}<|im_end|>"
    + TOOL_TURN
    + OTHERS
    + HEADER
)
ENDS_REASONING_ALIKE = (  # as Solar: reasoning ends with the token that ends answers, calls with another
    BEGIN
    + "{% if m.role == 'assistant' %}{% if m.reasoning_content %}"
    + ASSISTANT
    + "<|user|>{{ m.reasoning_content }}<|im_end|>{% endif %}"
    + ASSISTANT
    + "{% if m.tool_calls %}<|system|>"
    + CALLS
    + "<|eot_id|>{% else %}<|end|>{{ m.content }}<|im_end|>{% endif %}"
    + TOOL_TURN
    + OTHERS
    + HEADER
)
NULL_AND_TEXT = (  # as OpenAI writes calls: no text beside them, arguments as JSON text
    BEGIN + "{% if m.role == 'assistant' and m.content is none %}" + ASSISTANT + "{% for c in m.tool_calls %}"
    "{{ c.function.name + '(' + c.function.arguments + ')' }}{% endfor %}<|im_end|>{% elif m.role == 'assistant' %}"
    + ASSISTANT
    + "{{ m.content }}<|im_end|>"
    + TOOL_TURN
    + OTHERS
    + HEADER
)
ENDLESS_CALLS = NULL_AND_TEXT.replace(")' }}{% endfor %}<|im_end|>", ")' }}{% endfor %}")
EMPTY_BEHIND = (  # as R1-Distill of Qwen: what is not null is written behind a call, even where it is empty
    BEGIN + "{% if m.role == 'assistant' %}{% if m.tool_calls %}" + ASSISTANT + CALLS + "<|im_end|>{% endif %}"
    "{% if m.content is not none %}" + ASSISTANT + "{{ m.content }}<|im_end|>{% endif %}" + TOOL_TURN + OTHERS + HEADER
)
NEEDS_TOOLS = (  # as Hermes 2 Pro: without tools it fails
    "{% for t in tools %}{{ t.function.description + t.function.name }}{% endfor %}"
    + BEGIN
    + "{% if m.role == 'assistant' %}"
    + ASSISTANT
    + "{{ m.content }}"
    + CALLS
    + "<|im_end|>"
    + TOOL_TURN
    + OTHERS
    + HEADER
)


def called(content: str = "", **more: Any) -> Message:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": {"lake": "Mjosa"}}}
    return Message("assistant", content, {"tool_calls": [call], **more})


def said(text: str) -> Message:
    return Message("assistant", text)


CALL = f"look({json.dumps({'lake': 'Mjosa'})})"


def test_an_answer_behind_another_has_no_header_in_it_where_nothing_asks_for_it(tmp_path: Path) -> None:
    found = finder(tmp_path, UNASKED_BEHIND_ANSWERS, stops=[3]).render(Chat((USER, said("Deep."), said("Very."))))
    assert trained(found) == ["Deep." + END, "Very."]
    assert (found.ended, found.answers) == (1, 2)


def test_a_template_that_always_asks_is_read_and_its_answers_told_as_asked_otherwise(tmp_path: Path) -> None:
    turns = finder(tmp_path, ALWAYS_ASKING, stops=[3])
    found = turns.render(Chat((USER, called(reasoning_content="Hm."), RESULT, said("Deep."))))
    assert trained(found) == [f"<|user|>Hm.<|system|>{CALL}{END}", "<|assistant|>Deep." + END]
    assert found.unasked == 2
    assert trained(turns.render(Chat((USER, said("Deep."))))) == ["<|assistant|>Deep." + END]


def test_calls_that_have_no_header_of_their_own_are_found_where_they_part_from_other_answers(tmp_path: Path) -> None:
    found = finder(tmp_path, OPENED_ONCE, stops=[3]).render(
        Chat((USER, called(), RESULT, called(), RESULT, said("Deep.")))
    )
    assert trained(found) == [f"<|user|>{CALL}{END}", f"\n<|user|>{CALL}{END}", "Deep." + END]
    assert found.unasked == 1


@pytest.mark.parametrize("tools", [(), (TOOL,)])
def test_calls_that_are_left_out_are_named_by_their_turn_in_the_row(tmp_path: Path, tools: tuple[Any, ...]) -> None:
    turns = finder(tmp_path, CALLS_OR_TEXT)
    with pytest.raises(RowProblem) as caught:
        turns.render(Chat((USER, called("Sounding."), RESULT, said("Deep.")), tools))
    assert caught.value.reason == (
        "has a function call (turn 2) that the chat template leaves out where text stands beside it"
    )
    assert trained(turns.render(Chat((USER, called(), RESULT, said("Deep.")), tools))) == [CALL + END, "Deep." + END]


def test_an_answer_that_is_left_out_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(RowProblem) as caught:
        finder(tmp_path, CHATML.replace("{% for", "{% for message in messages if message.role != 'assistant' %}", 1)
               .replace(" message in messages %}", "", 1)).render(Chat((USER, said("Deep."))))  # fmt: skip
    assert caught.value.reason == "has an answer (turn 2) that the chat template leaves out"


def test_reasoning_that_ends_as_answers_do_is_not_the_end_of_a_call(tmp_path: Path) -> None:
    turns = finder(tmp_path, ENDS_REASONING_ALIKE, stops=[3, 4])
    found = turns.render(Chat((USER, called(reasoning_content="I look."), RESULT, said("Deep."))))
    reasoned = f"<|user|>I look.{END}{ASSISTANT}<|system|>{CALL}<|eot_id|>"
    assert trained(found) == [reasoned, f"<|end|>Deep.{END}"]
    assert found.ended == 2


@pytest.mark.parametrize("template", [NULL_AND_TEXT, EMPTY_BEHIND, NEEDS_TOOLS])
def test_calls_are_given_in_the_style_that_the_template_reads(tmp_path: Path, template: str) -> None:
    turns = finder(tmp_path, template)
    found = turns.render(Chat((USER, called(), RESULT, said("Deep.")), (TOOL,)))
    assert trained(found) == [CALL + END, "Deep." + END]
    assert not any("function calls" in note for note in turns.notes)


def test_calls_that_a_template_never_ends_are_written_as_text(tmp_path: Path) -> None:
    turns = finder(tmp_path, ENDLESS_CALLS)
    found = turns.render(Chat((USER, called(), RESULT, said("Deep."))))
    assert trained(found) == [json.dumps(called().extra["tool_calls"][0]["function"]) + END, "Deep." + END]
    assert turns.notes == {"The chat template does not take function calls: they are written as JSON text."}


def test_a_plain_conversation_of_these_templates_is_read_too(tmp_path: Path) -> None:
    two = Chat((USER, said("Deep."), Message("user", "And?"), said("Wide.")))
    for place, template in enumerate((CALLS_OR_TEXT, ENDS_REASONING_ALIKE, NULL_AND_TEXT, EMPTY_BEHIND, FORGETFUL)):
        found = [text.rpartition(">\n\n")[2].removeprefix("<|end|>") for text in trained(
            finder(tmp_path / str(place), template).render(two))]  # fmt: skip
        assert found == ["Deep." + END, "Wide." + END], template
