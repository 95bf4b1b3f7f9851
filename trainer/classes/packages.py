"""What to install where a class of Transformers wants a package that is not there."""

from __future__ import annotations

import re

_INSTALL = re.compile(r"pip install (?:-U |--upgrade )?([A-Za-z][\w.-]*)")
_LIBRARY = re.compile(r"requires the (\w+) library")


def needed_packages(problem: ImportError) -> tuple[str, ...]:
    """Packages that Transformers names in its complaint, or that Python did not find; empty where neither is said."""
    said = str(problem)
    named = [*_INSTALL.findall(said), *(name for name in _LIBRARY.findall(said) if f"pip install {name}" not in said)]
    found = [name.rstrip(".-") for name in named if name != "PIL"]
    return tuple(dict.fromkeys(found)) or ((problem.name.partition(".")[0],) if problem.name else ())


def needs(problem: ImportError) -> tuple[str, str]:
    """The complaint in a clause, and the command that helps."""
    packages = needed_packages(problem)
    if not packages:
        return " ".join(str(problem).split())[:300].rstrip("."), "Install the package that it names."
    verb = "is" if len(packages) == 1 else "are"
    return f"{' and '.join(packages)} {verb} not installed", f"pip install {' '.join(packages)}"
