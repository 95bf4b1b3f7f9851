# One environment for everything: .venv, set up by scripts/setup.py (standard library only).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup dev demo quick test check lint format screenshots clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: ## install the program into .venv
	@$(PYTHON) scripts/setup.py --venv $(VENV)

dev: ## install it with what the tests need
	@$(PYTHON) scripts/setup.py --venv $(VENV) --extras dev

demo: setup ## the main job, for real: wizard in a terminal, plain run without one
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/lora-wizard demo; else $(BIN)/lora-wizard demo --plain; fi

# No process, no torch, nothing slow: tests/conftest.py fails a unit test that starts a process without being marked.
quick: dev ## unit tests that start no process and import no torch: under a minute
	@$(BIN)/python -m pytest tests/unit -n 2 -m "not process and not torch and not model and not slow"

# Three workers on two cores: half of what tests do is waiting for a real process.
test: dev ## all tests
	@$(BIN)/python -m pytest -n 3 --dist worksteal

check: lint test ## format, lint, types, import contracts, tests

lint: dev ## everything of check but the tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/mypy tests benchmarks scripts
	@$(BIN)/lint-imports

format: dev ## format and sort imports
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

screenshots: dev ## make the README's pictures; RUN=folder of a run for the dashboard's
	@$(BIN)/python docs/make_screenshots.py $(RUN)

clean: ## remove what was built here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
