"""Changes to a configuration by dotted keys, as the form, `--set`, presets and remedies make them."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from presets.errors import InputError
from recommender.config.keys import fields, full_name, nearest, sections
from recommender.config.schema import FinetuneConfig
from recommender.config.section import Section
from recommender.config.syntax import Loader

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


_QUOTES = "'\""


def apply(config: FinetuneConfig, changes: Mapping[str, Any]) -> FinetuneConfig:
    """Return the configuration with these values.

    `method` and `quantization.bits` say the same thing from two sides: when only one is given, the other follows.

    Args:
        config: What to change; it stays as it is.
        changes: Dotted (or unique short) key to value.

    Raises:
        InputError: a key that does not exist (the nearest is named), a value that it cannot take, or a contradiction.
    """
    from pydantic import ValidationError

    from recommender.config.problems import input_error

    if not changes:
        return config
    document = config.model_dump()
    for key, value in with_followers(config, {known_key(key): value for key, value in changes.items()}).items():
        _put(document, key.split("."), value)
    try:
        return FinetuneConfig.model_validate(document)
    except ValidationError as error:
        raise input_error(error) from None


def with_followers(config: FinetuneConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Add the value of `method` or `quantization.bits` that the other one implies."""
    result = dict(changes)
    if "method" in changes and "quantization.bits" not in changes:
        result["quantization.bits"] = (config.quantization.bits or 4) if changes["method"] == "qlora" else None
    elif "quantization.bits" in changes and "method" not in changes:
        if changes["quantization.bits"] is not None:
            result["method"] = "qlora"
        elif config.method == "qlora":
            result["method"] = "lora"
    return result


def known_key(key: str) -> str:
    """Return the full dotted key.

    Raises:
        InputError: there is none; the nearest is offered.
    """
    name = full_name(key)
    if name is None:
        if key in sections():
            raise InputError(f"{key} is a section; set a key of it, such as {_first_key(key)}.")
        near = nearest(key)
        raise InputError(
            f"{key} is not a key of the configuration.",
            remedy=f"Did you mean {near}?" if near else "`lora-wizard schema` prints all keys.",
        )
    return name


def _first_key(section: str) -> str:
    return next(name for name in fields() if name.startswith(f"{section}."))


def owner(key: str) -> str:
    """The key that holds this one's value as a whole: `data.columns` for a column, `rope_scaling` for its factor."""
    parent = key.rpartition(".")[0]
    return parent if parent in fields() else key


def _put(document: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, leaf = path
    for parent in parents:
        # A section that is null (rope_scaling) begins with the first of its keys.
        document[parent] = document = {} if document.get(parent) is None else document[parent]
    document[leaf] = value


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse `key=value` as `--set` takes it: the key may be short, the value is read as YAML.

    Raises:
        InputError: it has no '=', its key does not exist, or its value is not YAML.
    """
    import yaml

    key, separator, raw = text.partition("=")
    if not separator or not key.strip():
        raise InputError(f"'{text}' is not key=value.", remedy="Write it as training.learning_rate=1e-4.")
    name = known_key(key.strip())
    try:
        value = yaml.load(raw, Loader)
    except (yaml.YAMLError, RecursionError):
        if _takes_list(_options(fields().get(name))) and not raw.strip().startswith(("[", "{")):
            return name, _parts(raw)
        raise InputError(
            f"The value of {name} cannot be read: '{_start(raw)}'.", remedy="Quote it if it is text."
        ) from None
    return name, _as_field(fields().get(name), value, raw.strip())


def _start(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _as_field(field: FieldInfo | None, value: Any, raw: str) -> Any:
    """Return the value as its field takes it: text stays text, and `a,b` or `a` becomes a list where one is wanted."""
    options = _options(field)
    if value is None:
        return [] if _takes_list(options) and NoneType not in options and not raw else None
    if not options or any(get_origin(option) is dict for option in options):
        return value
    if (field is not None and field.annotation is str) or (str in options and not isinstance(value, bool)):
        return raw.strip(_QUOTES)
    words = [word for option in options if get_origin(option) is Literal for word in get_args(option)]
    if _takes_list(options) and not isinstance(value, list | dict) and value not in words:
        return _parts(raw)
    return value


def _options(field: FieldInfo | None) -> tuple[Any, ...]:
    """Return the types accepted by a field: the members of a union, or its one type."""
    if field is None:
        return ()
    union = get_origin(field.annotation) in (Union, UnionType)
    return get_args(field.annotation) if union else (field.annotation,)


def _takes_list(options: tuple[Any, ...]) -> bool:
    return any(get_origin(option) is list for option in options)


def _parts(raw: str) -> list[str]:
    return [part.strip().strip(_QUOTES) for part in raw.split(",")]


def with_values(config: FinetuneConfig, changes: Mapping[str, Any]) -> FinetuneConfig:
    """Return the configuration with these values, unchecked: it costs microseconds; `apply` checks.

    Args:
        config: What to change; it stays as it is.
        changes: Full dotted key ('method', 'lora.r', 'data.max_length') to a value of the field's own type.
    """
    top: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        section, dot, leaf = key.partition(".")
        if dot:
            inner.setdefault(section, {})[leaf] = value
        else:
            top[section] = value
    for section, values in inner.items():
        top[section] = config.__dict__[section].model_copy(update=values)
    return config.model_copy(update=top)


def value_of(config: FinetuneConfig, key: str) -> Any:
    """Return the value of a full dotted key."""
    value: Any = config
    for part in key.split("."):
        value = value.__dict__[part]
    return value


def flatten(config: FinetuneConfig) -> dict[str, Any]:
    """Return every value by its dotted key, in the schema's order; mappings and lists stay values."""
    return dict(_flatten(config, ""))


def _flatten(section: Section, prefix: str) -> list[tuple[str, Any]]:
    result: list[tuple[str, Any]] = []
    for name in type(section).model_fields:
        value = section.__dict__[name]
        if isinstance(value, Section):
            result += _flatten(value, f"{prefix}{name}.")
        else:
            result.append((prefix + name, value))
    return result


def diff(before: FinetuneConfig, after: FinetuneConfig) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, with the value before and after (None where a key is not there)."""
    old, new = flatten(before), flatten(after)
    return {key: (old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}
