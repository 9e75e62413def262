# Two commands on a fresh machine: `make run`, `make test`. Each makes the virtual environment it needs.
PYTHON ?= python3
RUN_ENV := .venv
TEST_ENV := .venv-test
PIP_FLAGS := --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := client selector export_scripts tests

.PHONY: run test test-slow check fmt bench bench-client quality scenes clean

run: $(RUN_ENV)/installed
	$(RUN_ENV)/bin/selector run --ipc 100

test: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m pytest

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

# Our connection against tritonclient's own ways, on one server: docs/client.md has a table of it.
bench-client: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m tests.benchmarks.transports

# Localisation on scenes made from the test split of Fashion-MNIST (Debian: apt-get install dataset-fashion-mnist).
quality: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m export_scripts.quality

# Stable Diffusion 1.5 at full size, random weights: exports, gates, engines for SM 8.0 and 8.9 (docs/export.md). Needs
# 12 GB of memory and 25 GB of disk; no GPU, no download.
.PHONY: export-sd15
export-sd15: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m export_scripts.sd15 --out runs/sd15

# The tables of docs/RESULTS.md, one target each. Students go on where they were stopped.
.PHONY: results-data results-students results-picks results-budgets results-architectures results-hard-labels results-mosaics \
	results-selection-speed results-one-step
RESULTS := runs/results
SCENES = $(TEST_ENV)/bin/python -m export_scripts.make_scenes
STUDENTS = $(TEST_ENV)/bin/selector evaluate --store $(RESULTS)/store --test $(RESULTS)/test.tar \
	--teacher $(RESULTS)/teacher.pt --teacher-data $(RESULTS)/teacher.tar --teacher-steps 1500 --pool-size 100
DOCUMENT = $(TEST_ENV)/bin/python -m selector.evaluation.document docs/RESULTS.md
METHODS := rded,random-patch,random-image,herding,clusters,facility-location,window-random,true-boxes,k-means,k-center,brightest,centre,typicality

results-data: $(RESULTS)/data-ready
$(RESULTS)/data-ready: $(TEST_ENV)/installed
	$(SCENES) --split train --items 0:55000 --per-class 1500 --seed 21 --out $(RESULTS)/teacher.tar
	$(SCENES) --split train --items 0:55000 --per-class 800 --seed 31 --out $(RESULTS)/pool.tar
	$(SCENES) --split test --per-class 500 --seed 41 --out $(RESULTS)/test.tar
	$(TEST_ENV)/bin/selector score $(RESULTS)/pool.tar --limit-per-class 300 --store $(RESULTS)/store
	touch $@

results-students: results-data
	$(STUDENTS) --out $(RESULTS)/students --ipc 10 --pools 8 --methods $(METHODS)
	$(DOCUMENT) students $(RESULTS)/students/results.md

results-picks: results-data
	test -f $(RESULTS)/teacher.pt || $(MAKE) results-students
	$(TEST_ENV)/bin/python -m selector.evaluation.pick_quality --store $(RESULTS)/store \
		--teacher $(RESULTS)/teacher.pt > $(RESULTS)/picks.md
	$(DOCUMENT) picks $(RESULTS)/picks.md

results-budgets: results-data
	$(STUDENTS) --out $(RESULTS)/students --ipc 1,2,50 --pools 8 \
		--methods rded,random-patch,random-image,herding,clusters,window-random,true-boxes
	$(DOCUMENT) students $(RESULTS)/students/results.md

results-architectures: results-data
	$(STUDENTS) --out $(RESULTS)/students --ipc 10 --pools 4 --students resnet18-w16,vit-w96 \
		--methods rded,random-patch,herding,clusters

results-hard-labels: results-data
	$(STUDENTS) --out $(RESULTS)/students --ipc 10 --pools 4 --labels hard \
		--methods rded,random-patch,herding,clusters,true-boxes

results-mosaics: results-data
	$(STUDENTS) --out $(RESULTS)/mosaics --ipc 10 --pools 4 --mosaic 4 --methods rded,random-patch,herding,clusters

results-selection-speed: $(TEST_ENV)/installed
	mkdir -p $(RESULTS)
	$(TEST_ENV)/bin/python -m selector.evaluation.selection_speed > $(RESULTS)/selection-speed.json
	$(DOCUMENT) selection-speed $(RESULTS)/selection-speed.json

results-one-step: results-data
	$(TEST_ENV)/bin/python -m selector.evaluation.one_step --store $(RESULTS)/store > $(RESULTS)/one-step.json
	$(DOCUMENT) one-step $(RESULTS)/one-step.json

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
