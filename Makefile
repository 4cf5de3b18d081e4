# Each target does its own set-up: on a machine with Python 3.11 or newer nothing else is needed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.complete
BENCH ?=
ARGS ?=

.PHONY: help setup demo test bench rivals check format lock clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(STAMP)  ## make .venv with everything, pinned and hash-checked

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## everything in one command: servers, traffic, learning, report
	$(BIN)/routefold demo $(ARGS)

test: $(STAMP)  ## all tests, on real Kafka and Postgres; ARGS="-m 'not integration and not e2e'" for less
	$(BIN)/python -m pytest $(ARGS)

bench: $(STAMP)  ## benchmarks as JSON lines; BENCH=fold|pick|http|freshness|memory|signals|utility|drift|latency|history|rebuild|exactness for one
	@$(BIN)/python -m benchmarks $(BENCH) $(ARGS)

rivals: $(STAMP)  ## install what benchmarks compare with: LiteLLM, pinned and hash-checked
	$(BIN)/python -m pip install --quiet --require-hashes -r benchmarks/requirements.lock

check: $(STAMP)  ## lint, types, import rules; never edits
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --upgrade \
	--no-header --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: $(STAMP)  ## resolve the dependencies anew into both requirements.lock
	$(LOCK) --extra local --extra test --extra dev --output-file requirements.lock pyproject.toml
	$(LOCK) --extra rivals --constraint requirements.lock --output-file benchmarks/requirements.lock pyproject.toml

clean:  ## remove .venv, caches and the local servers' data
	rm -rf .venv .routefold build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
