"""Reading and writing the configuration file. Everything wrong with a file is found here, in the user's words."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

import yaml

from presets.errors import InputError
from recommender.config.data_paths import format_of, names_hub_dataset
from recommender.config.schema import FinetuneConfig, Source
from recommender.config.section import Section
from recommender.config.syntax import Loader, syntax_error
from recommender.paths import expanded

COMMENT_WIDTH = 100
"""Columns that a reason's lines take in the file."""


def load_config(path: Path) -> FinetuneConfig:
    """Read and validate a configuration file. Relative paths in it are left as they are: see `resolve`.

    Raises:
        InputError: the file is missing, is not UTF-8 or YAML, or holds what a configuration cannot.
    """
    return parse_config(_read(path), str(path))


def parse_config(text: str, name: str) -> FinetuneConfig:
    """Validate a configuration's text; `name` stands for it in messages.

    Raises:
        InputError: as `load_config`.
    """
    from pydantic import ValidationError

    from recommender.config.problems import input_error

    document, lines = _parse(text, name)
    try:
        return FinetuneConfig.model_validate(document)
    except ValidationError as error:
        raise input_error(error, where=name, lines=lines) from None


def _read(path: Path) -> str:
    if path == Path():
        # An empty name becomes this path too.
        raise InputError("No configuration file was given.", remedy="`recommend -o FILE` writes one.")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"There is no configuration file {path}.", remedy="`recommend -o FILE` writes one.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder.", remedy="Name the configuration file in it.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}).", remedy="Save it as UTF-8, or check the file's name."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None


