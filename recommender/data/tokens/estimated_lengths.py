"""Token lengths without a tokenizer: an estimate from the text, said as such.

Rules of thumb: about 4 characters of English a token (OpenAI's help pages), 0.6 token a Chinese character (DeepSeek's
API documentation, 'Token usage'), and half a token for any other letter outside ASCII. Around each turn a template
writes up to six tokens (Llama 3: start, role, end, two line ends, end of turn), and around the whole conversation what
`presets/template_tokens.yaml` has for its family.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from math import ceil

from recommender.data.formats.examples import Chat, Example, Pair, Text
from recommender.data.tokens.tokenise import Measured, Piece, TrainOn

TOKENS_PER_ASCII = 1 / 4
TOKENS_PER_CJK = 0.6
TOKENS_PER_OTHER = 1 / 2
TOKENS_BEFORE_TURN = 4
TOKENS_BEHIND_TURN = 2
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


def tokens_in(text: str) -> int:
    """About how many tokens a text has."""
    if text.isascii():
        return ceil(len(text) * TOKENS_PER_ASCII)
    ascii_signs = len(text.encode("ascii", "ignore"))
    cjk = len(_CJK.findall(text))
    other = len(text) - ascii_signs - cjk
    return ceil(ascii_signs * TOKENS_PER_ASCII + cjk * TOKENS_PER_CJK + other * TOKENS_PER_OTHER)


def estimated_pieces(example: Example, train_on: TrainOn, around: int = 0) -> list[tuple[str, int, bool]]:
    """Parts of a row: text, about how many tokens, and whether they are trained."""
    everything = train_on == "all"
    match example:
        case Text():
            return [(example.text, tokens_in(example.text) + 1, bool(example.text.strip()))]
        case Pair():
            answered = bool(example.completion.strip())
            return [
                (example.prompt, tokens_in(example.prompt), everything and answered),
                (example.completion, tokens_in(example.completion) + 1, answered),
            ]
        case Chat():
            parts = [("", around, everything)] if around else []
            if example.tools:
                described = json.dumps(list(example.tools), ensure_ascii=False)
                parts.append((described, tokens_in(described), everything))
            for turn in example.messages:
                calls = turn.extra.get("tool_calls")
                said = turn.content + (json.dumps(calls, ensure_ascii=False) if calls else "")
                answer = turn.role == "assistant" and turn.train and not turn.empty
                parts.append((f"{turn.role}: ", TOKENS_BEFORE_TURN, everything))
                parts.append((said, tokens_in(said) + 1, everything or answer))
                parts.append(("\n", TOKENS_BEHIND_TURN - 1, everything))
            return parts


def estimate_row(example: Example, train_on: TrainOn, around: int = 0) -> Measured:
    """Estimated length and trained spans of a row."""
    position = 0
    spans: list[int] = []
    for _, tokens, trained in estimated_pieces(example, train_on, around):
        if trained and tokens:
            spans += [position, position + tokens]
        position += tokens
    return Measured(length=position, spans=tuple(spans), method="estimate")


def estimated_sample(example: Example, train_on: TrainOn, max_length: int, around: int = 0) -> tuple[Piece, ...]:
    """The parts of a row as the screen shows them: no ids, cut where the estimate says."""
    position = 0
    found = []
    for text, tokens, trained in estimated_pieces(example, train_on, around):
        kept = len(text) if position + tokens <= max_length else max(0, len(text) * (max_length - position) // tokens)
        found += [Piece(text[:kept], None, trained, False, False)] if kept else []
        found += [Piece(text[kept:], None, trained, False, True)] if kept < len(text) else []
        position += tokens
    return tuple(found)


def measure_without_tokenizer(examples: Sequence[Example], train_on: TrainOn, around: int = 0) -> list[Measured]:
    """Estimates for a batch of rows.

    Args:
        examples: The rows.
        train_on: Which tokens the loss sees.
        around: Tokens that the chat template writes around each conversation.
    """
    return [estimate_row(example, train_on, around) for example in examples]
