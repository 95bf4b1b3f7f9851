"""A file that is no YAML: one message with the path as it was given, the line where it begins, and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from presets.errors import InputError
from recommender.config.io import load_config

BROKEN = {
    "tab": ("model: a\nlora:\n\tr: 3\n", 3, "a tab", "Indent with spaces, not tabs."),
    "quote": ("revision: x\nmodel: 'abc\nlora: {r: 3}\n", 2, "quote that opens here is not closed", "Close the quote"),
    "quote that meets another": ('model: "abc\nlora: "x"\n', 2, "something follows", "quote before this place"),
    "bracket": ("model: a\nlora: {r: 3\nmethod: x\n", 2, "bracket that opens here", "Close the bracket"),
    "second document": ("model: a\n---\nmodel: b\n", 2, "a second document begins", "Keep one"),
    "tag": ("model: a\nrevision: !foo x\n", 2, "it has the tag !foo", "Remove the tag"),
    "Python's tag": ("model: !!python/name:os.x a\n", 1, "it has the tag python/name:os.x", "Remove the tag"),
    "alias": ("model: *x\n", 1, "*x refers to nothing", "Quote the value"),
    "second colon": ("model: a: b\n", 1, "second ': '", "Quote a value"),
    "no colon": ("model: a\nlora\nrevision: x\n", 2, "has no value", "'key: value'"),
    "sign": ("model: a\nrevision: @b\n", 2, "cannot begin with @", "Quote the value"),
    "indent": ("lora:\n  r: 1\n bias: none\n", 3, "does not continue", "same number of spaces"),
    "control character": ("model: a\nrevision: a\0b\n", 2, "U+0000", "Remove it"),
    "no such date": ("model: 2026-13-45\n", 1, "'2026-13-45' cannot be read as a date", "Quote it"),
    "5000 digits": (f"model: a\nlora: {{r: {'9' * 5000}}}\n", 2, "(5000 characters) cannot be read as", "Quote it"),
    "escape": ('model: "a\\qb"\n', 1, "unknown escape character 'q'", "Check this line"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_yaml_says_where_and_what_to_do(tmp_path: Path, case: str) -> None:
    text, line, says, remedy = BROKEN[case]
    path = tmp_path / "folder" / "config.yaml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert caught.value.message.startswith(f"{path}, line {line} is not YAML: ")
    assert says in caught.value.message
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_an_empty_file_is_called_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "empty.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^folder/empty\.yaml is empty\."):
        load_config(Path("folder/empty.yaml"))


def test_no_file_at_all() -> None:
    with pytest.raises(InputError, match=r"^No configuration file was given\."):
        load_config(Path())
