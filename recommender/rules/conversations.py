"""Rules for rendering conversations: template, its switches, place of the reasoning, and answers trained on."""

from __future__ import annotations

from recommender.rules.base import Context, PricedContext, Reasons, Rule, Values
from recommender.rules.reason import Reason

_ANSWERS = {
    "all": "Every answer of a conversation is trained, in one row.",
    "last": "The last answer of each conversation is trained; earlier ones are its context.",
    "each": "Each answer is the last of a row of its own, as the model is asked for it: earlier turns are read again "
    "for every one, which takes longer.",
}
_REASONING = {
    "auto": "Reasoning stays as the rows have it. Where the chat template leaves it out, you are asked.",
    "keep": "Reasoning is trained as the rows have it, also where the chat template would leave it out.",
    "drop": "Reasoning is taken out of the answers.",
    "split": "Reasoning between tags is given to the chat template where it reads reasoning.",
}


def conversations(context: Context) -> Values:
    """Settings of conversations as the data was read: none is decided for the person."""
    data = context.config.data
    return {
        "data.template": data.template,
        "data.chat_template_kwargs": data.chat_template_kwargs,
        "data.reasoning": data.reasoning,
        "data.answers": data.answers,
    }


def explain_conversations(context: PricedContext, _: Values) -> Reasons:
    """Return the effect of each of these values on the rows."""
    data, profile = context.config.data, context.data
    used = profile.template if profile is not None else ""
    if used in {"", "none"}:
        template = "The rows are no conversations, or none are at hand: no chat template is used."
    elif used == "model":
        template = "The model's own chat template, which it is asked with."
    elif used.startswith("trl:"):
        template = "TRL's training template, made from the model's own: it keeps what that leaves out of earlier turns."
    else:
        template = f"The template {used}."
    switches = data.chat_template_kwargs
    names = ", ".join(f"{name} {value}" for name, value in switches.items())
    variables = (
        f"The chat template is given {names}; give it the same when you ask the tuned model." if switches else ""
    )
    return {
        "data.template": Reason(data.template, template, "Transformers, chat templates", "high"),
        "data.chat_template_kwargs": Reason(
            switches, variables or "The chat template's switches stay as it sets them.", "Transformers", "high"
        ),
        "data.reasoning": Reason(data.reasoning, _REASONING[data.reasoning], "your rows", "high"),
        "data.answers": Reason(data.answers, _ANSWERS[data.answers], "your rows", "high"),
    }


RULES = (
    Rule(
        "conversations",
        ("data.template", "data.chat_template_kwargs", "data.reasoning", "data.answers"),
        conversations,
        explain_conversations,
    ),
)
