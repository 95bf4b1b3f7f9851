"""What a chat template does to answers is asked about or told, with ways that work: cases c01 to c07, their kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from presets.errors import InputError
from presets.questions import QuestionError
from recommender.config.edit import apply
from recommender.config.schema import FinetuneConfig
from recommender.data.load import profile_data
from recommender.data.profile.document import document
from recommender.data.split import split
from recommender.data.templates.trl import folder
from recommender.model.spec import ModelSpec
from recommender.warning import texts
from tests.fixtures.vocabularies import CHATML, spec_for, write_vocabulary
from tests.unit.data.conftest import Profile

pytestmark = pytest.mark.skipif(folder() is None, reason="needs TRL's templates")
TOKENS = {
    "deepseek_r1_distill": ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
    "qwen3": ("<|im_start|>", "<|im_end|>"),
    "qwen3_5_nothink": ("<|im_start|>", "<|im_end|>"),
    "qwen3_5_think": ("<|im_start|>", "<|im_end|>"),
    "nemotron_3_nano": ("<|im_start|>", "<|im_end|>"),
    "gptoss": ("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|call|>", "<|return|>"),
    "glm4moe": ("<|assistant|>", "<|system|>", "<|observation|>", "<|endoftext|>", "<|user|>"),
    "cohere2": (
        "<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>",
        "<|END_OF_TURN_TOKEN|>",
    ),
}  # fmt: skip
STOPS = {"gptoss": ("<|return|>", "<|call|>"), "glm4moe": ("<|endoftext|>", "<|user|>", "<|observation|>")}
THOUGHT = "<think>\nI add one to 0, slowly.\n</think>\n\n1"
LATER = "<think>\nDouble 1.\n</think>\n\n2"
TOOL = {"type": "function", "function": {"name": "depth", "description": "d", "parameters": {"type": "object"}}}


def turns(*said: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[place % 2], "content": text} for place, text in enumerate(said)]}


def called(content: str = "", **more: Any) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "depth", "arguments": {"lake": "Mjosa"}}}
    asked = {"role": "user", "content": "How deep?"}
    answer = {"role": "assistant", "content": content, "tool_calls": [call], **more}
    result = {"role": "tool", "content": "453 m", "tool_call_id": "c1"}
    return {"messages": [asked, answer, result, {"role": "assistant", "content": "Deep."}], "tools": [TOOL]}


@pytest.fixture
def model(tmp_path: Path) -> Any:
    def made(name: str) -> ModelSpec:
        held = folder()
        assert held is not None
        source = (held / f"{name}.jinja").read_text(encoding="utf-8")
        special, where = TOKENS[name], tmp_path / name
        settings: dict[str, Any] = {"special": special, "bos": "<|bos|>", "eos": special[-1], "template": source}
        write_vocabulary(where, **settings)
        from recommender.data.tokens.vocabulary import load_vocabulary

        vocabulary = load_vocabulary(where)
        assert vocabulary is not None
        stops = [index for token in STOPS.get(name, special[-1:]) if (index := vocabulary.id_of(token)) is not None]
        return spec_for(write_vocabulary(where, stops=stops, **settings))

    return made


def asked(profile: Profile, model: ModelSpec, rows: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    with pytest.raises(QuestionError) as caught:
        profile(rows, model)
    found = caught.value.question.document()
    assert found["code"] == "reasoning_lost"
    return found["text"], [choice["set"] for choice in found["choices"]]


def settings_of(choice: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix("data."): value for key, value in choice.items()}


def shown(dataset: Any, row: int = 0) -> str:
    return "".join(piece.text for piece in dataset.sample(row, 4096).pieces if piece.trained)


def test_reasoning_that_vanishes_is_asked_about_and_each_answer_keeps_it(profile: Profile, model: Any) -> None:
    spec, rows = model("deepseek_r1_distill"), [turns("0+1?", THOUGHT)] * 3
    text, choices = asked(profile, spec, rows)
    assert "3 of 3 rows" in text and "% of what they say" in text and "slowly" in text
    keeping = [{"data.template": "trl:deepseek_r1_distill"}, {"data.reasoning": "keep"}]
    assert choices == [*keeping, {"data.reasoning": "drop"}]
    for choice in keeping:
        assert "slowly" in shown(profile(rows, spec, **settings_of(choice)))
    dropped = profile(rows, spec, reasoning="drop")
    assert "slowly" not in shown(dropped) and dropped.profile.answers_lost == 0


def test_reasoning_of_earlier_answers_is_kept_by_every_way_that_is_offered(profile: Profile, model: Any) -> None:
    spec, rows = model("qwen3"), [turns("0+1?", THOUGHT, "Twice?", LATER)] * 3
    _, choices = asked(profile, spec, rows)
    assert choices[:2] == [{"data.template": "trl:qwen3"}, {"data.answers": "each"}]
    for choice in choices[:-1]:
        found = profile(rows, spec, **settings_of(choice))
        said = "".join(shown(found, row) for row in range(len(found)))
        assert "slowly" in said and "Double 1." in said, choice


def test_each_answer_has_a_row_of_its_own_on_one_side_of_the_split(profile: Profile, model: Any) -> None:
    rows = [turns(f"{n}+1?", THOUGHT, "Twice?", LATER) for n in range(8)]
    found = profile(rows, model("qwen3"), answers="each")
    assert (len(found), found.profile.duplicates) == (16, 0)
    assert shown(found, 0) != shown(found, 1) and "slowly" not in shown(found, 1)
    train, held = split(found.digests, 0.25, 1)
    lines = [{found.where(row)[1] for row in side} for side in (train, held)]
    assert len(held) == 4 and not lines[0] & lines[1]
    last = profile(rows, model("qwen3"), answers="last")
    assert len(last) == 8 and "slowly" not in shown(last)


def test_a_template_without_a_place_for_reasoning_asks_too(profile: Profile) -> None:
    answer = {"role": "assistant", "content": "1", "reasoning_content": "I add one."}
    rows = [{"messages": [{"role": "user", "content": "0+1?"}, answer]}]
    with pytest.raises(QuestionError) as caught:
        profile(rows)
    assert [dict(choice.set) for choice in caught.value.question.choices] == [
        {"data.reasoning": "keep"},
        {"data.reasoning": "drop"},
    ]
    assert shown(profile(rows, reasoning="keep")) == "<think>\nI add one.\n</think>\n\n1<|im_end|>"


def test_splitting_that_does_not_help_is_asked_about_again(profile: Profile, model: Any) -> None:
    with pytest.raises(QuestionError) as caught:
        profile([turns("0+1?", THOUGHT, "Twice?", LATER)] * 2, model("qwen3"), reasoning="split")
    sets = [dict(choice.set) for choice in caught.value.question.choices]
    assert {"data.answers": "each"} in sets and {"data.reasoning": "keep"} in sets
    assert {"data.reasoning": "split"} not in sets


def test_reasoning_as_text_beside_a_place_of_its_own_is_told_and_can_be_split(profile: Profile, model: Any) -> None:
    spec, rows = model("gptoss"), [turns("0+1?", THOUGHT)] * 3
    said = [one.text for one in profile(rows, spec).profile.warnings if one.code == "reasoning_as_text"]
    assert len(said) == 1 and "data.reasoning: split" in said[0]
    kept = profile(rows, spec, reasoning="keep")
    assert not kept.findings(0) and not [one.text for one in kept.profile.warnings if one.code == "reasoning_as_text"]
    found = shown(profile(rows, spec, reasoning="split"))
    assert found.startswith("<|channel|>analysis<|message|>I add one") and "<think>" not in found


@pytest.mark.parametrize("row", [called(), called("Sounding."), called(reasoning_content="Hm.")])
@pytest.mark.parametrize("name", ["qwen3", "gptoss"])
def test_function_calls_with_and_without_text_and_reasoning_are_trained(
    profile: Profile, model: Any, name: str, row: dict[str, Any]
) -> None:
    found = profile([row] * 2, model(name), reasoning="keep")
    text = shown(found)
    assert found.profile.bad_row_count == 0
    assert all(said in text for said in ("Mjosa", "Deep."))
    assert "453 m" not in text
    assert text.count("<|im_end|>" if name == "qwen3" else "<|call|>") == (2 if name == "qwen3" else 1)


def test_answers_where_generation_never_stands_are_told_with_a_way_that_helps(profile: Profile, model: Any) -> None:
    spec, rows = model("nemotron_3_nano"), [turns("What?", "Moss.")] * 3
    said = [one.text for one in profile(rows, spec).profile.warnings if one.code == "trained_where_unasked"]
    assert len(said) == 1 and "'<think>\\n'" in said[0] and "In 3 rows" in said[0]
    assert 'data.chat_template_kwargs: {"enable_thinking": false}' in said[0]
    helped = profile(rows, spec, chat_template_kwargs={"enable_thinking": False})
    assert not [one.text for one in helped.profile.warnings if one.code == "trained_where_unasked"]


def about_empty_reasoning(dataset: Any) -> list[str]:
    said = ("the model learns not to think", "empty reasoning")
    return [warning for warning in texts(dataset.profile.warnings) if any(words in warning for words in said)]


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think", "nemotron_3_nano", "glm4moe"])
def test_empty_reasoning_that_a_template_writes_is_told_with_a_way_that_helps(
    profile: Profile, model: Any, name: str
) -> None:
    spec, rows = model(name), [turns(f"What {n}?", f"Moss {n}.") for n in range(3)]
    found = profile(rows, spec)
    assert "</think>" in shown(found)
    said = about_empty_reasoning(found)
    assert len(said) == 1 and "3 rows" in said[0] and "the model learns not to think" in said[0]
    assert 'data.chat_template_kwargs: {"enable_thinking": false}' in said[0]
    assert found.findings(0)
    for template in ("auto", f"trl:{name}"):
        helped = profile(rows, spec, template=template, chat_template_kwargs={"enable_thinking": False})
        assert "think" not in shown(helped) and shown(helped).lstrip().startswith("Moss 0.")
        assert not about_empty_reasoning(helped)


def test_of_several_answers_the_way_has_a_row_for_each(profile: Profile, model: Any) -> None:
    spec, rows = model("qwen3"), [turns("What?", "Moss.", "Who?", "Wren.")] * 2
    (said,) = about_empty_reasoning(profile(rows, spec))
    assert 'set data.chat_template_kwargs: {"enable_thinking": false}, data.answers: each (' in said
    helped = profile(rows, spec, chat_template_kwargs={"enable_thinking": False}, answers="each")
    assert not about_empty_reasoning(helped)
    assert {shown(helped, row) for row in range(4)} == {"Moss.<|im_end|>", "Wren.<|im_end|>"}


def test_a_mixture_of_answers_with_and_without_reasoning_is_not_warned_of(profile: Profile, model: Any) -> None:
    plain, thought = [turns(f"What {n}?", f"Moss {n}.") for n in range(30)], [turns("0+1?", THOUGHT)]
    for name in ("qwen3", "qwen3_5_think"):
        assert not about_empty_reasoning(profile(plain[:19] + thought, model(name))), name
        (said,) = about_empty_reasoning(profile(plain + thought, model(name)))
        assert "In 30 rows of 31 " in said


def test_empty_reasoning_that_the_row_asks_for_or_has_is_its_own(profile: Profile, model: Any) -> None:
    asked_not_to, own = turns("What? /no_think", "Moss."), turns("What?", "<think>\n\n</think>\n\nMoss.")
    switched = {**turns("What?", "Moss."), "chat_template_kwargs": {"enable_thinking": False}}
    found = profile([asked_not_to, own, switched], model("qwen3"))
    assert not about_empty_reasoning(found) and "</think>" in shown(found, 0) and "</think>" in shown(found, 1)
    nothink = profile([turns("What?", "Moss.")], model("qwen3_5_nothink"), template="trl:qwen3_5_nothink")
    assert not about_empty_reasoning(nothink)


def test_dropped_reasoning_leaves_empty_reasoning_that_is_told(profile: Profile, model: Any) -> None:
    (said,) = about_empty_reasoning(profile([turns("0+1?", THOUGHT)] * 2, model("qwen3"), reasoning="drop"))
    assert said.startswith("In all 2 rows ")


def test_whether_an_answer_is_asked_for_is_told_alike_of_the_first_row_and_the_last(
    profile: Profile, model: Any
) -> None:
    spec = model("deepseek_r1_distill")
    rows = [turns(f"{n}+1?", THOUGHT) for n in range(25)]
    whole = profile(rows, spec, template="trl:deepseek_r1_distill")
    assert not [one.text for one in whole.profile.warnings if one.code == "trained_where_unasked"]
    plain = profile([turns(f"{n}+1?", "1") for n in range(25)], spec, template="trl:deepseek_r1_distill")
    (said,) = [one.text for one in plain.profile.warnings if one.code == "trained_where_unasked"]
    assert said.startswith("In 25 rows") and "<think>\\n'" in said


def test_a_rows_own_switches_go_before_those_of_the_configuration(profile: Profile, model: Any) -> None:
    row = {**turns("What?", "Moss."), "chat_template_kwargs": {"enable_thinking": False}}
    found = profile([row, turns("Who?", "Wren.")], model("nemotron_3_nano"))
    assert [bool(found.findings(place)) for place in range(2)] == [False, True]
    with pytest.raises(InputError, match="sets messages"):
        profile([{**row, "chat_template_kwargs": {"messages": []}}], model("nemotron_3_nano"))
    with pytest.raises(InputError, match="may not set tools"):
        apply(FinetuneConfig(model="m"), {"data.chat_template_kwargs": {"tools": []}})


def test_reasoning_under_a_template_that_asks_without_is_read(profile: Profile, model: Any) -> None:
    found = profile([turns("0+1?", THOUGHT)] * 2, model("qwen3_5_nothink"))
    assert found.profile.bad_row_count == 0 and "slowly" in shown(found)


def test_the_end_of_a_turn_is_where_generation_stops(profile: Profile, model: Any) -> None:
    found = profile([turns("What?", "Moss.", "Which?", "That.")] * 2, model("cohere2"))
    assert shown(found).count("<|END_OF_TURN_TOKEN|>") == 2
    assert found.profile.end_of_turn == "<|END_OF_TURN_TOKEN|>"


def test_a_template_that_ends_no_last_answer_is_told_by_rows(profile: Profile, model: Any) -> None:
    spec = model("glm4moe")
    several = profile([turns("What?", "Moss.", "Which?", "That."), turns("Who?", "Wren.")], spec)
    assert several.profile.end_of_turn_share == "trained in 1 of 2 rows"
    assert document(several.profile, 1024)["end_of_turn_rows"] == 1
    assert any("data.template: trl:glm4moe" in warning for warning in texts(several.profile.warnings))
    one = profile([turns("Who?", "Wren.")], spec).profile
    assert one.ending_template == "trl:glm4moe" and "trl:glm4moe" in one.stops[0].text
    assert not profile([turns("Who?", "Wren.")], spec, template="trl:glm4moe").profile.stops


def test_names_of_trl_are_checked(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no training template 'qwen33'") as caught:
        profile([turns("a", "b")], template="trl:qwen33")
    assert caught.value.remedy.startswith("Did you mean trl:qwen3")
    monkeypatch.setattr("recommender.data.templates.trl.training_templates", dict)
    with pytest.raises(InputError, match="TRL is not installed here"):
        profile([turns("a", "b")], template="trl:qwen3")


@pytest.mark.process
def test_finding_trls_templates_imports_nothing_of_it() -> None:
    import subprocess
    import sys

    code = "import sys; from recommender.data.templates.trl import originals; n = len(originals()); " \
           "print(n > 20, sorted({'trl', 'torch', 'transformers'} & set(sys.modules)))"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "[]"]


def test_the_profile_reads_rows_as_the_worker_does(profile: Profile, model: Any) -> None:
    spec, rows = model("qwen3"), [turns("0+1?", THOUGHT, "Twice?", LATER)] * 2
    found = profile(rows, spec, answers="each")
    ids = [found.tokens(row)[0] for row in range(len(found))]
    assert [list(row["input_ids"]) for row in found.training_rows(range(len(found)), 4096)] == [list(i) for i in ids]
    again = profile_data(found_data(found), model=spec)
    assert list(again.profile.lengths) == list(found.profile.lengths)


def found_data(dataset: Any) -> Any:
    from recommender.config.schema import Data

    return Data(train=[str(dataset.files[0].reader.path)], answers="each")


def test_rows_that_a_template_refuses_name_the_switch_with_which_it_takes_them(
    profile: Profile, tmp_path: Path
) -> None:
    strict = "{% if m is not defined and enable_thinking is not defined %}{{ raise_exception('say it') }}{% endif %}"
    folder_of = write_vocabulary(tmp_path / "strict", template=strict + CHATML, stops=[2])
    with pytest.raises(InputError, match="refused by the chat template: say it") as caught:
        profile([turns("What?", "Moss.")], spec_for(folder_of))
    assert "--set 'data.chat_template_kwargs={\"enable_thinking\": true}'" in caught.value.remedy
    found = profile([turns("What?", "Moss.")], spec_for(folder_of), chat_template_kwargs={"enable_thinking": True})
    assert shown(found) == "Moss.<|im_end|>"
