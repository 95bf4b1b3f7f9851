"""Public chat templates on twenty conversations: `python -m benchmarks.templates [FOLDER …]`.

TRL's templates are taken from the installed package; folders with others' (llama.cpp's models/templates, Axolotl's
src/axolotl/utils/chat_templates/templates) are given. Each template gets a byte-level vocabulary with its own special
tokens, and each of `template_rows` an outcome:

- exact: every word of the answers is trained, nothing else, and where generation will stand.
- asked: reasoning would be lost, so the person is asked; under the first way that is offered it is not.
- warned: what is lost or stands elsewhere is told.
- refused: with the template's own words, or because an answer cannot be found exactly.

Whether words are lost or trained that should not be is looked up in the text itself, not by the code that tells it.
For each template of which TRL has a training twin, spans that are found without the twin's generation marks are held
against those marks, as Transformers reads them. Exits 1 when anything is lost in silence or a difference has no reason.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.template_rows import ROWS
from recommender.config.schema import Data
from recommender.data.formats.examples import NOT_FOUND, Chat, RowProblem
from recommender.data.formats.normalise import normalise
from recommender.data.formats.recognise import recognise
from recommender.data.templates.alternatives import ways
from recommender.data.templates.choose import ChatTemplate
from recommender.data.templates.reasoning import answer_of, reasoning_of
from recommender.data.templates.trl import folder, training_templates
from recommender.data.tokens.answer_spans import RenderedChat, TurnFinder
from recommender.data.tokens.vocabulary import Vocabulary, load_vocabulary
from tests.fixtures.vocabularies import write_vocabulary

SPECIAL = re.compile(
    r"<\|[^|<>\s{}'\"]+\|>|<｜[^｜<>]+｜>|<(?:start|end)_of_turn>|<end_of_utterance>|<\|?turn\|?>|<\|?channel\|?>|\[/?(?:INST|SYSTEM_PROMPT|"
    r"THINK|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS)\]|</?s>|</?tool_call>|</?think>|\[e~\[|\]~b\]|<SPECIAL_\d+>|</?seed:\w+>|\[\|\w+\|\]|<sep>"
)
"""Special tokens in the sources of templates."""
ENDS = (
    "<｜end▁of▁sentence｜>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "<|return|>", "<|assistant_end|>",
    "<|END_OF_TURN_TOKEN|>", "<end_of_utterance>",
    "<|end|>", "<|eot|>", "<|eom|>", "<|end_of_text|>", "[e~[", "<seed:eos>",
    "[|endofturn|]", "<｜hy_eos:opensource｜>", "<SPECIAL_12>", "<sep>", "<|endoftext|>", "</s>",
)  # fmt: skip
"""Tokens that end an answer, the first that a template has; models' own files say it, which are not at hand here."""
STOPS = {
    "<|user|>": ("glm",),
    "<|observation|>": ("glm",),
    "<|call|>": ("gpt-oss", "gptoss"),
    "<|calls|>": ("solar",),
    "<|eom_id|>": ("functionary",),
    "<|tool_response>": ("gemma4", "gemma-4", "diffusion_gemma"),
}
"""Further tokens at which generation stops, by a part of the template's name."""


EMPTY = re.compile(r"\A\s*(?:<think>)?\s*</think>")
"""The beginning of a trained answer with empty reasoning."""
GIVEN = re.compile(r"</think>\s*\Z")
"""The end of a prompt that already ends the reasoning."""
LINE_END = "the line end behind the end-of-turn token: generation has stopped"
STOPS_BEHIND = "ours trains the token behind the answer too: generation stops there"
GOES_ON = "the token behind the answer: generation does not stop there, so the model would go on"
HEADER_ASKED = "the header that asks for an answer: it is given, not generated"
HEADER_UNASKED = "ours trains a header that the template does not ask with at this place"
MOVED = "text beside a call, which the template moves behind the call's result: told as not trained"


class Outcome(NamedTuple):
    """The outcome of one conversation under one template."""

    kind: str
    """exact, asked, warned, refused or SILENT."""
    why: str = ""


def vocabulary_for(source: str, name: str, place: Path) -> Vocabulary:
    """A vocabulary with a template's special tokens."""
    special = list(dict.fromkeys(SPECIAL.findall(source)))
    if "apertus" in name.lower():  # these two put them together from variables
        special += ["<|assistant_start|>", "<|assistant_end|>", "<|user_start|>", "<|user_end|>"]
    if "hy3" in name.lower():
        special += [f"<｜hy_{part}:opensource｜>" for part in ("begin_of_sentence", "User", "Assistant", "eos")]
        special += ["<think:opensource>", "</think:opensource>", "<tool_calls:opensource>", "</tool_calls:opensource>"]
    end = next((token for token in ENDS if token in special), "</s>")
    if "glm" in name.lower():
        end = "<|endoftext|>"
    more = ["<|eot|>"] if "muse" in name else []
    more += [token for token, families in STOPS.items() if any(family in name.lower() for family in families)]
    tokens = list(dict.fromkeys([*special, *more, end]))
    made = write_vocabulary(
        place, special=tokens, bos="<s>" if "<s>" in tokens else "<|bos|>", eos=end, template=source
    )
    found = load_vocabulary(made)
    assert found is not None
    found.stop_ids = {index for token in (end, *more) if (index := found.id_of(token)) is not None}
    return found


