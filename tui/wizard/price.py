"""Price of an hour of this machine, kept between runs of the program so that plans can say what they cost."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from presets.errors import InputError

FILE = "price-per-hour"


def load_price(folder: Path) -> float | None:
    """The price that was kept, None when none was or it cannot be read."""
    try:
        return parse_price((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, InputError, UnicodeDecodeError):
        return None


def save_price(folder: Path, price: float | None) -> None:
    """Keep the price, or forget it when None.

    Raises:
        InputError: it cannot be written.
    """
    try:
        if price is None:
            (folder / FILE).unlink(missing_ok=True)
            return
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{FILE}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(f"{price}\n")
        Path(temporary).replace(folder / FILE)
    except OSError as error:
        raise InputError(f"The price cannot be kept in {folder}: {error.strerror or error}.") from None


def parse_price(text: str) -> float | None:
    """A price in dollars an hour; None for an empty text.

    Raises:
        InputError: it is no price.
    """
    text = text.strip().removeprefix("$").removesuffix("/h").strip()
    if not text:
        return None
    try:
        price = float(text)
    except ValueError:
        raise InputError(f"'{text}' is not a price.", remedy="Write dollars an hour, such as 0.69.") from None
    if not 0 <= price < 10_000:
        raise InputError(f"{text} dollars an hour cannot be.", remedy="Write dollars an hour, such as 0.69.")
    return price
