# Loopfront's commands. `make demo` and `make test` need Python 3.11 or newer and make, nothing else prepared.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_OPTIONS ?=
TEST_OPTIONS ?= -n 3 --dist worksteal
export ORT_DISABLE_TELEMETRY := 1

.PHONY: demo test test-all check bench bench-fleet bench-service bench-operators operator-table recall-table lock pins clean

demo: $(VENV)/.installed
	@$(BIN)/loopfront demo $(DEMO_OPTIONS)

test: $(VENV)/.installed-test
	@sh tests/install_needs.sh
	$(BIN)/python -m pytest $(TEST_OPTIONS)

test-all: $(VENV)/.installed-test
	@sh tests/install_needs.sh
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[compiler]"
	$(BIN)/python -m pytest -m "slow or not slow" $(TEST_OPTIONS)

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-test
	$(BIN)/python -m tests.benchmarks $(BENCH_OPTIONS)

# About two hours, on a machine that does nothing else; stopped, it goes on where it was. Parts and counts: BENCH_OPTIONS.
bench-fleet: $(VENV)/.installed-test
	@sh tests/install_needs.sh
	@$(BIN)/python -m tests.benchmarks.fleet $(BENCH_OPTIONS)

# About a quarter of an hour, PostgreSQL and SQLite in turns, on a machine that does nothing else.
bench-service: $(VENV)/.installed-test
	@sh tests/install_needs.sh
	@$(BIN)/python -m tests.benchmarks.service $(BENCH_OPTIONS)

# Against llama.cpp, which pip compiles for this machine (minutes), and onnxruntime-genai; about 10 GB of files.
bench-operators: $(VENV)/.installed-test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[bench]"
	$(BIN)/python -m tests.benchmarks.operator_speed $(BENCH_OPTIONS)

# Measures single mixers (minutes) and writes README's table of them.
operator-table: $(VENV)/.installed-test
	$(BIN)/python -m tests.benchmarks.operator_speed.operator_table

recall-table: $(VENV)/.installed
	$(BIN)/python -m search.quality.recall_table --workers 2

# Rewrites the pinned versions from a fresh environment that holds the newest ones pyproject.toml allows.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet $(PIP_OPTIONS) ".[test,compiler,bench]"
	.venv-lock/bin/python -m pip freeze --exclude loopfront | sed "s/+cpu$$//" > constraints.txt
	rm -rf .venv-lock

# Rewrites the pinned files that agents lay onto devices, from what PyPI and Debian have now; look at what changes.
pins: $(VENV)/.installed
	$(BIN)/python -m devices.supplies.repin

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Loopfront needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make demo PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Loopfront into $(VENV) (PyTorch and ONNX Runtime: a few minutes on the first run)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[server]"
	@command -v cc >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[compiler]"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e ".[test]"
	@touch $@
