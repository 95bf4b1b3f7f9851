"""Make the README's pictures from the real program: a plan for a card that need not be here, and a run.

usage: python docs/make_screenshots.py [RUN_FOLDER]

Writes docs/plan.svg, of the shipped demo data and the demo model as `lora-wizard demo` keeps it, and, when the folder
of a run is given, docs/dashboard.svg of that run as it stands. Run by `make screenshots`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from textual.pilot import Pilot

from presets.demo import demo_data_path
from presets.errors import WizardError
from recommender.machine.devices import device_from_catalogue
from trainer.models.demo import (ensure_demo_model)
from tui.wizard.app import (WizardApp, wizard_app)
from tui.dashboard.app import (WatchApp)

CARD, SIZE = "RTX 4090", (120, 40)
HERE = Path(__file__).resolve().parent


async def plan_picture(model: Path) -> None:
    """Open the wizard at the plan, wait until it is priced, and save what is on the screen.

    Args:
        model: Folder of the demo model; it is named without its parents, which are the builder's own.
    """
    card = device_from_catalogue(CARD)
    data = [str(demo_data_path())]
    os.chdir(model.parent)
    app = wizard_app(model=f"./{model.name}", data=data, runs=Path("runs"), theme=None, unicode=True, start="plan")
    async with app.run_test(size=SIZE) as pilot:
        app.flow.machine.choose(card)
        while app.state.plan is None or app.state.plan.device.name != card.name:
            await pilot.pause(0.1)
        await _save(app, pilot, "plan.svg")


async def dashboard_picture(run: Path, model: Path) -> None:
    """Open a run's dashboard and save what is on the screen.

    Args:
        run: The run's folder.
        model: Folder of the demo model; it is named without its parents.
    """
    with TemporaryDirectory() as folder:
        # Where the run lies is the builder's own: it is shown as runs/NAME, where a person's would be.
        os.chdir(folder)
        shown = Path("runs") / run.name
        shown.mkdir(parents=True)
        for path in run.iterdir():
            if path.suffix in (".jsonl", ".yaml"):
                told = path.read_text(encoding="utf-8").replace(f"{model.parent}/", "")
                told = told.replace(f'"{run}/', '"').replace(str(run.parent), "runs")
                (shown / path.name).write_text(told, encoding="utf-8")
            else:
                (shown / path.name).symlink_to(path)
        app = WatchApp(shown, shown.parent)
        async with app.run_test(size=SIZE) as pilot:
            await _save(app, pilot, "dashboard.svg")
        os.chdir(HERE)


async def _save(app: WizardApp | WatchApp, pilot: Pilot[int], name: str) -> None:
    await pilot.pause(2)
    app.save_screenshot(name, path=str(HERE))


def main() -> int:
    """Make the pictures.

    Returns:
        0 when they are written, 1 when the demo model cannot be had.
    """
    runs = [Path(given).resolve() for given in sys.argv[1:]]
    try:
        model = ensure_demo_model()
    except WizardError as error:
        print(error, file=sys.stderr)
        return 1
    asyncio.run(plan_picture(Path(model)))
    for run in runs[:1]:
        asyncio.run(dashboard_picture(run, Path(model)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
