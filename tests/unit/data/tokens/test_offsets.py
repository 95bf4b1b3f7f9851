"""Tokens found by their spelling are those that the tokenizer's own offsets name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers

from recommender.data.tokens.offsets import CHECKED, SpanEncoder, by_offsets, token_bytes
from recommender.data.tokens.vocabulary import Vocabulary, load_vocabulary
from tests.fixtures.vocabularies import WORDS, write_vocabulary

ANYTHING = st.text(st.sampled_from("ab \n\té한\u0301\u2581语😀Å<|im_end|>") | st.characters(exclude_categories=["Cs"]))


def changed(folder: Path, change: Callable[[Tokenizer], None]) -> Vocabulary:
    """The byte-level vocabulary of the tests with something changed in it."""
    path = write_vocabulary(folder) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    change(tokenizer)
    tokenizer.save(str(path))
    return loaded(folder)


def sentencepiece(folder: Path, normaliser: normalizers.Normalizer) -> Vocabulary:
    """BPE over text with byte fallback, as Gemma's (blanks written as a sign) and Llama 2's (one more in front)."""
    write_vocabulary(folder)
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normaliser
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(WORDS, trainers.BpeTrainer(vocab_size=500, special_tokens=tokens))
    written = json.loads(tokenizer.to_str())
    # The trainer can only add them as added tokens; in a real one they are the model's own.
    written["added_tokens"] = []
    (folder / "tokenizer.json").write_text(json.dumps(written), encoding="utf-8")
    return loaded(folder)


def loaded(folder: Path) -> Vocabulary:
    found = load_vocabulary(folder)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Vocabulary]:
    def composing(tokenizer: Tokenizer) -> None:
        tokenizer.normalizer = normalizers.NFC()

    def swallowing(tokenizer: Tokenizer) -> None:
        tokenizer.add_tokens([AddedToken("<wide>", lstrip=True, rstrip=True)])

    root = tmp_path_factory.mktemp("vocabularies")
    blanks = normalizers.Replace(" ", "\u2581")
    return {
        "bytes": loaded(write_vocabulary(root / "bytes")),
        "NFC": changed(root / "nfc", composing),
        "swallowing": changed(root / "swallowing", swallowing),
        "Gemma": sentencepiece(root / "gemma", blanks),
        "Llama 2": sentencepiece(root / "llama2", normalizers.Sequence([normalizers.Prepend("\u2581"), blanks])),
    }


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", ["bytes", "NFC", "swallowing", "Gemma"])
def test_both_ways_agree_on_any_text(vocabularies: dict[str, Vocabulary], name: str, data: st.DataObject) -> None:
    vocabulary = vocabularies[name]
    known = token_bytes(vocabulary)
    assert known is not None
    text = data.draw(ANYTHING.map(lambda drawn: drawn.replace("Å", " <wide> ") if name == "swallowing" else drawn))
    borders = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    spans = [*zip(borders[0::2], borders[1::2], strict=False)]
    encoding = vocabulary.encode([text])[0]
    quick = known.token_spans(text, encoding.ids, spans)
    assert quick is None or quick == by_offsets(encoding, spans)


@pytest.mark.parametrize("name", ["bytes", "NFC", "Gemma"])
def test_most_text_is_placed_by_its_spelling(vocabularies: dict[str, Vocabulary], name: str) -> None:
    known = token_bytes(vocabularies[name])
    assert known is not None
    for text in (*WORDS, "한국어 언어", "Ça va, où êtes-vous? 😀", "<|im_end|>\n"):
        encoding = vocabularies[name].encode([text])[0]
        assert known.token_spans(text, encoding.ids, [(1, len(text))]) == by_offsets(encoding, [(1, len(text))]), text


@pytest.mark.parametrize(
    ("name", "text"),
    [("NFC", "e\u0301t\u00e9"), ("Gemma", "a \u2581 b"), ("swallowing", "one  <wide>  two")],
    ids=["is composed", "holds the sign itself", "blanks swallowed"],
)
def test_what_does_not_add_up_is_left_to_the_tokenizer(
    vocabularies: dict[str, Vocabulary], name: str, text: str
) -> None:
    known = token_bytes(vocabularies[name])
    assert known is not None
    assert known.token_spans(text, vocabularies[name].encode([text])[0].ids, [(0, len(text))]) is None


def test_a_vocabulary_with_another_normaliser_is_left_to_the_tokenizer(vocabularies: dict[str, Vocabulary]) -> None:
    assert token_bytes(vocabularies["Llama 2"]) is None


@pytest.mark.parametrize("name", ["bytes", "NFC", "swallowing", "Gemma", "Llama 2"])
def test_rows_are_placed_the_same_whichever_way_they_were_encoded(
    vocabularies: dict[str, Vocabulary], name: str
) -> None:
    vocabulary = vocabularies[name]
    encoder = SpanEncoder(vocabulary)
    texts = [f"{WORDS[0]} {number} e\u0301 \u2581 <wide> é" for number in range(CHECKED * 2)]
    for text in [*(WORDS[1] + str(number) for number in range(CHECKED)), *texts]:
        span = [(4, len(text) - 3)]
        assert encoder.of(text, encoder.encode([text])[0], span) == by_offsets(vocabulary.encode([text])[0], span)


def test_offsets_are_not_kept_once_the_spelling_is_proven(vocabularies: dict[str, Vocabulary]) -> None:
    encoder = SpanEncoder(vocabularies["bytes"])
    for _ in range(CHECKED):
        encoding = encoder.encode([WORDS[0]])[0]
        assert encoding.offsets[-1] == (len(WORDS[0]) - 1, len(WORDS[0]))
        encoder.of(WORDS[0], encoding, [(0, 3)])
    assert set(encoder.encode([WORDS[0]])[0].offsets) == {(0, 0)}


def test_a_spelling_that_is_refuted_is_not_used_again(
    vocabularies: dict[str, Vocabulary], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = SpanEncoder(vocabularies["bytes"])
    assert encoder._token_bytes is not None
    monkeypatch.setattr(encoder._token_bytes, "_lengths", [1] * 10_000)
    text = "abc " + WORDS[1]
    for _ in range(CHECKED + 2):
        encoding = encoder.encode([text])[0]
        assert encoder.of(text, encoding, [(2, 9)]) == by_offsets(encoding, [(2, 9)])
    assert encoder._token_bytes is None
