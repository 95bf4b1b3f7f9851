"""Typed reading of a model's config.json: every wrong value is an error that names the file and the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from presets.errors import InputError

_LARGEST = {"num_hidden_layers": 4096, "num_attention_heads": 2**16, "num_key_value_heads": 2**16}
_LARGEST_OTHER = 2**27
"""No model is near these; a value above them is a slip or an attack, and would only make absurd figures later."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A configuration and where it came from."""

    config: Mapping[str, Any]
    origin: str
    """Its name in errors: a path, or 'config.json of org/name'."""

    def count(self, key: str, default: int | None = None) -> int:
        """A positive whole number; `default` where the key is absent or null.

        Raises:
            InputError: It is absent without a default, not a whole number, not positive, or absurdly large.
        """
        value = self.config.get(key)
        if value is None:
            value = default
        if value is None:
            raise self.error(f"{key} is missing")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"{key} must be a whole number, not {value!r}")
        if value < 1:
            raise self.error(f"{key} must be at least 1, not {value}")
        if value > (limit := _LARGEST.get(key, _LARGEST_OTHER)):
            raise self.error(f"{key} is {value}, which no model has (at most {limit})")
        return value

    def optional_count(self, key: str, default: int | None) -> int | None:
        """Like `count`, where an explicit null means 'none' and only an absent key takes the default."""
        if key not in self.config:
            return default
        return None if self.config[key] is None else self.count(key)

    def flag(self, key: str, default: bool) -> bool:
        """True or false; `default` where absent or null."""
        value = self.config.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(f"{key} must be true or false, not {value!r}")
        return value

    def number(self, key: str, default: float | None) -> float | None:
        """A number or None; `default` only where the key is absent."""
        value = self.config.get(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{key} must be a number, not {value!r}")
        return float(value)

    def text(self, *keys: str) -> str | None:
        """The first of `keys` that is there, or None."""
        for key in keys:
            value = self.config.get(key)
            if value is None:
                continue
            if not isinstance(value, str):
                raise self.error(f"{key} must be a string, not {value!r}")
            if not value.isprintable():
                raise self.error(f"{key} must be plain text, not {value!r}")
            return value
        return None

    def mapping(self, key: str) -> Mapping[str, Any] | None:
        """A nested object, or None where absent or null."""
        value = self.config.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self.error(f"{key} must be an object, not {value!r}")
        return value

    def architecture(self) -> str | None:
        """Transformers' class name: the first of `architectures`; None where the key is absent or empty."""
        names = self.config.get("architectures")
        if names is None or names == []:
            return None
        if not isinstance(names, list) or not isinstance(names[0], str):
            raise self.error(f"architectures must be a list of class names, not {names!r}")
        if not names[0].isidentifier():
            raise self.error(f"architectures must name classes, and {names[0]!r} is no name of one")
        return names[0]

    def error(self, what: str) -> InputError:
        """An error that names the file."""
        return InputError(
            f"{self.origin}: {what}.", remedy="Get config.json again from where the model came from, or correct it."
        )
