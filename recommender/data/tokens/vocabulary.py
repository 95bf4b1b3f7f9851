"""A model's tokenizer, read from its folder with `tokenizers` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from presets.errors import InputError
from recommender.data.tokens.converted import tokenizer_folder

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Vocabulary:
    """Tokenizer with the ids and special tokens of `AutoTokenizer` from the same folder.

    Attributes:
        special_tokens: Named special tokens as text: bos_token, eos_token … as templates read them.
        prefix: Ids that the tokenizer puts before plain text (usually the BOS token, often nothing).
        templates: The model's chat templates by name ('default', 'tool_use'); empty for most base models.
        stop_ids: Ids at which the model's generation stops, by its generation_config.json and config.json.
    """

    def __init__(self, folder: Path, tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
        from tokenizers.processors import TemplateProcessing

        self.folder = folder
        self.special_tokens = _special_tokens(folder, settings)
        self._tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        _add_tokens(tokenizer, settings, self.special_tokens)
        self.bos = self._id_of("bos_token")
        self.eos = self._id_of("eos_token")
        self.prefix = self._prefix()
        # Post-processors add special tokens, which is done here by hand, and trim blanks off the offsets, which would
        # leave characters that belong to no token.
        tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
        self.added = {index: token.content for index, token in tokenizer.get_added_tokens_decoder().items()}
        self.special = frozenset(
            index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special
        ) | {index for index in (self.bos, self.eos) if index is not None}
        self.templates = _templates(folder, settings)
        self.stop_ids = _stop_ids(folder) | ({self.eos} if self.eos is not None else set())

    @property
    def size(self) -> int:
        """Ids in use, added tokens included: the embedding must have at least as many rows."""
        return max((self._tokenizer.get_vocab_size(with_added_tokens=True), *(index + 1 for index in self.added)))

    def id_of(self, token: str) -> int | None:
        """The id of a token given as text; None when it is not in the vocabulary."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts as they are: special tokens in them are recognised, none are added.

        Offsets are in characters and leave no character out.
        """
        return self._tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def encode_without_offsets(self, texts: Sequence[str]) -> list[Encoding]:
        """The same ids in two thirds of the time, without character offsets."""
        return self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)

    def tokens(self) -> dict[int, str]:
        """The name of every id of the model's own vocabulary, as the file has it, without added tokens."""
        return {index: name for name, index in self._tokenizer.get_vocab(with_added_tokens=False).items()}

    @cached_property
    def normaliser(self) -> Literal["", "NFC", "blanks", "other"]:
        """The normaliser in front of the tokenizer: none, NFC, blanks written as U+2581, or another."""
        found = self._tokenizer.normalizer
        if found is None:
            return ""
        match type(found).__name__:
            case "NFC":
                return "NFC"
            # A Replace has one pattern: when that is the blank, it does nothing else.
            case "Replace" if found.normalize_str(" ") == "\u2581":
                return "blanks"
        return "other"

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens shown."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def _id_of(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return None if token is None else self.id_of(token)

    def _prefix(self) -> tuple[int, ...]:
        """The tokens in front of plain text, as tokenizer.json builds it.

        Beside that file Transformers 5 drops add_bos_token of tokenizer_config.json (`_from_pretrained` of its
        tokenization_utils_base), whatever it says.
        """
        bare = self._tokenizer.encode("a", add_special_tokens=False).ids
        full = self._tokenizer.encode("a", add_special_tokens=True).ids
        for start in range(len(full) - len(bare) + 1):
            if full[start : start + len(bare)] == bare:
                return tuple(full[:start])
        return ()


def load_vocabulary(folder: Path | None) -> Vocabulary | None:
    """The tokenizer in a model's folder, or the one converted from it; None when there is no tokenizer.json of it.

    Raises:
        InputError: One of its files is broken.
    """
    folder = tokenizer_folder(folder)
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # `tokenizers` raises bare Exception for every kind of broken file
        raise InputError(
            f"{path} is not a tokenizer that can be read.",
            remedy="Download the model's tokenizer.json again.",
            detail=str(error),
        ) from error
    return Vocabulary(folder, tokenizer, read_json(folder / "tokenizer_config.json"))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model's folder; empty when the file is not there.

    Raises:
        InputError: It is there and broken.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON.", remedy="Download it again.", detail=str(error)) from error
    return value if isinstance(value, dict) else {}


def _content(token: Any) -> str | None:
    """A token as tokenizer_config.json writes it: a string or an object with its content."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _special_tokens(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Named special tokens of tokenizer_config.json, completed by the older special_tokens_map.json."""
    older = read_json(folder / "special_tokens_map.json")
    found = {name: _content(settings.get(name)) or _content(older.get(name)) for name in _NAMED}
    return {name: token for name, token in found.items() if token}


def _add_tokens(tokenizer: Tokenizer, settings: Mapping[str, Any], special_tokens: Mapping[str, str]) -> None:
    """Add the tokens that only tokenizer_config.json knows; Transformers adds them in this order."""
    from tokenizers import AddedToken

    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    decoder = settings.get("added_tokens_decoder")
    listed = sorted(decoder.items(), key=lambda item: int(item[0])) if isinstance(decoder, Mapping) else []
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for _, entry in listed:
        if isinstance(entry, Mapping) and (content := _content(entry)) and content not in known:
            given = {flag: bool(entry[flag]) for flag in flags if flag in entry}
            tokenizer.add_tokens([AddedToken(content, **given)])
            known.add(content)
    missing = [token for token in special_tokens.values() if token not in known]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])


def _templates(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Chat templates: chat_template.jinja goes before tokenizer_config.json, as in Transformers 5."""
    try:
        found = {
            path.stem: path.read_text(encoding="utf-8")
            for path in sorted((folder / "additional_chat_templates").glob("*.jinja"))
        }
        file = folder / "chat_template.jinja"
        if file.is_file():
            return {**found, "default": file.read_text(encoding="utf-8")}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"A chat template in {folder} cannot be read.", remedy="Download it again.", detail=str(error)
        ) from error
    held = settings.get("chat_template")
    if isinstance(held, str) and held:
        return {**found, "default": held}
    if isinstance(held, list):
        entries = [entry for entry in held if isinstance(entry, Mapping)]
        return {**found, **{str(entry.get("name")): str(entry.get("template", "")) for entry in entries}}
    return found


def chat_templates(folder: Path) -> dict[str, str]:
    """The chat templates in a model's or an adapter's folder, by name.

    Raises:
        InputError: A file with one is broken.
    """
    return _templates(folder, read_json(folder / "tokenizer_config.json"))


def _stop_ids(folder: Path) -> set[int]:
    """eos_token_id of generation_config.json, else of config.json: a number or a list."""
    for name in ("generation_config.json", "config.json"):
        value = read_json(folder / name).get("eos_token_id")
        ids = value if isinstance(value, list) else [value]
        if found := {index for index in ids if isinstance(index, int)}:
            return found
    return set()
