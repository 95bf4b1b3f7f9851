"""Write docs/glossary.md from presets/glossary.yaml: `python docs/make_glossary.py`."""

from __future__ import annotations

from pathlib import Path

from presets.glossary import load_glossary

PAGE = Path(__file__).parent / "glossary.md"
HEAD = """# Words

Written by `python docs/make_glossary.py` from `presets/glossary.yaml`; a test holds it current. The screens, messages and
documents use them in this sense only; `?` shows those of its screen. Names of configuration keys are PEFT's, TRL's and
Transformers' own: [configuration.md](configuration.md).

| word | meaning |
|---|---|
"""


def page() -> str:
    """The whole page, by the alphabet."""
    words = sorted(load_glossary(), key=lambda entry: entry.word)
    return HEAD + "".join(f"| {entry.word} | {entry.says} |\n" for entry in words)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
