# The verbs of this project; each is a line or two, the work is in the libraries. `make help` lists them.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED := 1
export PYTHONPATH := $(CURDIR):$(CURDIR)/plugins
VENV := .venv
PY := $(VENV)/bin/python
PLATFORM := $(PY) -m ops_platform.embedded

.DEFAULT_GOAL := all
include pythonexpr.mk

.PHONY: help run up stop status test check fast lock benchmarks screenshots protos clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z_]+:.*## / {printf "  make %-26s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/ready  ## train, evaluate and upload a model, through Airflow, on the sample blocks (REQUEST=my.json: on yours)
	@$(PLATFORM) run $(REQUEST)

up: $(VENV)/ready  ## start Airflow and the local S3 server, nothing else
	@$(PLATFORM) up

stop: $(VENV)/ready  ## end exactly what `make run` or `make up` started
	@$(PLATFORM) stop

status: $(VENV)/ready  ## what is running, and where
	@$(PLATFORM) status

test: check $(VENV)/browser  ## every gate and every test
	$(PY) -m pytest

check: $(VENV)/ready  ## format, lint, types, layers, light imports, sizes
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy && $(VENV)/bin/lint-imports
	$(PY) -m pytest -q tests/architecture

fast: $(VENV)/ready  ## the tests without TensorFlow, Airflow and servers: the inner loop
	$(PY) -m pytest -q -m "not tf and not airflow and not slow"

benchmarks: $(VENV)/ready  ## measure speed and size against plain reference loops, write JSON
	$(PY) -m benchmarks

screenshots: $(VENV)/browser  ## redo docs/screenshots from a run through the page
	$(PY) -m pytest -q tests/e2e tests/fastnode/viewer -k 'page or browser' --save-screenshots

protos: $(VENV)/ready  ## regenerate the protocol buffer code
	$(PY) -m gematria_ops.formats.protos

lock: $(VENV)/ready  ## resolve requirements.in into requirements.txt, all versions pinned and hashed
	$(VENV)/bin/uv pip compile requirements.in --python-version 3.11 --generate-hashes --no-emit-index-url -q -o requirements.txt

clean:  ## remove the completion model's files and what the tools cached (not .venv, .ops, the corpus)
	rm -rf out bin tmp tensorboard/$(MODEL_NAME) bundle bundle.tar.gz
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/ready: requirements.txt .ci/setup
	@.ci/setup environment $(VENV)

$(VENV)/browser: $(VENV)/ready
	@.ci/setup browser $(VENV)
