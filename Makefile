# Every target works from a bare clone: make and Python 3.11 or newer are all it needs.
#   make demo                      the loop on real market data (ARGS go to `trimtab demo`)
#   make test ARGS="-k store -n 2" the default tests; load, chaos and bench are apart
#   make PYTHON=python3.12 test    another interpreter
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MANIFESTS := pyproject.toml clients/python/pyproject.toml generated/python/pyproject.toml
# Another active environment, or PYTHONPATH, must not leak into this one.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types docs proto proto-release bench load chaos lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

setup: $(READY)  ## .venv with everything that the other targets need

$(READY): $(MANIFESTS) constraints.txt .ci/environment
	@.ci/environment $(PYTHON) $(VENV)

demo: $(READY)  ## the product on one screen
	$(BIN)/trimtab demo $(ARGS)

test: $(READY)  ## the default tests
	$(BIN)/python -m pytest $(ARGS)

lint: types  ## style, types, contract
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python .ci/proto.py check
	$(BIN)/python .ci/docs.py check

docs: $(READY)  ## renew the generated tables of the documents
	$(BIN)/python .ci/docs.py write

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

proto: $(READY)  ## format and lint the contract, then regenerate the code
	$(BIN)/python .ci/proto.py format lint generate

proto-release: $(READY)  ## take the present contract as the released one (needs proto/CHANGELOG.md)
	$(BIN)/python .ci/proto.py release

bench: $(READY)  ## throughput and latency on this machine
	$(BIN)/python -m tests.load.bench $(ARGS)

load: $(READY)  ## twenty minutes at 20,000 events/s: what must stay flat does (20 GB of disk)
	$(BIN)/python -m tests.load.soak $(ARGS)

chaos: $(READY)  ## 500 rounds of kills and 500 of every fault, on SQLite and on Postgres; about two hours
	$(BIN)/python -m pytest -m chaos $(ARGS)

lock: $(READY)  ## renew constraints.txt
	@.ci/lock $(BIN)

clean:  ## remove what the other targets made
	rm -rf $(VENV) .tools .cache dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
