"""Make the README's picture from the real program: the Plan step for an 8B model on a card that need not be here.

usage: python docs/make_screenshots.py

Writes docs/plan.svg. Run by `make screenshots`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from presets.demo import demo_data_path
from recommender.machine.devices import device_from_catalogue
from tui.app import wizard_app

MODEL, CARD, SIZE = "meta-llama/Llama-3.1-8B-Instruct", "RTX 4090", (120, 40)
HERE = Path(__file__).resolve().parent


async def plan_picture() -> None:
    """Open the wizard at the plan, wait until it is priced, and save what is on the screen."""
    card = device_from_catalogue(CARD)
    data = [str(demo_data_path())]
    app = wizard_app(model=MODEL, data=data, runs=Path("runs"), theme=None, unicode=True, start="plan")
    async with app.run_test(size=SIZE) as pilot:
        app.flow.choose_device(card)
        while app.state.plan is None or app.state.plan.device.name != card.name:
            await pilot.pause(0.1)
        await pilot.pause(0.5)
        app.save_screenshot("plan.svg", path=str(HERE))


if __name__ == "__main__":
    asyncio.run(plan_picture())
