"""Which characters of a rendered conversation are trained, under templates of many habits."""

from __future__ import annotations

from pathlib import Path

import pytest

from presets.errors import InputError
from presets.templates import load_templates
from recommender.data.formats.examples import Chat, Message, RowProblem
from recommender.data.templates.choose import choose_template
from recommender.data.templates.lost_answers import Lost
from recommender.data.templates.render import ChatRenderer, TemplateProblem
from recommender.data.tokens.answer_spans import RenderedChat, TurnFinder
from recommender.data.tokens.vocabulary import Vocabulary, load_vocabulary
from tests.fixtures.vocabularies import CHATML, write_vocabulary

USER, BOT = Message("user", "Q?"), Message("assistant", "Yes.")
TWICE = Chat((Message("system", "S"), USER, BOT, Message("user", "And?"), Message("assistant", "No.")))
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "[INST]", "[/INST]",
           "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>")  # fmt: skip
HEADED = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }}[/INST]"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] }}{{ eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant roles') }}{% endif %}{% endfor %}"
)
MARKED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ m['content'] }}<|im_end|>{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKED_SHORT = MARKED.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
TRAILING = (  # as Phi-3: another token behind the whole conversation
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
FORGETFUL = (  # as Qwen3: earlier answers lose their reasoning, the last one is given an empty one
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{% if loop.last %}"
    "<think>\n\n</think>\n\n{{ m['content'] }}{% else %}{{ m['content'].split('</think>')[-1].lstrip() }}{% endif %}"
    "{% else %}{{ m['content'] }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PREFILLED = (  # as DeepSeek-R1: the header asks for reasoning that the answers do not have
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
SHOUTING = CHATML.replace("message['content']", "(message['content'] | upper)")
ENDLESS = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def finder(folder: Path, template: str, **options: object) -> TurnFinder:
    settings = {"special": SPECIAL, "bos": "<s>", **options}
    vocabulary = load_vocabulary(write_vocabulary(folder, template=template, **settings))  # type: ignore[arg-type]  # settings by name
    assert vocabulary is not None
    return TurnFinder(choose_template("auto", vocabulary), vocabulary)


def trained(found: RenderedChat) -> list[str]:
    return [found.text[start:end] for start, end in found.spans]


@pytest.mark.parametrize(
    ("template", "answers", "method", "end"),
    [
        (CHATML, ["Yes.<|im_end|>", "No.<|im_end|>"], "prefix", "<|im_end|>"),
        (HEADED, ["Yes.<|eot_id|>", "No.<|eot_id|>"], "prefix", "<|eot_id|>"),
        (INST, [" Yes.<|endoftext|>", " No.<|endoftext|>"], "prefix", "<|endoftext|>"),
        (MARKED, ["Yes.<|im_end|>", "No.<|im_end|>"], "generation marks", "<|im_end|>"),
        (MARKED_SHORT, ["Yes.<|im_end|>", "No.<|im_end|>"], "generation marks", "<|im_end|>"),
        (TRAILING, ["Yes.<|end|>", "No.<|end|>"], "difference", "<|end|>"),
        (FORGETFUL, ["Yes.<|im_end|>", "<think>\n\n</think>\n\nNo.<|im_end|>"], "difference", "<|im_end|>"),
        (PREFILLED, ["Yes.<|im_end|>", "No.<|im_end|>"], "difference", "<|im_end|>"),
    ],
)
def test_every_answer_with_its_end_and_nothing_else(
    tmp_path: Path, template: str, answers: list[str], method: str, end: str
) -> None:
    turns = finder(tmp_path, template)
    found = turns.render(TWICE)
    assert trained(found) == answers
    assert (found.method, turns.end_of_turn) == (method, (end,))
    assert (found.answers, found.ended) == (2, 2)
    assert found.text.count("Yes.") == found.text.count("No.") == 1


def test_reasoning_that_the_template_has_no_place_for_is_counted_as_lost(tmp_path: Path) -> None:
    thought = Chat((USER, Message("assistant", "Yes.", {"reasoning_content": "Hm."})))
    found = finder(tmp_path / "drops", CHATML).render(thought)
    assert "Hm." not in found.text and found.lost == Lost(given=7, reasoning=3, text=0)
    spoken = "(message.reasoning_content or '') + message['content']"
    keeps = finder(tmp_path / "keeps", CHATML.replace("message['content']", spoken))
    assert "Hm." in keeps.render(thought).text and not keeps.render(thought).lost.reasoning
    asked = CHATML.replace("message['content']", spoken.replace("reasoning_content", "thinking"))
    other = finder(tmp_path / "other", asked)
    found = other.render(thought)
    assert found.text[slice(*found.spans[0])] == "Hm.Yes.<|im_end|>" and found.lost == Lost(given=7)


def test_reasoning_that_the_template_drops_is_not_trained_and_what_stays_is(tmp_path: Path) -> None:
    thought = Message("assistant", "<think>hm</think>\n\nYes.")
    found = finder(tmp_path, FORGETFUL).render(
        Chat((USER, thought, Message("user", "And?"), Message("assistant", "No.")))
    )
    assert "hm" not in found.text
    assert trained(found) == ["Yes.<|im_end|>", "<think>\n\n</think>\n\nNo.<|im_end|>"]


def test_an_answer_that_stands_twice_is_found_in_its_own_place(tmp_path: Path) -> None:
    chat = Chat((Message("user", "Yes."), BOT, Message("user", "Yes. Yes."), BOT))
    for name, template in (("a", CHATML), ("b", TRAILING)):
        found = finder(tmp_path / name, template).render(chat)
        starts = [start for start, _ in found.spans]
        assert [found.text[:start].count("Yes.") for start in starts] == [1, 4]


def test_an_answer_that_is_rewritten_is_refused_and_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(RowProblem, match="cannot be found exactly"):
        finder(tmp_path, SHOUTING).render(Chat((USER, BOT)))


def test_marks_that_do_not_hold_the_answer_are_not_believed(tmp_path: Path) -> None:
    around = MARKED.replace("{% generation %}{{ m['content'] }}", "{{ m['content'] }}{% generation %} ")
    found = finder(tmp_path, around).render(Chat((USER, BOT)))
    assert (found.method, trained(found)) == ("prefix", ["Yes. <|im_end|>"])


def test_an_empty_answer_and_one_that_is_context_are_not_trained(tmp_path: Path) -> None:
    chat = Chat((USER, Message("assistant", " "), USER, Message("assistant", "ctx", train=False), USER, BOT))
    for name, template in (("a", CHATML), ("b", MARKED)):
        assert trained(finder(tmp_path / name, template).render(chat)) == ["Yes.<|im_end|>"]


def test_a_template_without_an_end_is_found_out(tmp_path: Path) -> None:
    turns = finder(tmp_path, ENDLESS)
    found = turns.render(Chat((USER, BOT)))
    assert (turns.end_of_turn, found.ended, found.answers, trained(found)) == ((), 0, 1, [" Yes."])


def test_the_next_header_is_no_end_unless_the_model_stops_there(tmp_path: Path) -> None:
    headers = (
        "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    chat = Chat((USER, BOT, USER, BOT))
    assert finder(tmp_path / "a", headers).render(chat).ended == 0
    vocabulary = load_vocabulary(tmp_path / "a")
    assert vocabulary is not None
    stops = [vocabulary.id_of("<|user|>")]
    assert finder(tmp_path / "b", headers, stops=stops).end_of_turn == ("<|user|>",)


def test_the_prompt_ends_where_the_answer_starts(tmp_path: Path) -> None:
    turns = finder(tmp_path, HEADED)
    found = turns.render(TWICE)
    assert turns.prompt(TWICE) == found.text[: found.spans[-1][0]]


def test_roles_that_a_template_lacks_are_written_another_way_and_said(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": {"x": 1}}}
    chat = Chat(
        (Message("system", "S"), USER, Message("assistant", "", {"tool_calls": [call]}), Message("tool", "found"), BOT),
        ({"type": "function", "function": {"name": "look"}},),
    )
    turns = finder(tmp_path, INST)
    found = turns.render(chat)
    assert found.text.startswith("<s>[INST] You may call these functions:")
    assert 'S\n\nQ?[/INST] {"name": "look", "arguments": {"x": 1}}<|endoftext|>[INST] found[/INST] Yes.' in found.text
    assert trained(found)[0] == ' {"name": "look", "arguments": {"x": 1}}<|endoftext|>'
    assert len(turns.notes) == 4


def test_a_conversation_that_the_template_refuses_is_a_problem_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(RowProblem, match="refused by the chat template: only user and assistant roles"):
        finder(tmp_path, INST).render(Chat((USER, Message("narrator", "Then"), BOT)))


def test_a_broken_template_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not valid Jinja \(line 1\)"):
        finder(tmp_path, "{% for m in %}")


def test_a_template_cannot_reach_python() -> None:
    renderer = ChatRenderer("{{ ''.__class__.__mro__[1].__subclasses__() }}", {})
    with pytest.raises(TemplateProblem):
        renderer.render([])


@pytest.mark.parametrize("name", ["chatml", "llama3", "gemma", "mistral", "phi3", "alpaca"])
def test_family_templates_train_each_answer_with_its_end(tmp_path: Path, name: str) -> None:
    vocabulary = load_vocabulary(write_vocabulary(tmp_path, special=SPECIAL, bos="<s>", adds_bos=True, template=None))
    assert vocabulary is not None
    turns = TurnFinder(choose_template(name, vocabulary), vocabulary)
    found = turns.render(TWICE)
    end = load_templates()[name].end_of_turn.format(eos="<|endoftext|>")
    assert [answer.strip() for answer in trained(found)] == ["Yes." + end, "No." + end]
    assert found.text.startswith("<s>")
    assert found.text.count("<s>") == 1
    assert "S" in found.text
    assert turns.prompt(TWICE) == found.text[: found.spans[-1][0]]
    assert not turns.notes


def base_model(folder: Path, special: tuple[str, ...]) -> Vocabulary:
    vocabulary = load_vocabulary(write_vocabulary(folder, special=special, template=None))
    assert vocabulary is not None
    return vocabulary


def test_a_family_is_chosen_by_architecture_and_only_with_its_tokens(tmp_path: Path) -> None:
    everything = base_model(tmp_path / "all", SPECIAL)
    assert choose_template("auto", everything, model_type="qwen2").name == "chatml"
    assert choose_template("auto", everything, model_type="llama").name == "llama3"
    assert choose_template("auto", everything, model_type="gemma2").name == "gemma"
    gemma = base_model(tmp_path / "gemma", ("<start_of_turn>", "<end_of_turn>"))
    chosen = choose_template("auto", gemma, model_type="llama")
    assert (chosen.name, "<start_of_turn>" in chosen.warning) == ("gemma", True)
    bare = choose_template("auto", base_model(tmp_path / "bare", ()), model_type="llama")
    assert (bare.name, "plain headings" in bare.warning) == ("alpaca", True)


def test_a_template_by_name_by_file_and_neither(tmp_path: Path) -> None:
    vocabulary = base_model(tmp_path / "m", ("<|im_start|>", "<|im_end|>"))
    assert choose_template("chatml", vocabulary).warning == ""
    (tmp_path / "mine.jinja").write_text(CHATML, encoding="utf-8")
    assert choose_template("mine.jinja", vocabulary, base=tmp_path).source == CHATML
    for wanted, says in (
        ("llama3", "needs the token <|start_header_id|>"),
        ("model", "no chat template of its own"),
        ("chatlm", "Did you mean 'chatml'"),
    ):
        with pytest.raises(InputError) as caught:
            choose_template(wanted, vocabulary)
        assert says in str(caught.value)


def test_a_list_of_templates_takes_the_one_for_tools_when_there_are_tools(tmp_path: Path) -> None:
    tools = CHATML.replace("{% for", "{{ 'TOOLS' + tools[0]['function']['name'] if tools else '' }}{% for", 1)
    both = [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": tools}]
    vocabulary = load_vocabulary(write_vocabulary(tmp_path, template=both))
    assert vocabulary is not None
    turns = TurnFinder(choose_template("auto", vocabulary), vocabulary)
    assert "TOOLS" not in turns.render(Chat((USER, BOT))).text
    assert turns.render(Chat((USER, BOT), ({"type": "function", "function": {"name": "look"}},))).text.startswith(
        "TOOLSlook"
    )
