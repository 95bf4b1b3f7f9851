"""The system prompt that a template writes by itself is told, where rows get it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recommender.data.templates.choose import choose_template
from recommender.data.templates.default_system import own_system
from recommender.data.templates.trl import folder
from recommender.data.tokens.answer_spans import TurnFinder
from recommender.data.tokens.vocabulary import load_vocabulary
from recommender.model.spec import ModelSpec
from recommender.warning import texts
from tests.fixtures.vocabularies import spec_for, write_vocabulary
from tests.unit.data.conftest import Profile

OWN = "You are a helpful AI assistant named Example."
TURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
DEFAULTING = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n" + OWN + "<|im_end|>\\n' }}{% endif %}" + TURNS
)
QUESTION, ANSWER = {"role": "user", "content": "How?"}, {"role": "assistant", "content": "So."}
PLAIN = {"messages": [QUESTION, ANSWER]}
WITH_SYSTEM = {"messages": [{"role": "system", "content": "Be brief."}, QUESTION, ANSWER]}


def written(where: Path, template: str) -> Path:
    special = ("<|im_start|>", "<|im_end|>")
    return write_vocabulary(where, special=special, bos="<|bos|>", eos="<|im_end|>", template=template)


@pytest.mark.parametrize(
    ("template", "rows", "told"),
    [
        (DEFAULTING, [PLAIN] * 3, True),
        (DEFAULTING, [WITH_SYSTEM, PLAIN], True),
        (DEFAULTING, [WITH_SYSTEM] * 3, False),
        (TURNS, [PLAIN] * 3, False),
    ],
)
def test_it_is_told_where_a_row_has_none_of_its_own(
    profile: Profile, tmp_path: Path, template: str, rows: list[dict[str, Any]], told: bool
) -> None:
    spec: ModelSpec = spec_for(written(tmp_path / "model", template))
    dataset = profile(rows, spec)
    said = [warning for warning in texts(dataset.profile.warnings) if OWN in warning]
    assert len(said) == told
    if told:
        assert f"line {rows.index(PLAIN) + 1}" in said[0]
        assert OWN in dataset.sample(rows.index(PLAIN), 4096).text


KNOWN = {
    "qwen2_5": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "llama3_1": "Cutting Knowledge Date: December 2023 Today Date: 26 Jul 2024",
    "qwen3": "",
    "llama3": "",
    "gemma3": "",
    "phi3": "",
    "glm4moe": "",
    "cohere": "",
}


@pytest.mark.skipif(folder() is None, reason="needs TRL's templates")
@pytest.mark.parametrize("name", KNOWN)
def test_public_templates_write_what_they_write(tmp_path: Path, name: str) -> None:
    held = folder()
    assert held is not None
    vocabulary = load_vocabulary(written(tmp_path, (held / f"{name}.jinja").read_text(encoding="utf-8")))
    assert vocabulary is not None
    template = choose_template("auto", vocabulary, model_type="llama", base=None)
    assert template is not None
    assert own_system(TurnFinder(template, vocabulary)) == KNOWN[name]