def _parse(text: str, name: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the document and the line of each dotted key."""
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise InputError(f"{name} is empty.", remedy="It needs at least `model:`; `recommend -o FILE` writes one.")
        if not isinstance(node, yaml.MappingNode):
            raise InputError(
                f"{name} is not a configuration: it must hold keys with values.", remedy="It begins with `model: …`."
            )
        lines = dict(_lines(node, "", name))
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        raise syntax_error(error, text, name) from None
    except RecursionError:
        raise InputError(
            f"{name} is nested too deeply to be a configuration.", remedy="A section's keys hold plain values."
        ) from None


def _lines(node: yaml.MappingNode, prefix: str, name: str) -> Iterator[tuple[str, int]]:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in seen:
            raise InputError(
                f"{name}, line {line}: {prefix}{key} is given twice (first in line {seen[key]}).", remedy="Keep one."
            )
        seen[key] = line
        yield prefix + key, line
        if isinstance(value_node, yaml.MappingNode):
            yield from _lines(value_node, f"{prefix}{key}.", name)


def resolve(config: FinetuneConfig, base: Path) -> FinetuneConfig:
    """Make relative paths absolute: data files, a template file, model and adapter when they are folders there.

    Args:
        config: As read.
        base: The folder of the file that it was read from.
    """

    def source(item: str | Source) -> str | Source:
        if isinstance(item, str):
            return _absolute(item, base)
        return item.model_copy(update={"path": _absolute(item.path, base)})

    data = config.data.model_copy(
        update={
            "train": [source(item) for item in config.data.train],
            "eval": None if config.data.eval is None else [source(item) for item in config.data.eval],
            "template": _absolute(config.data.template, base, only=Path.is_file),
        }
    )
    model = _absolute(config.model, base, only=Path.is_dir)
    trusted = config.trust_remote_code and model
    start = None if config.start_from is None else _absolute(config.start_from, base, only=Path.is_dir)
    return config.model_copy(update={"data": data, "model": model, "trust_remote_code": trusted, "start_from": start})


def resolve_changes(changes: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Make relative paths absolute in values that are given beside a file, as `resolve` does with those in it.

    Args:
        changes: Full dotted key to value.
        base: The folder that they were given in.
    """

    def data_file(item: Any) -> Any:
        if isinstance(item, Mapping) and isinstance(item.get("path"), str):
            return {**item, "path": _absolute(item["path"], base)}
        return _absolute(item, base) if isinstance(item, str) else item

    result = dict(changes)
    for key, value in changes.items():
        if key in ("data.train", "data.eval"):
            result[key] = [data_file(item) for item in value] if isinstance(value, list) else data_file(value)
        elif key in _PLACES and isinstance(value, str):
            result[key] = _absolute(value, base, only=_PLACES[key])
    return result


def _absolute(path: str, base: Path, *, only: Callable[[Path], bool] | None = None) -> str:
    """Return a path as seen from a folder; unchanged for a data set of the hub, or nothing of the kind wanted."""
    # An empty name stays one, to be refused where it is read: as a path it would be this folder.
    if not path.strip() or (only is None and names_hub_dataset(path, base)):
        return path
    place = (base / expanded(path)).absolute()
    return os.path.normpath(place) if only is None or only(place) else path


_PLACES: Final[Mapping[str, Callable[[Path], bool]]] = {
    "data.template": Path.is_file,
    "model": Path.is_dir,
    "start_from": Path.is_dir,
    "trust_remote_code": Path.is_dir,
}
"""Keys whose value may be a path, with the test for the file or folder there."""


class _Dumper(yaml.SafeDumper):
    """Writes numbers as people write them, so that YAML reads them back as numbers."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's signature
        return True


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = number_text(value)
    # A whole number is written as one; as a float it would bring its tag along.
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'int' if text.lstrip('-').isdigit() else 'float'}", text)


def _represent_str(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # PyYAML folds U+0085 and its like away in the other styles.
    style = None if value.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(str, _represent_str)


def number_text(value: float) -> str:
    """Return a number in its shortest exact form that YAML 1.1 reads as a number.

    PyYAML takes `2e-4` for text: the mantissa needs its dot and the exponent its sign (2.0e-4). Whole numbers lose
    their '.0', since every numeric key takes them.
    """
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    if 1e-3 <= abs(value) < 1e15:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    power = len(text) - 1 + int(exponent)
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}e{power:+d}".replace("e+0", "e+")


def value_text(value: Any) -> str:
    """Return a value as written in the file, on one line."""
    if isinstance(value, float):
        return number_text(value)
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=1 << 30, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def dump_config(config: FinetuneConfig, comments: Mapping[str, str] | None = None) -> str:
    """The configuration as YAML, in the order of the schema, one value a line.

    Args:
        config: What to write.
        comments: Dotted key to a text that stands above the value, wrapped, such as its reason.
    """
    return "".join(f"{line}\n" for line in _dump(config, "", comments or {}))


def _dump(section: Section, prefix: str, comments: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for number, name in enumerate(type(section).model_fields):
        value, key = section.__dict__[name], prefix + name
        if isinstance(value, Section):
            yield f"{indent}{name}:"
            yield from _dump(value, f"{key}.", comments)
            continue
        plain = section.model_dump(include={name})[name]
        if isinstance(value, list):
            # A data set's keys are written only where they differ from the defaults.
            plain = [
                item.model_dump(exclude_defaults=True) if isinstance(item, Section) else held
                for item, held in zip(value, plain, strict=True)
            ]
        if comment := comments.get(key):
            if number:
                # Set off from the value before.
                yield ""
            yield from _comment(comment, indent)
        yield f"{indent}{name}: {value_text(plain)}"


def _comment(text: str, indent: str) -> Iterator[str]:
    room = COMMENT_WIDTH - len(indent) - 2
    for line in wrap(" ".join(text.split()), room, break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {line}"


def portable(config: FinetuneConfig, folder: Path) -> FinetuneConfig:
    """Return the configuration with data that lies near a folder named relative to it: both can move together.

    Near: in the folder or beside it. What lies elsewhere keeps its whole path.
    """
    here = folder.absolute()
    root = Path(here.anchor)
    near = here if here.parent == root else here.parent

    def relative(path: str) -> str:
        whole = Path(path)
        if near == root or not whole.is_absolute() or not whole.is_relative_to(near):
            return path
        short = os.path.relpath(whole, here)
        # Without an ending, FOLDER/NAME would be the hub's where there is no such folder.
        return short if format_of(whole) is not None or short.startswith(".") else f"./{short}"

    def source(item: str | Source) -> str | Source:
        return relative(item) if isinstance(item, str) else item.model_copy(update={"path": relative(item.path)})

    held = config.data.eval
    data = {
        "train": [source(item) for item in config.data.train],
        "eval": None if held is None else [source(item) for item in held],
    }
    return config.model_copy(update={"data": config.data.model_copy(update=data)})


def write_config(path: Path, config: FinetuneConfig, comments: Mapping[str, str] | None = None) -> None:
    """Write the configuration file whole or not at all, its data named relative to it where that lies near.

    Raises:
        InputError: it cannot be written there.
    """
    text = dump_config(portable(config, path.parent), comments)
    # A link stays a link: what it points to is replaced.
    target = path.resolve()
    try:
        if target.exists() and not target.is_file():
            # A pipe, a terminal or a device is written into: a rename would put a file in its place.
            target.write_text(text, encoding="utf-8")
        else:
            _replace(target, text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.", remedy="Name another file.") from None


def require_replaceable(path: Path) -> None:
    """Refuse to write a configuration over a file that is none: rows, say, whose name stands behind the wrong option.

    Raises:
        InputError: It is there and names no model.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        found = None
    if not isinstance(found, dict) or "model" not in found:
        raise InputError(f"{path} is there already, and is no configuration.", remedy="Name another file.")


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically by a text, with the file's mode or that of a new file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def json_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors that complete and check YAML."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **FinetuneConfig.model_json_schema(),
        "title": "lora-wizard configuration",
    }
