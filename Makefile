# The two commands: `make demo` and `make test`. Both set up what they need in .venv, from a package index alone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export UV_LINK_MODE := copy

.PHONY: demo test check format conformance receivers collector collector-test faults soak bench bench-compare profile setup upgrade clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Spanloom needs Python 3.11 or newer: make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/python examples/demo

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typed_program.py
	$(BIN)/lint-imports

# Newer releases of what we build on: into an environment of its own, whose versions become the constraints.
constraints.txt: ;
upgrade:
	rm -rf .venvs/upgrade
	$(PYTHON) -m venv .venvs/upgrade
	.venvs/upgrade/bin/python -m pip install --quiet --editable '.[dev]'
	.venvs/upgrade/bin/python -m pip freeze --exclude-editable > constraints.txt

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The scenario cases of the project's shared folder, where there is one beside the checkout.
conformance: setup
	$(BIN)/python ../shared/conformance/check.py $(CASES)

receivers: setup
	$(BIN)/python -m pytest -m receiver

# The real Collector, built once of Go modules (needs go) and kept in ~/.cache/spanloom; then the tests with it.
collector:
	$(PYTHON) tests/collector/binary.py

collector-test: setup collector
	$(BIN)/python -m pytest tests/collector -m collector

# Receivers, networks and disks that fail: prints its table, and writes it to fault-table.json.
# SPANLOOM_FAULTS_SECONDS=60 is the length of the receiver's absence that the docs' figures are of.
faults: setup
	$(BIN)/python -m pytest tests/faults -m faults

# Thousands of runs: state and memory stay flat.
soak: setup
	$(BIN)/python -m pytest tests/benchmarks tests/privacy -m soak

# What tracing costs beside spans by hand and the peers, each in an environment of its own under .venvs/: prints tables,
# and writes benchmark.json. BENCH="--only raw1,raw2,spanloom --workloads w1,w2" is a quick one; BENCH=--help has more.
COMPARE := PYTHONPATH=tests/benchmarks $(BIN)/python -m compare
bench: setup
	$(COMPARE) run $(BENCH)

# What changed between the files of two benchmarks: make bench-compare A=old.json B=new.json
bench-compare: setup
	$(COMPARE) diff $(A) $(B)

# Where our own time goes: make profile WORKLOAD=w1; tables, and files for flame graphs in profile/.
profile: setup
	$(COMPARE) profile $(or $(WORKLOAD),w1) $(PROFILE)

clean:
	rm -rf $(VENV) .venvs .pytest_cache .mypy_cache .ruff_cache .hypothesis