def conversations() -> dict[str, Chat]:
    """The rows as they are read from a file."""
    shape = recognise(list(ROWS.values()), where="rows")
    found = {name: normalise(row, shape) for name, row in ROWS.items()}
    return {name: chat for name, chat in found.items() if isinstance(chat, Chat)}


def words(text: str) -> set[str]:
    """Its words of four letters and more, numbers too, whatever stands around them."""
    return {word for word in re.findall(r"\w+", text) if len(word) > 3 or word.isdigit()}


def wanted_words(chat: Chat) -> set[str]:
    """Words of the answers that are to be trained."""
    found: set[str] = set()
    for turn in chat.messages:
        if turn.role == "assistant" and turn.train:
            found |= words(reasoning_of(turn)) | words(answer_of(turn))
            for call in turn.extra.get("tool_calls") or ():
                found |= words(str(list(call["function"]["arguments"].values())))
    return found


def other_words(chat: Chat) -> set[str]:
    """Words of turns that are not trained."""
    rest = [turn.content for turn in chat.messages if turn.role != "assistant" or not turn.train]
    return set().union(*map(words, rest)) - wanted_words(chat)


def outcome(turns: TurnFinder, chat: Chat, *, offers: bool = True) -> Outcome:
    """The outcome of a conversation by its warnings and its trained text; a question's first choice is named."""
    try:
        row = turns.render(chat)
    except RowProblem as problem:
        return Outcome("refused", problem.reason)
    trained = "\n".join(row.text[start:end] for start, end in row.spans)
    missing, extra = wanted_words(chat) - words(trained), other_words(chat) & words(trained)
    if extra:
        return Outcome("SILENT", f"trains {sorted(extra)}")
    if missing and not (row.lost.reasoning or row.lost.text):
        return Outcome("SILENT", f"loses {sorted(missing)}")
    if not row.empty_reasoning and _empty_untold(turns, chat, row):
        return Outcome("SILENT", "trains reasoning that holds nothing")
    if row.lost.reasoning:
        tried = [chat] if offers else []
        offered = ways(turns, Data(), tried, lambda row: not (row.lost.reasoning or row.lost.text))
        return Outcome("asked", next((choice.said for choice in offered), "data.reasoning: drop"))
    told = _told(row)
    return Outcome("warned", ", ".join(told)) if told else Outcome("exact")


def _empty_untold(turns: TurnFinder, chat: Chat, row: RenderedChat) -> bool:
    """Whether an empty reasoning block is trained that neither the row nor the prompt has, and nothing tells of it."""
    if row.unasked or any(reasoning_of(turn) for turn in chat.messages) or GIVEN.search(turns.prompt(chat)):
        return False
    return any(EMPTY.match(row.text[start:end]) for start, end in row.spans)


def _told(row: RenderedChat) -> list[str]:
    """The warnings that the person gets for a row."""
    found = {
        "text is lost": row.lost.text,
        "asked otherwise": row.unasked,
        "reasoning as text": row.inline,
        "empty reasoning": row.empty_reasoning,
        "no end-of-turn token": row.ended < row.answers,
    }
    return [what for what, holds in found.items() if holds]


def against_twin(name: str, chats: dict[str, Chat], place: Path) -> Iterator[tuple[str, str]]:
    """Conversations in which spans found without a twin's marks are other than the marks, with the reason."""
    from transformers.utils.chat_template_utils import render_jinja_template

    marked = training_templates()[name].read_text(encoding="utf-8")
    bare = without_marks(marked)
    vocabulary = vocabulary_for(bare, name, place)
    turns = TurnFinder(ChatTemplate("model", bare), vocabulary)
    for kind, chat in chats.items():
        if not all(turn.train and not turn.empty for turn in chat.messages if turn.role == "assistant"):
            continue  # marks know nothing of answers that are context
        try:
            row = turns.render(chat)
            messages = [turns.habits.given(turn.for_template()) for turn in turns.given(chat)]
            tools = list(chat.tools) if chat.tools and turns.habits.takes_tools else None
            texts, marks = render_jinja_template(
                [messages], tools=tools, chat_template=marked, return_assistant_tokens_mask=True,
                **{"bos_token": "", "eos_token": "", **vocabulary.special_tokens},
            )  # fmt: skip
        except Exception as problem:  # a template is a program: whatever it trips over refuses the row
            yield kind, f"refused: {problem}"
            continue
        assert texts[0] == row.text, (name, kind)
        yield kind, difference(row.text, row.spans, [(start, end) for start, end in marks[0]], turns)


def without_marks(source: str) -> str:
    """A template without its generation marks."""
    return re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", _blank, source)


