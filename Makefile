# Two commands on a fresh machine: `make run`, `make test`. Each makes the virtual environment it needs.
PYTHON ?= python3
RUN_ENV := .venv
TEST_ENV := .venv-test
PIP_FLAGS := --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := client selector export_scripts benchmarks tests

.PHONY: run test test-slow check fmt bench clean

run: $(RUN_ENV)/installed
	$(RUN_ENV)/bin/selector run --ipc 100

# Two processes, a file in one of them; for one process, or a part: .venv-test/bin/python -m pytest tests/client
test: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What takes too long for every change: more rows, more kills (marker `slow`).
test-slow: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m pytest -m slow -s --timeout 1200

check: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/ruff check $(SOURCES)
	$(TEST_ENV)/bin/ruff format --check $(SOURCES)
	$(TEST_ENV)/bin/mypy
	$(TEST_ENV)/bin/python -m pytest -q tests/contract/test_import_directions.py

fmt: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/ruff check --fix $(SOURCES)
	$(TEST_ENV)/bin/ruff format $(SOURCES)

bench: $(RUN_ENV)/installed
	$(RUN_ENV)/bin/selector bench --bare

include benchmarks/results.mk

$(RUN_ENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(RUN_ENV)
	$(RUN_ENV)/bin/pip install $(PIP_FLAGS) --editable .
	touch $@

$(TEST_ENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TEST_ENV)
	$(TEST_ENV)/bin/pip install $(PIP_FLAGS) --editable '.[test]'
	touch $@

clean:
	rm -rf $(RUN_ENV) $(TEST_ENV) dist runs
