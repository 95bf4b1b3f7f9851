"""Twenty conversations of as many kinds, for `templates.py`: every piece of text has words that stand nowhere else."""

from __future__ import annotations

from typing import Any

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "measure_depth",
            "description": "Depth of a lake.",
            "parameters": {
                "type": "object",
                "properties": {"lake": {"type": "string", "description": "Its name."}, "unit": {"type": "string"}},
                "required": ["lake"],
            },
        },
    }
]


def user(content: str) -> dict[str, Any]:
    """A question."""
    return {"role": "user", "content": content}


def said(content: str, **more: Any) -> dict[str, Any]:
    """An answer."""
    return {"role": "assistant", "content": content, **more}


def call(number: int, **arguments: Any) -> dict[str, Any]:
    """A function call."""
    function = {"name": "measure_depth", "arguments": arguments}
    return {"id": f"call0000{number}", "type": "function", "function": function}


def result(number: int, content: str) -> dict[str, Any]:
    """The message with a function's result."""
    return {"role": "tool", "content": content, "tool_call_id": f"call0000{number}", "name": "measure_depth"}


SYSTEM = {"role": "system", "content": "Speak like a quayside clerk."}
THOUGHT = "<think>\nGannet then plover, counted twice.\n</think>\n\n"
LATER = "<think>\nDunlin needs no counting.\n</think>\n\n"

ROWS: dict[str, dict[str, Any]] = {
    "one answer": {"messages": [user("Which harbour?"), said("Oban, by the pier.")]},
    "two answers": {
        "messages": [user("Which harbour?"), said("Oban, by the pier."), user("And tides?"), said("Noon ebb.")]
    },
    "three answers": {
        "messages": [user("Bird?"), said("Heron."), user("Tree?"), said("Alder."), user("Stone?"), said("Flint.")]
    },
    "system": {"messages": [SYSTEM, user("Which harbour?"), said("Oban, by the pier.")]},
    "system, two answers": {
        "messages": [SYSTEM, user("Which harbour?"), said("Oban."), user("And tides?"), said("Noon ebb.")]
    },
    "reasoning in the text": {"messages": [user("How many?"), said(THOUGHT + "Seventeen birds.")]},
    "reasoning in the text, two answers": {
        "messages": [user("How many?"), said(THOUGHT + "Seventeen birds."), user("Twice?"), said(LATER + "Thirtyfour.")]
    },
    "reasoning of its own": {
        "messages": [user("How many?"), said("Seventeen birds.", reasoning_content="Gannet then plover.")]
    },
    "reasoning of its own, two answers": {
        "messages": [
            user("How many?"),
            said("Seventeen birds.", reasoning_content="Gannet then plover."),
            user("Twice?"),
            said("Thirtyfour.", reasoning_content="Dunlin needs nothing."),
        ]
    },
    "call": {
        "messages": [
            user("How deep?"),
            said("", tool_calls=[call(1, lake="Mjosa")]),
            result(1, "453 m"),
            said("Fathoms: plenty."),
        ],
        "tools": TOOLS,
    },
    "call beside text": {
        "messages": [
            user("How deep?"),
            said("Sounding first.", tool_calls=[call(1, lake="Mjosa")]),
            result(1, "453 m"),
            said("Fathoms: plenty."),
        ],
        "tools": TOOLS,
    },
    "call behind reasoning": {
        "messages": [
            user("How deep?"),
            said("", reasoning_content="Gannet says sound it.", tool_calls=[call(1, lake="Mjosa")]),
            result(1, "453 m"),
            said("Fathoms: plenty.", reasoning_content="Dunlin agrees."),
        ],
        "tools": TOOLS,
    },
    "call at the end": {
        "messages": [user("How deep?"), said("", tool_calls=[call(1, lake="Mjosa", unit="ells")])],
        "tools": TOOLS,
    },
    "two calls in turn": {
        "messages": [
            user("How deep?"),
            said("", tool_calls=[call(1, lake="Mjosa")]),
            result(1, "453 m"),
            said("", tool_calls=[call(2, lake="Vanern", unit="ells")]),
            result(2, "106 m"),
            said("Fathoms: plenty."),
        ],
        "tools": TOOLS,
    },
    "two calls at once": {
        "messages": [
            user("How deep?"),
            said("", tool_calls=[call(1, lake="Mjosa"), call(2, lake="Vanern")]),
            result(1, "453 m"),
            result(2, "106 m"),
            said("Fathoms: plenty."),
        ],
        "tools": TOOLS,
    },
    "two answers in a row": {"messages": [user("Two facts?"), said("Slate splits."), said("Kelp floats.")]},
    "an answer that is context": {
        "messages": [
            user("Which harbour?"),
            said("Never trained.", train=False),
            user("And tides?"),
            said("Noon ebb."),
        ]
    },
    "an empty answer": {
        "messages": [user("Which harbour?"), said(""), user("And tides?"), said("Noon ebb.")],
    },
    "other scripts and blanks": {
        "messages": [
            user("¿Dónde? 港はどこ?\n\n  "),
            said("  Трехмачтовый 帆船 🛶 – naïve.\n\n```py\nfathom = 6\n```\n"),
            user("Ἀνάγνωσις?"),
            said("سفينة كبيرة.\n"),
        ]
    },
    "signs of templates in the text": {
        "messages": [
            user("Explain {{ messages }} and <b>."),
            said('It is {% for %} & "quoted" <i>markup</i>: a \\ b.'),
            user("And <tool_response>x</tool_response>?"),
            said("Plain markup, newt."),
        ]
    },
}
"""Kind to row."""
