# What one does with this project; plain `make` prints it.
# Everything is installed into .venv, from the lock files and with their hashes. Nothing else on the machine changes.

.DEFAULT_GOAL := help
.PHONY: help demo dev test soak bench check format secrets-baseline lock system-packages
.DELETE_ON_ERROR:

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
FITS := -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3 python3.14,$(shell $(name) $(FITS) 2>/dev/null && echo $(name))))
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header pyproject.toml
DEMO ?=
TESTS ?=
# One more than there are cores: many tests wait for a server.
WORKERS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) + 1 )))
UPGRADE ?=

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: .venv/.demo  ## Run the main job against sandbox exchanges (DEMO='--months 2 --symbols BTC-USDT,ETH-USDT')
	$(BIN)/crypto-pipeline demo $(DEMO)

dev: .venv/.demo  ## Sandbox, OpenBao and Dagster's UI at 127.0.0.1:3000, until Ctrl-C
	$(BIN)/crypto-pipeline dev

test: .venv/.test  ## All tests but the soak ones, in parallel and random order, with coverage (TESTS=path)
	$(BIN)/python -m pytest -n $(WORKERS) $(if $(TESTS),$(TESTS),--cov --cov-report=term --durations=25)

soak: .venv/.test  ## The heavy proofs: many kills, long ranges
	$(BIN)/python -m pytest -m soak $(TESTS)

bench: .venv/.test  ## Print the figures, each beside its floor
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python -m "benchmarks.$$(basename $$script .py)" || exit; done

check: .venv/.dev  ## Lint, format, types, floors, secrets, and what must not stand in the tree
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --baseline .secrets.baseline
	$(BIN)/python -m pytest crypto_pipeline_tests/test_architecture.py crypto_pipeline_tests/test_tree.py

format: .venv/.dev  ## Put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

secrets-baseline: .venv/.dev  ## Accept what the secret scanner finds now: read the difference before committing it
	$(BIN)/detect-secrets scan --baseline .secrets.baseline

# The largest set is resolved first and the others are cut from it: what is tested is what runs.
lock: .venv/.dev  ## Write the lock files anew (UPGRADE=--upgrade takes newer versions)
	$(COMPILE) $(UPGRADE) --extra dev --output-file requirements-dev.lock
	$(COMPILE) --extra test --constraint requirements-dev.lock --output-file requirements-test.lock
	$(COMPILE) --extra demo --constraint requirements-dev.lock --output-file requirements-demo.lock
	$(COMPILE) --constraint requirements-dev.lock --output-file requirements.lock

system-packages:  ## Install what needs root: Chromium, for the tests that look at pages
	apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends chromium

# Each set of packages contains the one before it, so that one .venv grows; it is looked at again only when its lock changes.
.venv/.%: requirements-%.lock pyproject.toml | .venv/bin/python
	@echo "Installing $< into .venv; the first time takes a minute or two."
	@$(PIP) install --quiet --require-hashes --requirement $<
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/bin/python:
	$(or $(PYTHON),$(error No Python 3.11 or newer with the modules venv and ensurepip was found; name one: make PYTHON=/path/to/python)) -m venv .venv
