# Two commands on a fresh machine: `make run`, `make test`. Each makes the virtual environment it needs.
PYTHON ?= python3
RUN_ENV := .venv
TEST_ENV := .venv-test
PIP_FLAGS := --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := client selector export_scripts tests

.PHONY: run test check fmt bench quality scenes clean

run: $(RUN_ENV)/installed
	$(RUN_ENV)/bin/selector run --ipc 100

test: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m pytest

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

# Localisation on scenes made from the test split of Fashion-MNIST (Debian: apt-get install dataset-fashion-mnist).
quality: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m export_scripts.quality

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
