"""Questions with answers, prompts with completions, and plain text, each in columns of its own."""

from __future__ import annotations

from typing import Any

from benchmarks.row_shapes.case import Asked, Case, Outcome, Read, Refused, Row

ASKED = ("u: Q?", "A: Yes.")


def _case(name: str, row: Row, right: Outcome | tuple[str, ...], *more: Row, **settings: Any) -> Case:
    return Case(name, (row, *more), Read(right) if isinstance(right, tuple) else right, **settings)


PAIRS: tuple[Case, ...] = (
    _case("alpaca", {"instruction": "Q?", "input": "", "output": "Yes."}, ASKED),
    _case("alpaca without input", {"instruction": "Q?", "output": "Yes."}, ASKED),
    _case("alpaca with input", {"instruction": "Q?", "input": "Here.", "output": "Yes."}, ("u: Q?\nHere.", "A: Yes.")),
    _case(
        "LLaMA-Factory's alpaca with system and history",
        {"instruction": "Q?", "input": "", "output": "Yes.", "system": "Be brief.", "history": [["One?", "1"]]},
        ("s: Be brief.", "u: One?", "A: 1", "u: Q?", "A: Yes."),
    ),
    _case(
        "alpaca with a history of turns",
        {
            "instruction": "Q?",
            "output": "Yes.",
            "history": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}],
        },
        ("u: One?", "A: 1", "u: Q?", "A: Yes."),
    ),
    _case(
        "LLaMA-Factory's index names the columns",
        {"ask": "Q?", "say": "Yes.", "who": "Be brief."},
        ("s: Be brief.", "u: Q?", "A: Yes."),
        index={"columns": {"prompt": "ask", "response": "say", "system": "who"}},
    ),
    _case("LLaMA-Factory's pre-training", {"text": "A page."}, ("T: A page.",), index={"columns": {"prompt": "text"}}),
    _case("Axolotl's jeopardy", {"question": "Q?", "category": "C", "answer": "Yes."}, ASKED),
    _case("Axolotl's oasst", {"INSTRUCTION": "Q?", "RESPONSE": "Yes."}, ASKED),
    _case(
        "Axolotl's gpteacher", {"instruction": "Q?", "input": "Here.", "response": "Yes."}, ("u: Q?\nHere.", "A: Yes.")
    ),
    _case(
        "Axolotl's reflection",
        {"instruction": "Q?", "input": "", "output": "Yes.", "reflection": "Hm.", "corrected": "No."},
        Read(ASKED, told="'corrected' is not read"),
    ),
    _case(
        "Axolotl's explainchoice",
        {"question": "Q?", "choices": ["a", "b"], "solution": "Yes.", "explanation": "Since."},
        Read(ASKED, told="'choices' is not read"),
    ),
    _case("Axolotl's summarizetldr", {"article": "Q?", "summary": "Yes."}, ASKED),
    _case(
        "Axolotl's camel_ai",
        {"message_1": "Q? Tell me.", "message_2": "Yes, it is."},
        Asked("columns", ("u: Q? Tell me.", "A: Yes, it is.")),
    ),
    _case(
        "Axolotl's open_orca",
        {"system_prompt": "Be brief.", "question": "Q?", "response": "Yes."},
        ("s: Be brief.", "u: Q?", "A: Yes."),
    ),
    _case(
        "Axolotl's context_qa", {"article": "Here.", "question": "Q?", "answer": "Yes."}, ("u: Q?\nHere.", "A: Yes.")
    ),
    _case(
        "Axolotl's context_qa v2", {"context": "Here.", "question": "Q?", "answer": "Yes."}, ("u: Q?\nHere.", "A: Yes.")
    ),
    _case(
        "Axolotl's context_qa without answers",
        {"article": "A long story.", "unanswerable_question": "What is it?"},
        Asked("columns"),
    ),
    _case(
        "Axolotl's creative_acr, answers and their revision",
        {"instruction": "Q?", "answer": "Yes.", "critiques": "Hm.", "revision": "No."},
        Read(ASKED, told="'revision' is not read"),
    ),
    _case("Axolotl's metharme", {"prompt": "Q?", "generation": "Yes."}, ASKED),
    _case("prompt and response", {"prompt": "Q?", "response": "Yes."}, ASKED),
    _case(
        "Dolly",
        {"instruction": "Q?", "context": "Here.", "response": "Yes.", "category": "qa"},
        ("u: Q?\nHere.", "A: Yes."),
    ),
    _case("query and answer", {"query": "Q?", "answer": "Yes."}, ASKED),
    _case("inputs and targets (FLAN)", {"inputs": "Q?", "targets": "Yes.", "task": "t"}, ASKED),
    _case("problem and solution (MATH)", {"problem": "Q?", "solution": "Yes.", "level": "5"}, ASKED),
    _case("a number for an answer", {"question": "2 + 2", "answer": 4}, ("u: 2 + 2", "A: 4")),
    _case("article and highlights", {"article": "Q?", "highlights": "Yes.", "id": "1"}, ASKED),
    _case("dialogue and summary", {"dialogue": "Q?", "summary": "Yes."}, ASKED),
    _case("source and target", {"source": "Q?", "target": "Yes."}, ASKED),
    _case("user and assistant as columns", {"user": "Q?", "assistant": "Yes."}, ASKED),
    _case(
        "a system message under Gemini's name",
        {"systemInstruction": "Be brief.", "prompt": "Q?", "response": "Yes."},
        ("s: Be brief.", "u: Q?", "A: Yes."),
    ),
    _case(
        "question and answer in German, in a spreadsheet with empty rows",
        {"Frage": "Was ist Moos?", "Antwort": "Eine Pflanze.", "Notiz": "x"},
        Asked("columns", ("u: Was ist Moos?", "A: Eine Pflanze.")),
        {"Frage": "", "Antwort": "", "Notiz": ""},
        {"Frage": "Was ist Zinn?", "Antwort": "Ein Metall.", "Notiz": "y"},
        kind="csv",
    ),
    _case(
        "question and answer in Chinese",
        {"问题": "苔藓是什么?", "答案": "一种植物。"},
        Asked("columns", ("u: 苔藓是什么?", "A: 一种植物。")),
    ),
    _case(
        "columns of no known name, answered the other way",
        {"left side": "Yes, it is.", "right side": "Q? Tell me."},
        Asked("columns", ("u: Q? Tell me.", "A: Yes, it is."), answer=1),
    ),
    _case(
        "columns that the person names",
        {"l": "Q?", "r": "Yes."},
        ASKED,
        settings={"columns": {"instruction": "l", "output": "r"}},
    ),
    _case("TRL's prompt-completion", {"prompt": "The sky is", "completion": " blue."}, ("p: The sky is", "C:  blue.")),
    _case(
        "prompt-completion with a system column",
        {"prompt": "The sky is", "completion": " blue.", "system": "Be brief."},
        Read(("p: The sky is", "C:  blue."), told="'system' is not read"),
    ),
    _case(
        "prompt and completion as a chat, when the person says so",
        {"prompt": "Q?", "completion": "Yes."},
        ASKED,
        settings={"format": "alpaca", "columns": {"instruction": "prompt", "output": "completion"}},
    ),
    _case("TRL's language modeling", {"text": "The sky is blue."}, ("T: The sky is blue.",)),
    _case("text with what it is about", {"title": "x", "url": "y", "text": "A page."}, ("T: A page.",)),
    _case("content", {"content": "A page.", "id": 1}, ("T: A page.",)),
    _case("one column of text", {"sentence": "A page."}, ("T: A page.",)),
    _case("a text file", {"text": "A page."}, ("T: A page.",), kind="txt"),
    _case(
        "text with a class (sentiment)",
        {"text": "So good.", "label": 1},
        ("T: So good.",),
        {"text": "So bad.", "label": 0},
    ),
    _case("TRL's prompt-only", {"prompt": "The sky is"}, Refused("questions without answers")),
    _case("questions alone", {"question": "Q?"}, Refused("questions without answers")),
    _case("alpaca as a JSON list", {"instruction": "Q?", "output": "Yes."}, ASKED, kind="json"),
    _case("alpaca as a table", {"instruction": "Q?", "input": "", "output": "Yes."}, ASKED, kind="csv"),
    _case("alpaca with tabs", {"instruction": "Q?", "output": "Yes."}, ASKED, kind="tsv"),
    _case("alpaca as Parquet", {"instruction": "Q?", "input": None, "output": "Yes."}, ASKED, kind="parquet"),
    _case("alpaca as Arrow", {"instruction": "Q?", "output": "Yes."}, ASKED, kind="arrow"),
    _case("an answer that is null", {"instruction": "Q?", "output": None}, Refused("column 'output' is null")),
    _case("an answer that is a list", {"instruction": "Q?", "output": ["Yes."]}, Refused("column 'output' is a list")),
)
