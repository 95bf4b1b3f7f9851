"""Every kind of row that data sets have, read as a person's file would be, against what is right, written by hand.

`python -m benchmarks.shapes` prints right or wrong for each and exits 1 where one is wrong.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.row_shapes.case import Asked, Case, Read, Refused
from benchmarks.row_shapes.compared import COMPARED
from benchmarks.row_shapes.conversations import CONVERSATIONS
from benchmarks.row_shapes.other import OTHER
from benchmarks.row_shapes.pairs import PAIRS
from benchmarks.row_shapes.tools import TOOLS
from presets.errors import WizardError
from presets.questions import QuestionError
from recommender.config.schema import Data
from recommender.data.dataset import DataSet
from recommender.data.formats.examples import Chat, Example, Message, Pair
from recommender.data.load import profile_data
from recommender.warning import texts

CASES: tuple[Case, ...] = (*PAIRS, *CONVERSATIONS, *TOOLS, *COMPARED, *OTHER)


def wrong(case: Case, folder: Path) -> str:
    """The wrong result of reading a case, as text; empty where it is the expected one.

    Args:
        case: The rows, and what is right.
        folder: An empty one to write them into.
    """
    told = {"train": [case.write(folder)], **case.settings}
    try:
        found = _told(profile_data(Data.model_validate(told), model=None), case.right)
    except QuestionError as error:
        found = _answered(error, told, case.right)
    except WizardError as error:
        found = Refused(f"{error.message} {error.remedy}")
    if isinstance(case.right, Refused) and isinstance(found, Refused) and case.right.reason in found.reason:
        return ""
    return "" if found == case.right else str(found)


def _told(dataset: DataSet, right: Any) -> Any:
    """The result of reading a case; a stop is a refusal, and of the warnings only the expected one is kept."""
    if dataset.profile.stops:
        return Refused(" ".join(texts(dataset.profile.stops)))
    example = dataset.example(0)
    wanted = right.told if isinstance(right, Read) else ""
    warned = any(wanted in warning for warning in texts(dataset.profile.warnings))
    tools = tuple(str(tool["function"].get("name")) for tool in example.tools) if isinstance(example, Chat) else ()
    return Read(said(example), tools, wanted if warned else "")


def _answered(error: QuestionError, told: dict[str, Any], right: Any) -> Any:
    """The question, and what its answer makes of the rows."""
    if not isinstance(right, Asked) or not right.says:
        return Asked(error.question.code)
    answer = {key.removeprefix("data."): held for key, held in error.question.choices[right.answer].set.items()}
    dataset = profile_data(Data.model_validate({**told, **answer}), model=None)
    return Asked(error.question.code, said(dataset.example(0)), right.answer)


def said(example: Example) -> tuple[str, ...]:
    """An example as the cases write it; see `Read`."""
    if isinstance(example, Chat):
        return tuple(map(_turn, example.messages))
    if isinstance(example, Pair):
        return f"p: {example.prompt}", f"C: {example.completion}"
    return (f"T: {example.text}",)


def _turn(turn: Message) -> str:
    marks = {"user": "u", "system": "s", "tool": "t", "assistant": "A" if turn.train else "a"}
    reasoning = f" ({turn.extra['reasoning_content']})" if turn.extra.get("reasoning_content") else ""
    calls = [call["function"] for call in turn.extra.get("tool_calls", ())]
    called = "".join(f" [{call['name']} {json.dumps(call['arguments'], ensure_ascii=False)}]" for call in calls)
    return f"{marks.get(turn.role, turn.role)}: {turn.content}{reasoning}{called}"


def main(cases: Sequence[Case] = CASES) -> int:
    """Try every case, and print a line for each."""
    failed = 0
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            found = wrong(case, Path(folder))
        failed += bool(found)
        print(f"{'wrong' if found else 'right'}  {case.name}: {case.right}")
        if found:
            print(f"       found: {found}")
    read, asked, refused = (sum(isinstance(case.right, kind) for case in cases) for kind in (Read, Asked, Refused))
    print(f"{len(cases) - failed} of {len(cases)} right: {read} read, {asked} asked, {refused} refused")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
