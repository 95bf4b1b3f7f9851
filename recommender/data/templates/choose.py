"""Choice of the chat template, with its reason: the model's own, a family's, or one that the person gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from presets.errors import InputError
from presets.templates import FamilyTemplate, load_templates
from recommender.data.sources.files import nearest
from recommender.data.templates.trl import PREFIX, training_template
from recommender.data.tokens.vocabulary import Vocabulary
from recommender.paths import expanded


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A chat template as it will be used."""

    name: str
    """'model', a family's name, trl:NAME, or the file's."""
    source: str
    """Jinja source."""
    with_tools: str = ""
    """Another source for conversations with tools, where the model has one."""
    warning: str = ""
    """The warning about the choice."""
    new_tokens: tuple[str, ...] = ()
    """Special tokens that it writes and that a base model may never have trained."""
    asks_with: str = ""
    """Source of the template that the tuned model is asked with, where that is another: the model's own."""

    @property
    def saved(self) -> str:
        """The template of the tokenizer that is saved beside the adapter."""
        return self.asks_with or self.source


def choose_template(
    wanted: str, vocabulary: Vocabulary, *, model_type: str = "", base: Path | None = None
) -> ChatTemplate:
    """The template for a model's tokenizer.

    Args:
        wanted: `data.template`: 'auto', 'model', a family's name, trl:NAME, or a Jinja file.
        vocabulary: The model's tokenizer with its own templates.
        model_type: Architecture, which says which family is tried first.
        base: Where a relative file name starts.

    Raises:
        InputError: No such template, or one whose special tokens the vocabulary lacks.
    """
    own = vocabulary.templates
    if wanted in {"auto", "model"} and own:
        name = "default" if "default" in own else next(iter(own))
        return ChatTemplate("model", own[name], own.get("tool_use", ""))
    if wanted == "model":
        raise InputError(
            f"The model in {vocabulary.folder} has no chat template of its own.",
            remedy=f"Use data.template auto, one of {', '.join(load_templates())}, or a Jinja file.",
        )
    if wanted.startswith(PREFIX):
        source = training_template(wanted.removeprefix(PREFIX))
        return ChatTemplate(wanted, source, asks_with=own.get("default", ""))
    if wanted == "auto":
        return _family_for(vocabulary, model_type)
    family = load_templates().get(wanted)
    if family is None:
        return _from_file(wanted, base)
    missing = _missing(family, vocabulary)
    if missing:
        raise InputError(
            f"The template {family.name} needs the token {missing[0]}, which this model's vocabulary lacks.",
            remedy="Use data.template auto, or alpaca, which needs no special token.",
        )
    return _adapted(family, vocabulary, "")


def _missing(family: FamilyTemplate, vocabulary: Vocabulary) -> list[str]:
    return [token for token in family.needs if vocabulary.id_of(token) is None]


def _family_for(vocabulary: Vocabulary, model_type: str) -> ChatTemplate:
    """The family of this architecture first, then whichever has its special tokens in the vocabulary."""
    families = sorted(load_templates().values(), key=lambda family: model_type not in family.model_types)
    family = next(family for family in families if not _missing(family, vocabulary))
    if not family.needs:
        warning = (
            "The model has no chat template: questions and answers are written under plain headings (alpaca). "
            "Use the same headings when you ask the tuned model."
        )
    else:
        warning = (
            f"The model has no chat template: the {family.name} template is used, because its tokens "
            f"({', '.join(family.needs)}) are in the vocabulary. A base model may never have trained them; if answers "
            "do not end, train embed_tokens too (lora.modules_to_save) or use data.template alpaca."
        )
    return replace(_adapted(family, vocabulary, warning), new_tokens=tuple(family.needs))


def _adapted(family: FamilyTemplate, vocabulary: Vocabulary, warning: str) -> ChatTemplate:
    """With the BOS token in front where this tokenizer puts one before plain text, so that nobody adds it twice."""
    source = family.template
    if vocabulary.prefix and "bos_token" not in source:
        source = "{{- bos_token -}}\n" + source
    return ChatTemplate(family.name, source, warning=warning)


def _from_file(wanted: str, base: Path | None) -> ChatTemplate:
    path = (base or Path()) / expanded(wanted)
    try:
        return ChatTemplate(path.name, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"The template {path} is not UTF-8.", remedy="Save it as UTF-8.") from error
    except OSError as error:
        near = nearest(wanted, [*load_templates(), "auto", "model"])
        raise InputError(
            f"There is no chat template '{wanted}': neither a family's name nor a file that can be read.",
            remedy=f"Did you mean '{near}'?"
            if near
            else f"Names are auto, model, {', '.join(load_templates())}, and {PREFIX}NAME.",
        ) from error
