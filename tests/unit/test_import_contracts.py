"""What the import contracts of pyproject.toml speak of is what there is."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITH_TORCH = ("trainer.worker", "trainer.learn", "trainer.trace", "trainer.classes", "trainer.anatomy")
NAME = "the wizard, the plan and the supervisor never import the training stack"


def test_all_that_runs_without_torch_is_held_to_it() -> None:
    """A module that is moved or new would else drop out of the contract, and nothing would say so."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (one for one in settings["contracts"] if one["name"] == NAME)
    below = [
        f"trainer.{path.stem}"
        for path in (ROOT / "trainer").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    without = {name for name in below if name not in (*WITH_TORCH, "trainer.__init__")}
    assert set(contract["source_modules"]) == {"tui", "recommender", "presets", *without}
