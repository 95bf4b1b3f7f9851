"""Token positions of characters in a row's text.

The tokenizer knows the characters of every token, but to be told them costs a third of all tokenisation. Most
vocabularies spell: the bytes of a row's tokens, one behind the other, are the row's text. Then the place of a character
follows from the lengths of the tokens before it, and only what a row's answers begin and end with has to be looked up.
That the bytes add up is checked on each row, and the first rows are placed both ways; where a vocabulary or a row is
otherwise (a normaliser has changed it, an added token has swallowed blanks) the tokenizer is asked.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import is_normalized

from recommender.data.tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Encoding

CHECKED = 8
"""Rows that are placed both ways before the quick one is believed."""
_BLANK = "\u2581"
"""The character for a blank in SentencePiece vocabularies."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""Their tokens of a single byte."""

Span = tuple[int, int]


class TokenSpans(NamedTuple):
    """Token spans of some character spans."""

    spans: list[int]
    """Start, end, start, end …, half-open, in order, none overlapping another."""
    straddles: bool
    """Whether a first token begins before its span."""


class SpanEncoder:
    """Encodes rows and converts character spans to token spans, the quickest way that is exact for the vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._checked = 0

    @cached_property
    def _token_bytes(self) -> TokenBytes | None:
        """Byte lengths of the vocabulary's tokens, made for the first row: a profile from the cache needs none."""
        return token_bytes(self._vocabulary)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Encode texts as `Vocabulary.encode` does, for `of`; it can be called from any thread."""
        if self._token_bytes is None or self._checked < CHECKED:
            return self._vocabulary.encode(texts)
        return self._vocabulary.encode_without_offsets(texts)

    def of(self, text: str, encoding: Encoding, spans: Sequence[Span]) -> TokenSpans:
        """Token spans of character spans, in a text that `encode` has encoded."""
        quick = None if self._token_bytes is None else self._token_bytes.token_spans(text, encoding.ids, spans)
        if self._token_bytes is not None and self._checked >= CHECKED:
            return quick or by_offsets(self._vocabulary.encode([text])[0], spans)
        exact = by_offsets(encoding, spans)
        if spans and self._checked < CHECKED:
            if quick != exact:
                self._token_bytes = None
            # Last, because from here on `encode`, in its thread, leaves the offsets out.
            self._checked += 1
        return exact


class TokenBytes:
    """Number of bytes of text that each token of a vocabulary stands for.

    Args:
        lengths: Bytes of each id.
        blank: The character that stands for a blank; a text that holds it itself is not placed.
        composed: Whether the tokenizer composes characters first (NFC); other texts are not placed.
    """

    def __init__(self, lengths: Sequence[int], *, blank: str, composed: bool) -> None:
        self._lengths = lengths
        self._blank = blank
        self._composed = composed

    def token_spans(self, text: str, ids: Sequence[int], spans: Sequence[Span]) -> TokenSpans | None:
        """Token spans of character spans; None where the tokens' bytes do not add up to the text."""
        ascii_only = text.isascii()
        size = len(text) if ascii_only else len(text.encode())
        ends = list(accumulate(map(self._lengths.__getitem__, ids)))
        if (ends[-1] if ends else 0) != size or not (ascii_only or self._as_it_is(text)):
            return None
        found: list[int] = []
        straddles = False
        for start, end in spans:
            if start >= end:
                continue
            if not ascii_only:
                end = len(text[:end].encode())
                start = len(text[:start].encode())
            first, behind = bisect_right(ends, start), bisect_left(ends, end) + 1
            straddles = straddles or (ends[first - 1] if first else 0) < start
            if found and first < found[-1]:
                first = found[-1]
            if first < behind:
                found += [first, behind]
        return TokenSpans(found, straddles)

    def _as_it_is(self, text: str) -> bool:
        """Whether the tokenizer takes these characters as they are."""
        return (not self._blank or self._blank not in text) and (not self._composed or is_normalized("NFC", text))


def token_bytes(vocabulary: Vocabulary) -> TokenBytes | None:
    """The byte lengths of a vocabulary's tokens; None where their names do not tell.

    Two kinds are known: byte-level BPE (GPT-2, Llama 3, Qwen), whose tokens have a character for each byte, and
    SentencePiece with byte fallback (Gemma), whose tokens are text with a sign for the blank.
    """
    from tokenizers import pre_tokenizers

    names = vocabulary.tokens()
    composed = vocabulary.normaliser == "NFC"
    plain = vocabulary.normaliser in {"", "NFC"}
    added = vocabulary.added.keys()
    if plain and {*"".join(name for index, name in names.items() if index not in added)} <= {
        *pre_tokenizers.ByteLevel.alphabet()
    }:
        return TokenBytes(_lengths(vocabulary, names, len), blank="", composed=composed)
    if vocabulary.normaliser == "blanks" and "<0x00>" in names.values():
        return TokenBytes(_lengths(vocabulary, names, _sentencepiece), blank=_BLANK, composed=False)
    return None


def _sentencepiece(name: str) -> int:
    return 1 if _BYTE.fullmatch(name) else len(name.replace(_BLANK, " ").encode())


def _lengths(vocabulary: Vocabulary, names: Mapping[int, str], length: Callable[[str], int]) -> list[int]:
    found = [0] * vocabulary.size
    for index, name in names.items():
        found[index] = length(name)
    for index, content in vocabulary.added.items():
        found[index] = len(content.encode())
    return found


def by_offsets(encoding: Encoding, spans: Sequence[Span]) -> TokenSpans:
    """Token spans of character spans, by the tokenizer's own offsets."""
    found: list[int] = []
    straddles = False
    count = len(encoding)
    for start, end in spans:
        first = _token_from(encoding, range(start, end))
        last = _token_from(encoding, range(end - 1, start - 1, -1))
        if first is None or last is None:
            continue
        # A character of several bytes may be several tokens, all with the same offsets: the last of them counts.
        while last + 1 < count and (place := encoding.token_to_chars(last + 1)) is not None and place[0] < end:
            last += 1
        place = encoding.token_to_chars(first)
        straddles = straddles or (place is not None and place[0] < start)
        if found and first < found[-1]:
            first = found[-1]
        if first <= last:
            found += [first, last + 1]
    return TokenSpans(found, straddles)


def _token_from(encoding: Encoding, characters: range) -> int | None:
    """The first token that any of these characters, in this order, belongs to."""
    for position in characters:
        token: int | None = encoding.char_to_token(position)
        if token is not None:
            return token
    return None