def _blank(found: re.Match[str]) -> str:
    """A tag without effect that takes the same blanks."""
    left, right = "-" if "{%-" in found.group() else "", "-" if "-%}" in found.group() else ""
    return f"{{%{left} set _ = 0 {right}%}}"


def difference(text: str, ours: Sequence[tuple[int, int]], marks: Sequence[tuple[int, int]], turns: TurnFinder) -> str:
    """The reasons why spans are other than marks; empty where they are the same, with '?' where there is none."""
    mine = {place for start, end in ours for place in range(start, end)}
    theirs = {place for start, end in marks for place in range(start, end)}
    begins = {start for start, _ in ours}
    reasons: list[str] = []
    for start, end in _runs(theirs ^ mine):
        piece = text[start:end]
        reasons += _ours(piece, turns, first=start in begins) if start in mine else _theirs(piece, text[:start], turns)
    return "; ".join(dict.fromkeys(reasons))


def _ours(piece: str, turns: TurnFinder, *, first: bool) -> Iterator[str]:
    """The reason why we train a piece that is not marked."""
    if piece.strip() in turns.habits.stops:
        yield STOPS_BEHIND
    elif first and piece == turns.habits.opening:
        yield HEADER_UNASKED
    else:
        yield f"? ours {piece!r}"


def _theirs(piece: str, before: str, turns: TurnFinder) -> Iterator[str]:
    """The reason why we do not train a piece that is marked."""
    header, added = turns.habits.prompt_header, turns.vocabulary.added.values()
    while piece.strip():
        token = max((token for token in added if piece.startswith(token)), key=len, default="")
        if header and piece.startswith(header):
            yield HEADER_ASKED
            piece = piece.removeprefix(header)
        elif header.startswith(piece) or header.endswith(piece) or (token == "<think>" and "<think>" in header):
            yield HEADER_ASKED
            return
        elif token and token not in turns.habits.stops:
            yield GOES_ON
            piece = piece.removeprefix(token)
        elif "tool_response" in before[-20:]:
            yield MOVED
            return
        else:
            yield f"? theirs {piece!r} behind {before[-24:]!r}"
            return
    if piece:
        yield LINE_END


def _runs(places: set[int]) -> Iterator[tuple[int, int]]:
    ordered = sorted(places)
    start = None
    for here, following in zip(ordered, [*ordered[1:], None], strict=False):
        start = here if start is None else start
        if following != here + 1:
            yield start, here + 1
            start = None


def sources(folders: Sequence[Path]) -> dict[str, str]:
    """Templates by name, each content once: TRL's own, then those of the folders."""
    own = folder()
    held: dict[str, str] = {}
    for place in [*([own] if own else []), *folders]:
        for path in sorted(place.glob("*.jinja")):
            source = path.read_text(encoding="utf-8")
            if source not in held.values():
                held[f"{'trl' if place == own else place.name}/{path.stem}"] = source
    return held


def main() -> int:
    """Print the outcomes; return 1 when something is lost in silence or differs without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", nargs="*", type=Path, help="folders of .jinja files beside TRL's own")
    parser.add_argument("--only", default="", help="templates whose name holds this")
    parser.add_argument("-v", action="store_true", help="each outcome that is not exact")
    options = parser.parse_args()
    chats, tally, bad = conversations(), Counter[str](), 0
    with tempfile.TemporaryDirectory() as scratch:
        held = {name: source for name, source in sources(options.folders).items() if options.only in name}
        for number, (name, source) in enumerate(held.items()):
            vocabulary = vocabulary_for(source, name, Path(scratch) / str(number))
            turns = TurnFinder(ChatTemplate("model", source), vocabulary)
            for kind, chat in chats.items():
                found = outcome(turns, chat)
                tally[found.kind if found.kind != "refused" else f"refused, {_cause(found.why)}"] += 1
                bad += found.kind == "SILENT"
                if found.kind == "SILENT" or (options.v and found.kind != "exact"):
                    print(f"{name} | {kind} | {found.kind} | {found.why[:150]}")
        print(f"{len(held)} templates × {len(chats)} conversations: {dict(tally)}")
        bad += twins(chats, Path(scratch), options.only, verbose=options.v)
    return 1 if bad else 0


def _cause(why: str) -> str:
    return "not found" if NOT_FOUND in why else "by the template"


def twins(chats: dict[str, Chat], scratch: Path, only: str, *, verbose: bool) -> int:
    """Print how spans compare with the marks of TRL's twins; return differences without a reason."""
    tally, unexplained = Counter[str](), 0
    for name in training_templates():
        if only not in f"trl/{name}":
            continue
        for kind, why in against_twin(name, chats, scratch / f"twin-{name}"):
            tally[
                "refused" if why.startswith("refused") else why if not why.startswith("?") and "? " not in why else "?"
            ] += 1
            unexplained += "? " in why
            if "? " in why or (verbose and why.startswith("refused")):
                print(f"twin {name} | {kind} | {why[:220]}")
    for why, count in tally.most_common():
        print(f"{count:5}  {why or 'the same'}")
    return unexplained


if __name__ == "__main__":
    sys.exit(main())
