"""Say by hand how conversations are written: the keys of a turn, and whom each of the file's words stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tui.screens.popup import PickPopup
from tui.terminal.sanitize import clean
from tui.widgets.pick_list import Pick
from tui.widgets.rows import Row, row
from tui.widgets.text import cell

if TYPE_CHECKING:
    from recommender.data.formats.role_names import RoleMapping, RoleNames
    from tui.wizard.host import WizardHost

TAKE, ROLE, CONTENT, WORD = "take", "role", "content", "word:"
AS_IT_IS = "as it is"


@dataclass(frozen=True, slots=True)
class _Reading:
    """Keys and roles by which the turns would be read."""

    turns: RoleNames
    role: str
    content: str
    speakers: Mapping[str, str]
    """The file's word to the role that it stands for; a word that stands for itself is missing."""

    @property
    def words(self) -> tuple[str, ...]:
        """Words that may say who speaks."""
        return dict(self.turns.words).get(self.role, ())

    def spoken(self) -> dict[str, str]:
        """The names in the form of `data.columns`; nothing where the turns would be read so anyhow."""
        from recommender.data.formats.role_names import RoleMapping, as_columns

        usual = _usual(self.turns, self.role)
        if (self.role, self.content) == self.turns.usual() and self.speakers == usual and self._known_keys:
            return {}
        return as_columns(RoleMapping(self.role, self.content, tuple(self.speakers.items())))

    @property
    def _known_keys(self) -> bool:
        return (self.role, self.content) in {("role", "content"), ("from", "value")}


def _usual(turns: RoleNames, role: str) -> dict[str, str]:
    """Usual meaning of the words under a key, where known."""
    from recommender.data.formats.role_names import SPEAKERS, role_of

    words = dict(turns.words).get(role, ())
    return {word: role_of(word) for word in words if role_of(word) in SPEAKERS}


def ask_speakers(
    wizard: WizardHost, turns: RoleNames, role_mapping: RoleMapping | None, answered: Callable[[dict[str, str]], None]
) -> None:
    """Show how turns would be read; each line can be changed.

    Args:
        wizard: The application.
        turns: How they are written.
        role_mapping: How they are read now, where somebody has said so.
        answered: Told the entries for `data.columns`, unless the person leaves.
    """
    role, content = (role_mapping.role, role_mapping.content) if role_mapping else turns.usual()
    said = dict(role_mapping.speakers) if role_mapping else {}
    _show(wizard, _Reading(turns, role, content, {**_usual(turns, role), **said}), answered, TAKE)


def _show(wizard: WizardHost, reading: _Reading, answered: Callable[[dict[str, str]], None], at: str) -> None:
    unknown = [word for word in reading.words if word not in reading.speakers]

    def build(_width: int, _wanted: str) -> list[Pick]:
        return [
            Pick(TAKE, (row(("→ ", "accent"), ("read the turns so", "bright")),)),
            Pick(ROLE, (_line("who speaks", clean(reading.role)),)),
            Pick(CONTENT, (_line("what is said", clean(reading.content)),)),
            *(
                Pick(WORD + word, (_line(f"'{clean(word)}' is", reading.speakers.get(word, AS_IT_IS)),))
                for word in reading.words
            ),
        ]

    def chosen(key: str | None) -> None:
        if key == TAKE:
            answered(reading.spoken())
        elif key is not None:
            _change(wizard, reading, key, lambda changed: _show(wizard, changed, answered, key))

    start = WORD + unknown[0] if unknown and at == TAKE else at
    screen = PickPopup(
        f"turns of '{clean(reading.turns.column)}': enter changes a line",
        build,
        current=start,
        width=66,
        height=min(18, len(reading.words) + 6),
    )
    wizard.push_screen(screen, chosen)


def _line(what: str, value: str) -> Row:
    return row((cell(what, 26), "label"), (value, "caution" if value == AS_IT_IS else "bright"))


def _change(wizard: WizardHost, reading: _Reading, key: str, changed: Callable[[_Reading], None]) -> None:
    """Ask for another value of one line."""
    from recommender.data.formats.role_names import SPEAKERS

    word = key.removeprefix(WORD)
    if key in {ROLE, CONTENT}:
        titles = {ROLE: "which key says who speaks?", CONTENT: "which key holds what is said?"}
        options, title, current = list(reading.turns.keys), titles[key], getattr(reading, key)
    else:
        options, title = [*SPEAKERS, AS_IT_IS], f"who is '{clean(word)}'?"
        current = reading.speakers.get(word, AS_IT_IS)

    def build(_width: int, _wanted: str) -> list[Pick]:
        return [Pick(option, (row((clean(option), "bright")),)) for option in options]

    def answered(option: str | None) -> None:
        changed(reading if option is None else _with(reading, key, option))

    wizard.push_screen(PickPopup(title, build, current=current, width=50, height=min(18, len(options) + 3)), answered)


def _with(reading: _Reading, key: str, option: str) -> _Reading:
    if key == ROLE:
        return replace(reading, role=option, speakers=_usual(reading.turns, option))
    if key == CONTENT:
        return replace(reading, content=option)
    word = key.removeprefix(WORD)
    others = {said: role for said, role in reading.speakers.items() if said != word}
    return replace(reading, speakers=others if option == AS_IT_IS else {**others, word: option})
