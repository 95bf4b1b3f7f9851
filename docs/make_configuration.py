"""Write docs/configuration.md from the schema: `python docs/make_configuration.py [--check]`.

With --check nothing is written, and exit 1 says that the page is not current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recommender.config.keys import ELSEWHERE, OLD_NAMES, fields, sections
from recommender.config.schema import FinetuneConfig
from recommender.rules.stages import all_rules
from trainer.process.launch import CHANGEABLE

PAGE = Path(__file__).parent / "configuration.md"
HEAD = """# The configuration file

Written by `python docs/make_configuration.py` from `recommender/config/schema.py`; a test holds it current.

One YAML file says what is trained. The wizard and `lora-wizard recommend -o config.yaml` write it, `lora-wizard train
config.yaml` trains it, every run folder keeps it. Relative paths are relative to the file. An unknown key, a value out
of range and two values that contradict each other are errors that name the file, the key and what to write instead.
`lora-wizard schema` prints the JSON schema, by which editors complete and check the file.

*Default* is the value of a key that the file does not have. It is not the recommended one: `recommend` and the wizard
decide every key that names a *rule* ([rules.md](rules.md)) and write it down. `--set KEY=VALUE` sets a key on the
command line, and a key's last part is enough where only one key ends so: `--set learning_rate=2e-4`.
[architecture.md](architecture.md) says how the file may change from version to version.
"""


def page() -> str:
    """The whole page."""
    schema = FinetuneConfig.model_json_schema()
    rules = {key: rule.name for rule in reversed(all_rules()) for key in rule.keys}
    return "\n".join((HEAD, *_sections(schema, rules), *_sources(schema), *_changes(), *_names())) + "\n"


def _sections(schema: dict[str, Any], rules: dict[str, str]) -> Iterator[str]:
    for section in ("", *sections()):
        yield _heading(schema, section)
        yield ""
        yield "| key | values | default | what it is | rule |"
        yield "|---|---|---|---|---|"
        for key, field in fields().items():
            if key.rpartition(".")[0] == section:
                what = _property(schema, key)
                default = "required" if field.is_required() else _value(field.get_default(call_default_factory=True))
                example = f". Example: {_value(field.examples[0])}" if field.examples else ""
                text = f"{field.description or ''}{example}"
                yield f"| `{key}` | {_kind(what, schema)} | {default} | {_cell(text)} | {rules.get(key, '')} |"
        yield ""


def _heading(schema: dict[str, Any], section: str) -> str:
    """The heading of a section: its name, and what the schema says of it."""
    if not section:
        return "## What is trained, and how the weights are held"
    return f"## `{section}`: {_resolved(_property(schema, section), schema)['description'].removesuffix('.')}"


def _sources(schema: dict[str, Any]) -> Iterator[str]:
    yield "## An entry of `data.train` and `data.eval`"
    yield ""
    yield "A path, or a mapping:"
    yield ""
    yield "| key | values | default | what it is |"
    yield "|---|---|---|---|"
    source = schema["$defs"]["Source"]
    for key, what in source["properties"].items():
        default = "required" if key in source.get("required", ()) else _value(what.get("default"))
        yield f"| `{key}` | {_kind(what, schema)} | {default} | {_cell(what.get('description', ''))} |"
    yield ""


def _changes() -> Iterator[str]:
    yield "## What may be different when a run is resumed"
    yield ""
    yield "`lora-wizard resume RUN --set KEY=VALUE` takes every key under `run` and these:"
    yield ""
    yield ", ".join(f"`{key}`" for key in sorted(CHANGEABLE)) + "."
    yield ""
    yield "Of `data.train`, `data.eval` and `data.template` only the place may be another: rows and tokens are compared."
    yield ""


def _names() -> Iterator[str]:
    yield "## Other names"
    yield ""
    yield "Read as their new name: " + ", ".join(f"`{old}` (`{new}`)" for old, new in OLD_NAMES.items()) + "."
    yield ""
    yield "Names of other programs are errors that offer ours:"
    yield ""
    yield "| there | here |"
    yield "|---|---|"
    for theirs, ours in ELSEWHERE.items():
        yield f"| `{theirs}` | `{ours}` |"


def _property(schema: dict[str, Any], key: str) -> dict[str, Any]:
    """The JSON schema of a dotted key."""
    found = schema
    for part in key.split("."):
        found = _resolved(found, schema)["properties"][part]
    return found


def _resolved(what: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for option in (what, *what.get("anyOf", ()), *what.get("allOf", ())):
        if "$ref" in option:
            found: dict[str, Any] = schema["$defs"][option["$ref"].rpartition("/")[2]]
            return found
    return what


def _kind(what: dict[str, Any], schema: dict[str, Any]) -> str:
    if options := what.get("anyOf"):
        return " or ".join(_kind(option, schema) for option in options) + _range(what)
    if "$ref" in what:
        return "an entry as below" if what["$ref"].endswith("/Source") else "a mapping of the keys below"
    if "enum" in what or "const" in what:
        return ", ".join(_value(value) for value in what.get("enum", [what.get("const")]))
    if what.get("type") == "array":
        return f"a list of: {_kind(what['items'], schema)}"
    names = {"integer": "whole number", "number": "number", "boolean": "true, false", "string": "text", "null": "null",
             "object": "a mapping"}
    return names.get(str(what.get("type")), "anything") + _range(what)


def _range(what: dict[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    said = [f"{word} {what[key]:,}".replace(",", " ").removesuffix(".0") for key, word in words.items() if key in what]
    return f" {' '.join(said)}" if said else ""


def _value(value: Any) -> str:
    from recommender.config.io import value_text

    return f"`{'null' if value is None else value_text(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
