# Two commands for a machine with only Python (>= 3.11) and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# uv does not read pip's settings: hand it the same folder of local wheels, where there is one.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
# Python files that are compiled once start commands seconds sooner.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check test unit unit-x64 lint bench bench-gpu browser notebooks docs clean

.venv/installed: pyproject.toml adapters/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e ./adapters -e . --group dev
	touch $@

demo: .venv/installed
	$(BIN)/platonic demo

# Directories of `tests/` are tiers. A file stays on one worker, so that what its tests share is made once; files are
# taken in the order of the tiers, those of long tests first.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations 10
TIERS := documents models analyses faults package presentation

# An answer in minutes: what a change of mathematics, results or commands breaks first.
check: lint unit
	$(PYTEST) tests/presentation --ignore tests/presentation/browser

test: unit unit-x64
	$(PYTEST) $(TIERS:%=tests/%)

# In single and in double precision: the x64 choice belongs to the user, and both must hold.
unit: .venv/installed
	$(PYTEST) tests/unit

unit-x64: .venv/installed
	JAX_ENABLE_X64=1 $(PYTEST) tests/unit

# A tier alone, as the workflow on GitHub runs them, side by side.
$(TIERS): .venv/installed
	$(PYTEST) tests/$@

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes platonic_jax --ignoreexternal

# Ours beside the peers; minutes, on a machine that does nothing else.
bench: .venv/installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(if $(UV_FIND_LINKS),,--torch-backend=cpu) --group bench
	$(BIN)/python tests/benchmarks/run.py --picture notebooks/results/growth.png

# What an accelerator is for; needs a jax that has one.
bench-gpu: .venv/installed
	$(BIN)/python tests/benchmarks/run.py --gpu

# A browser for the tests of reports, where the machine has none.
browser: .venv/installed
	$(BIN)/playwright install chromium

# Every notebook with its outputs, from its own text, at its small settings; minutes each. In a copy: what is in
# `notebooks/results` came from large sets, and stays. Stores are kept there for the next time.
notebooks: .venv/installed
	mkdir -p build/notebooks
	cp -r notebooks/*.py notebooks/fine_tuning notebooks/results build/notebooks
	cd build/notebooks && PATH="$(abspath $(BIN)):$$PATH" $(abspath $(BIN))/jupytext --to ipynb --execute [0-9]*.py
	cp build/notebooks/*.ipynb notebooks

# The documentation, from the notebooks and the docstrings, to `site/index.html`.
docs: .venv/installed
	$(BIN)/mkdocs build --strict -f .mkdocs.yml

clean:
	rm -rf .venv demo site build
